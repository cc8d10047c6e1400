"""Starts: ids in use, reuse policies, start times, restarts."""

import datetime
import threading

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb

from hub import Seen, Status, equal, refused, story, true, until


def waits(ctx, given):
    got = yield ctx.wait_for_external_event("go")
    return [given, got]


def replaceable(*statuses):
    return pb.OrchestrationIdReusePolicy(replaceableStatus=[status.value for status in statuses])


@story
def ids_in_use(hub):
    taken = lambda: refused(grpc.StatusCode.ALREADY_EXISTS, "already exists")
    id = hub.start(waits, 1, instance_id="singleton")
    with taken():
        hub.start(waits, 2, instance_id="singleton")
    with hub.worker([waits]):
        hub.begun(id)
        with taken():
            hub.start(waits, 3, instance_id="singleton")
        hub.client.suspend_orchestration(id)
        with taken():
            hub.start(waits, 4, instance_id="singleton")
        hub.client.resume_orchestration(id)
        hub.raises(id, "go")
        equal(hub.output(id), [1, None])
        # What has ended is replaced.
        hub.start(waits, 5, instance_id="singleton")
        hub.raises(id, "go", "again")
        equal(hub.output(id), [5, "again"])


@story
def reuse_policies(hub):
    terminated_too = replaceable(Status.PENDING, Status.RUNNING, Status.SUSPENDED, Status.TERMINATED)
    with hub.worker([waits]):
        id = hub.start(waits, 1, instance_id="reused")
        hub.begun(id)
        with refused(grpc.StatusCode.ALREADY_EXISTS):
            hub.start(waits, 2, instance_id=id, reuse_id_policy=replaceable(Status.COMPLETED, Status.FAILED))
        with refused(grpc.StatusCode.ALREADY_EXISTS):
            hub.start(waits, 2, instance_id=id, reuse_id_policy=replaceable())
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "cannot exclude 'Terminated'"):
            hub.start(waits, 2, instance_id=id, reuse_id_policy=replaceable(Status.RUNNING))
        hub.start(waits, 3, instance_id=id, reuse_id_policy=terminated_too)
        hub.raises(id, "go")
        equal(hub.output(id), [3, None])
        with refused(grpc.StatusCode.ALREADY_EXISTS):
            hub.start(waits, 4, instance_id=id, reuse_id_policy=replaceable(Status.FAILED, Status.TERMINATED))
        hub.start(waits, 5, instance_id=id, reuse_id_policy=replaceable(Status.COMPLETED))
        hub.raises(id, "go")
        equal(hub.output(id), [5, None])


@story
def start_times(hub):
    seen = Seen()

    def note(ctx, what):
        seen.add(what)

    def notes(ctx, what):
        yield ctx.call_activity(note, input=what)
        return ctx.current_utc_datetime.timestamp()

    now = lambda: datetime.datetime.now(datetime.timezone.utc)
    with hub.worker([notes], [note]):
        due = now() + datetime.timedelta(milliseconds=700)
        later = hub.start(notes, "later", start_at=due)
        never = hub.start(notes, "never", start_at=now() + datetime.timedelta(days=1))
        past = hub.start(notes, "past", start_at=now() - datetime.timedelta(days=1))
        hub.output(past)
        equal(hub.status(later), Status.PENDING)
        true(hub.output(later) >= due.timestamp(), "it began too early")
        equal(seen.all(), ["past", "later"])
        equal(hub.status(never), Status.PENDING)
        hub.client.terminate_orchestration(never)
        equal(hub.ended(never).runtime_status, Status.TERMINATED)


@story
def ids_that_are_refused(hub):
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        hub.start(waits, instance_id="x" * 200)
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        hub.start("")


@story
def restarts(hub):
    restart = hub.client.restart_orchestration
    with hub.worker([waits]):
        id = hub.start(waits, {"n": 1}, instance_id="first")
        hub.raises(id, "go", "a")
        equal(hub.output(id), [{"n": 1}, "a"])
        equal(restart(id), id)
        hub.raises(id, "go", "b")
        equal(hub.output(id), [{"n": 1}, "b"])
        other = restart(id, restart_with_new_instance_id=True)
        true(other != id, "the id is the same")
        hub.raises(other, "go", "c")
        equal(hub.output(other), [{"n": 1}, "c"])
        # What lives can't be restarted under its id, but there may be another of its kind.
        hub.begun(restart(id))
        with refused(grpc.StatusCode.FAILED_PRECONDITION):
            restart(id)
        beside = restart(id, restart_with_new_instance_id=True)
        hub.raises(beside, "go", "d")
        equal(hub.output(beside), [{"n": 1}, "d"])
        equal(hub.status(id), Status.RUNNING)
        hub.client.terminate_orchestration(id)
        hub.ended(id)
        restart(id)
        hub.raises(id, "go", "e")
        equal(hub.output(id), [{"n": 1}, "e"])
    with refused(grpc.StatusCode.NOT_FOUND):
        restart("nobody")


@story
def results_of_a_former_execution(hub):
    """An activity that outlives its execution is not taken for the next one's, though its task id is the same."""
    gates = [threading.Event() for _ in range(3)]
    begun = Seen()

    def slow(ctx, _):
        number = begun.add(None) - 1
        gates[number].wait(20)
        return number

    def asks(ctx, _):
        number = yield ctx.call_activity(slow)
        return number

    with hub.worker([asks], [slow]):
        id = hub.start(asks, instance_id="again")
        until(lambda: len(begun) == 1, "the first one's activity")
        hub.client.terminate_orchestration(id)
        hub.client.restart_orchestration(id)
        until(lambda: len(begun) == 2, "the second one's activity")
        policy = replaceable(Status.RUNNING, Status.TERMINATED)
        hub.start(asks, instance_id=id, reuse_id_policy=policy)
        until(lambda: len(begun) == 3, "the third one's activity")
        for gate in gates:
            gate.set()
        equal(hub.output(id), 2)
