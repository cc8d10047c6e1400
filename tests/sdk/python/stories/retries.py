"""Retries: this package schedules them again under the same task id, and sub-orchestrations under the same instance id."""

import datetime
import statistics
import time

from durabletask import task

from hub import Seen, equal, story, true


def every(milliseconds, attempts):
    return task.RetryPolicy(
        first_retry_interval=datetime.timedelta(milliseconds=milliseconds), max_number_of_attempts=attempts
    )


@story
def retry_of_an_activity(hub):
    seen = Seen()

    def third_time_lucky(ctx, _):
        if seen.add(time.monotonic()) < 3:
            raise ConnectionError("not yet")
        return "lucky"

    def tries(ctx, attempts):
        result = yield ctx.call_activity(third_time_lucky, retry_policy=every(50, attempts))
        return result

    with hub.worker([tries], [third_time_lucky]):
        equal(hub.run(tries, 5), "lucky")
        equal(len(seen), 3, "the count of attempts")


@story
def retries_are_prompt(hub):
    seen = Seen()

    def hopeless(ctx, _):
        seen.add(time.monotonic())
        raise ConnectionError("never")

    def tries(ctx, attempts):
        yield ctx.call_activity(hopeless, retry_policy=every(200, attempts))

    with hub.worker([tries], [hopeless]):
        true("never" in hub.failure(hub.start(tries, 6)).message, "the message is lost")
    moments = seen.all()
    equal(len(moments), 6, "the count of attempts")
    gaps = [later - earlier for earlier, later in zip(moments, moments[1:])]
    true(min(gaps) >= 0.2, f"too early: {gaps}")
    true(statistics.median(gaps) < 0.4, f"too late: {gaps}")


@story
def retries_at_once(hub):
    """Many retries beside each other keep theirs apart."""
    seen = {number: Seen() for number in range(10)}

    def lucky_after(ctx, number):
        if seen[number].add(number) <= number % 3:
            raise ConnectionError("not yet")
        return number * 10

    def spread(ctx, count):
        tasks = [ctx.call_activity(lucky_after, input=i, retry_policy=every(20, 4)) for i in range(count)]
        results = yield task.when_all(tasks)
        return results

    with hub.worker([spread], [lucky_after]):
        equal(hub.run(spread, 10), [number * 10 for number in range(10)])
        equal([len(seen[number]) for number in range(10)], [1 + number % 3 for number in range(10)], "the attempts")


@story
def retry_of_a_child(hub):
    seen = Seen()

    def attempt(ctx, id):
        return seen.add(id)

    def child(ctx, _):
        number = yield ctx.call_activity(attempt, input=ctx.instance_id)
        if number < 3:
            raise ConnectionError("not yet")
        return number

    def parent(ctx, attempts):
        number = yield ctx.call_sub_orchestrator(child, retry_policy=every(50, attempts))
        return number

    with hub.worker([parent, child], [attempt]):
        equal(hub.run(parent, 5), 3)
        equal(len(seen), 3, "the count of attempts")
        equal(len(set(seen.all())), 1, "the count of ids")


@story
def hopeless_child(hub):
    seen = Seen()

    def attempt(ctx, id):
        seen.add(id)

    def child(ctx, _):
        yield ctx.call_activity(attempt, input=ctx.instance_id)
        raise ConnectionError("never")

    def parent(ctx, attempts):
        yield ctx.call_sub_orchestrator(child, retry_policy=every(20, attempts), instance_id="hopeless")

    with hub.worker([parent, child], [attempt]):
        true("never" in hub.failure(hub.start(parent, 4)).message, "the message is lost")
        equal(seen.all(), ["hopeless"] * 4)
