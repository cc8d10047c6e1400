"""The server ends in the middle of it all, and comes back."""

import datetime
import time

import grpc
from durabletask import task

from hub import LONGEST, Hub, Seen, Status, equal, story, until
from server import Server


@story
def killed_in_the_middle(hub):
    """With `kill -9`."""
    comes_back(hub, Server.kill)


@story
def shut_down_in_the_middle(hub):
    comes_back(hub, Server.shut_down)


def comes_back(hub, ends):
    """All that was acknowledged ends with its right result; the worker finds the server again by itself."""
    seen = Seen()

    def works(ctx, number):
        seen.add(number)
        time.sleep(0.02)
        return number + 1

    def sequence(ctx, number):
        for _ in range(5):
            number = yield ctx.call_activity(works, input=number)
        return number

    def fans_out(ctx, number):
        results = yield task.when_all([ctx.call_activity(works, input=number + i) for i in range(5)])
        return sum(results) - 5 * number

    def sleeps(ctx, number):
        for _ in range(3):
            yield ctx.create_timer(datetime.timedelta(milliseconds=300))
            number = yield ctx.call_activity(works, input=number)
        return number

    def parent(ctx, number):
        results = yield task.when_all([ctx.call_sub_orchestrator(sequence, input=number + i) for i in range(2)])
        return results

    def listens(ctx, number):
        first = yield ctx.wait_for_external_event("first")
        number = yield ctx.call_activity(works, input=number)
        second = yield ctx.wait_for_external_event("second")
        return [number, first, second]

    def renews(ctx, state):
        generation, number = state
        number = yield ctx.call_activity(works, input=number)
        if generation < 4:
            ctx.continue_as_new([generation + 1, number], save_events=True)
            return None
        last = yield ctx.wait_for_external_event("second")
        return [number, last]

    tried = {}

    def fails_first(ctx, number):
        seen.add(number)
        tried[number] = tried.get(number, 0) + 1
        if tried[number] < 3:
            raise ConnectionError("not yet")
        return number

    def retries(ctx, number):
        policy = task.RetryPolicy(first_retry_interval=datetime.timedelta(milliseconds=100), max_number_of_attempts=9)
        result = yield ctx.call_activity(fails_first, input=number, retry_policy=policy)
        return result

    shapes = {
        sequence: lambda n: (n, n + 5),
        fans_out: lambda n: (n, 15),
        sleeps: lambda n: (n, n + 3),
        parent: lambda n: (n, [n + 5, n + 6]),
        listens: lambda n: (n, [n + 1, "one", "two"]),
        renews: lambda n: ([1, n], [n + 4, "two"]),
        retries: lambda n: (n, n),
    }
    with Server(hub.server.binary) as server:
        here = Hub(server, "crash")
        with here.worker(list(shapes), [works, fails_first]):
            wanted, listening = {}, []
            for number in range(50):
                orchestrator = list(shapes)[number % len(shapes)]
                given, result = shapes[orchestrator](1000 * number)
                id = here.start(orchestrator, given, instance_id=f"{orchestrator.__name__}-{number}")
                wanted[id] = result
                if orchestrator in (listens, renews):
                    here.raises(id, "first", "one")
                    listening.append(id)
            resting = here.start(sequence, 1, instance_id="resting")
            here.client.suspend_orchestration(resting)
            due = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
            planned = here.start(sequence, 1, instance_id="planned", start_at=due)
            ended = here.start(sequence, 1, instance_id="ended")
            here.client.terminate_orchestration(ended, output="enough")
            for count in (40, 90, 140):
                until(lambda: len(seen) >= count, f"{count} activities have begun")
                ends(server)
                server.start()
            for id in listening:
                again(lambda: here.raises(id, "second", "two"))
            for id, result in wanted.items():
                equal(again(lambda: here.output(id)), result, f"the result of {id}")
            equal(here.status(resting), Status.SUSPENDED)
            here.client.resume_orchestration(resting)
            equal([here.output(resting), here.output(planned)], [6, 6], "what rested and what was planned")
            equal(here.ended(ended).get_output(), "enough")
        here.stopped()


def again(call):
    """Asks again while the client has not found the server again."""
    end = time.monotonic() + LONGEST
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                raise
            time.sleep(0.05)
