"""Suspend, resume, terminate, wait: in every state."""

import datetime

import grpc
from durabletask import task

from hub import Status, equal, refused, story, true


def plus_one(ctx, number):
    return number + 1


def waits(ctx, _):
    got = yield ctx.wait_for_external_event("go")
    return got


@story
def control_without_a_worker(hub):
    """What is pending is controlled by the server alone."""
    control = hub.client
    id = hub.start(waits)
    equal(hub.status(id), Status.PENDING)
    control.resume_orchestration(id)
    equal(hub.status(id), Status.PENDING)
    control.suspend_orchestration(id, reason="later")
    control.suspend_orchestration(id)
    equal(hub.status(id), Status.SUSPENDED)
    control.resume_orchestration(id)
    control.resume_orchestration(id)
    equal(hub.status(id), Status.PENDING)
    control.suspend_orchestration(id)
    control.terminate_orchestration(id, output={"why": "enough"})
    state = hub.ended(id)
    equal(state.runtime_status, Status.TERMINATED)
    equal(state.get_output(), {"why": "enough"})
    equal(state.failure_details, None)


@story
def control_of_what_runs(hub):
    control = hub.client
    with hub.worker([waits]):
        id = hub.start(waits)
        hub.begun(id)
        equal(hub.status(id), Status.RUNNING)
        for _ in range(3):
            control.suspend_orchestration(id)
            control.suspend_orchestration(id)
            equal(hub.status(id), Status.SUSPENDED)
            control.resume_orchestration(id)
            control.resume_orchestration(id)
            equal(hub.status(id), Status.RUNNING)
        hub.raises(id, "go", "went")
        equal(hub.output(id), "went")
        other = hub.start(waits)
        hub.begun(other)
        control.terminate_orchestration(other)
        state = hub.ended(other)
        equal((state.runtime_status, state.serialized_output), (Status.TERMINATED, None))


@story
def control_of_what_is_suspended(hub):
    control = hub.client
    with hub.worker([waits]):
        id = hub.start(waits)
        hub.begun(id)
        control.suspend_orchestration(id)
        control.terminate_orchestration(id, output="enough")
        equal(hub.ended(id).get_output(), "enough")
        equal(hub.status(id), Status.TERMINATED)


@story
def suspended_before_the_first_turn(hub):
    control = hub.client
    id = hub.start(waits)
    control.suspend_orchestration(id)
    hub.raises(id, "go", "went")
    with hub.worker([waits]):
        other = hub.start(waits)
        hub.raises(other, "go")
        hub.output(other)
        equal(hub.status(id), Status.SUSPENDED)
        control.resume_orchestration(id)
        equal(hub.output(id), "went")


@story
def results_while_suspended(hub):
    """Activities and timers go on, and what they bring is held."""

    def works(ctx, number):
        yield ctx.wait_for_external_event("go")
        results = yield task.when_all([ctx.call_activity(plus_one, input=i) for i in range(number)])
        yield ctx.create_timer(datetime.timedelta(milliseconds=10))
        return results

    control = hub.client
    with hub.worker([works], [plus_one]):
        ids = [hub.start(works, 5) for _ in range(5)]
        for id in ids:
            hub.begun(id)
            hub.raises(id, "go")
            control.suspend_orchestration(id)
        for _ in range(3):
            for id in ids:
                control.resume_orchestration(id)
                control.suspend_orchestration(id)
        for id in ids:
            control.resume_orchestration(id)
            equal(hub.output(id), [1, 2, 3, 4, 5])


@story
def control_of_what_has_ended(hub):
    control = hub.client
    with hub.worker([waits]):
        completed, terminated = hub.start(waits), hub.start(waits)
        hub.raises(completed, "go", 1)
        equal(hub.output(completed), 1)
        control.terminate_orchestration(terminated)
        for id, status in ((completed, Status.COMPLETED), (terminated, Status.TERMINATED)):
            control.suspend_orchestration(id)
            control.resume_orchestration(id)
            control.terminate_orchestration(id, output="late")
            equal(hub.ended(id).runtime_status, status)
        equal(hub.output(completed), 1)


@story
def control_of_nobody(hub):
    hub.client.terminate_orchestration("nobody")
    for call in (hub.client.suspend_orchestration, hub.client.resume_orchestration):
        with refused(grpc.StatusCode.NOT_FOUND):
            call("nobody")
    equal(hub.state("nobody"), None)
    equal(hub.client.purge_orchestration("nobody").deleted_instance_count, 0)


@story
def waits_that_time_out(hub):
    id = hub.start(waits)
    for wait, what in (
        (hub.client.wait_for_orchestration_start, id),
        (hub.client.wait_for_orchestration_completion, id),
        (hub.client.wait_for_orchestration_start, "nobody"),
    ):
        try:
            wait(what, timeout=0.3)
        except TimeoutError:
            continue
        raise AssertionError(f"{wait.__name__} of {what} did not wait")
    equal(hub.status(id), Status.PENDING)
    with hub.worker([waits]):
        equal(hub.begun(id).runtime_status, Status.RUNNING)
        hub.raises(id, "go")
        equal(hub.ended(id).runtime_status, Status.COMPLETED)
        true(hub.begun(id).runtime_status == Status.COMPLETED, "what has ended has begun")
