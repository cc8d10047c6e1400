"""Sub-orchestrations."""

import datetime

from durabletask import task

from hub import Seen, Status, equal, story, true, until


def plus_one(ctx, number):
    return number + 1


@story
def children(hub):
    def child(ctx, number):
        number = yield ctx.call_activity(plus_one, input=number)
        return [ctx.instance_id, ctx.parent_instance_id, number]

    def parent(ctx, number):
        given = yield ctx.call_sub_orchestrator(child, input=number, instance_id=f"{ctx.instance_id}-given")
        many = yield task.when_all([ctx.call_sub_orchestrator(child, input=i) for i in range(number)])
        return [given, many]

    with hub.worker([parent, child], [plus_one]):
        given, many = hub.run(parent, 5, instance_id="the-parent")
        equal(given, ["the-parent-given", "the-parent", 6])
        equal([number for _, _, number in many], [1, 2, 3, 4, 5], "the results")
        equal({parent for _, parent, _ in many}, {"the-parent"}, "the parent's id")
        equal(len({id for id, _, _ in many}), 5, "the count of ids")
        for id, _, _ in many:
            equal(hub.status(id), Status.COMPLETED, "a child's own status")


@story
def generations_of_children(hub):
    def nested(ctx, depth):
        if depth == 0:
            number = yield ctx.call_activity(plus_one, input=0)
            return number
        number = yield ctx.call_sub_orchestrator(nested, input=depth - 1)
        return number + 1

    with hub.worker([nested], [plus_one]):
        equal(hub.run(nested, 6), 7)


@story
def failure_of_a_child(hub):
    """Its type and its words reach the parent unchanged."""

    def broken(ctx, port):
        raise KeyError("deep down")

    def raises(ctx, port):
        yield ctx.create_timer(datetime.timedelta(0))
        raise ValueError(f"no such port: {port}")

    def fails_below(ctx, _):
        yield ctx.call_activity(broken)

    def parent(ctx, which):
        try:
            yield ctx.call_sub_orchestrator(which, input=80)
        except task.TaskFailedError as error:
            below = error.details.inner_failure
            return [error.details.error_type, error.details.message, below and below.message]

    with hub.worker([parent, raises, fails_below], [broken]):
        kind, message, _ = hub.run(parent, "raises")
        true(kind.endswith("ValueError"), f"the type is {kind}")
        equal(message, "no such port: 80")
        id = hub.start(fails_below, instance_id="the-same")
        alone = hub.failure(id)
        kind, message, below = hub.run(parent, "fails_below")
        equal(kind, alone.error_type, "the type")
        true("deep down" in message, f"the message is {message}")
        equal(below, alone.inner_failure and alone.inner_failure.message, "what lies below")


@story
def termination_of_a_child(hub):
    def waits(ctx, _):
        yield ctx.wait_for_external_event("never")

    def parent(ctx, _):
        try:
            yield ctx.call_sub_orchestrator(waits, instance_id="sacrificed")
        except task.TaskFailedError as error:
            return error.details.message

    with hub.worker([parent, waits]):
        id = hub.start(parent)
        until(lambda: hub.status("sacrificed") == Status.RUNNING, "the child runs")
        hub.client.terminate_orchestration("sacrificed")
        true("sacrificed" in hub.output(id), "the parent is not told which child")


@story
def child_with_a_taken_id(hub):
    def waits(ctx, _):
        yield ctx.wait_for_external_event("never")

    def parent(ctx, _):
        try:
            yield ctx.call_sub_orchestrator(waits, instance_id="taken")
        except task.TaskFailedError as error:
            return error.details.message

    with hub.worker([parent, waits]):
        hub.start(waits, instance_id="taken")
        true("already exists" in hub.run(parent), "the parent is told nothing of it")
        equal(hub.status("taken"), Status.RUNNING, "whoever had the id")


@story
def child_that_nobody_waits_for(hub):
    seen = Seen()

    def note(ctx, what):
        seen.add(what)

    def child(ctx, _):
        yield ctx.wait_for_external_event("go")
        yield ctx.call_activity(note, input="child")
        return "late"

    def parent(ctx, _):
        ctx.call_sub_orchestrator(child, instance_id="unattended")
        yield ctx.create_timer(datetime.timedelta(0))
        return "early"

    with hub.worker([parent, child], [note]):
        equal(hub.run(parent), "early")
        hub.begun("unattended")
        hub.raises("unattended", "go")
        equal(hub.output("unattended"), "late")
        equal(seen.all(), ["child"])
