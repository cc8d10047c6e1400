"""External events: before the start, while suspended, after the end, from one orchestration to another."""

import datetime

import grpc
from durabletask import task

from hub import Status, equal, refused, story, until


def collects(ctx, names):
    got = []
    for name in names:
        got.append((yield ctx.wait_for_external_event(name)))
    return got


@story
def events_before_the_start(hub):
    """No worker is there yet: they are kept, in their order."""
    id = hub.start(collects, ["a", "a", "b"])
    hub.raises(id, "b", {"deep": [1]})
    hub.raises(id, "a", 1)
    hub.raises(id, "a", 2)
    equal(hub.status(id), Status.PENDING)
    with hub.worker([collects]):
        equal(hub.output(id), [1, 2, {"deep": [1]}])


@story
def events_while_it_runs(hub):
    with hub.worker([collects]):
        id = hub.start(collects, ["n"] * 20)
        hub.begun(id)
        for number in range(20):
            hub.raises(id, "n", number)
        equal(hub.output(id), list(range(20)))


@story
def events_without_data(hub):
    with hub.worker([collects]):
        id = hub.start(collects, ["Odd Näme", "x"])
        hub.raises(id, "odd näme")
        hub.raises(id, "x", "")
        equal(hub.output(id), [None, ""])


@story
def events_while_suspended(hub):
    """They are held, and delivered in their order."""
    with hub.worker([collects]):
        id = hub.start(collects, ["a", "a", "b", "a"])
        hub.raises(id, "a", 1)
        hub.begun(id)
        hub.client.suspend_orchestration(id)
        for name, data in (("a", 2), ("b", 3), ("a", 4)):
            hub.raises(id, name, data)
        # What another one does in the meantime shows that the worker is not merely slow.
        other = hub.start(collects, ["z"])
        hub.raises(other, "z")
        hub.output(other)
        equal(hub.status(id), Status.SUSPENDED)
        hub.client.resume_orchestration(id)
        equal(hub.output(id), [1, 2, 3, 4])


@story
def events_after_the_end(hub):
    with hub.worker([collects]):
        id = hub.start(collects, [])
        equal(hub.output(id), [])
        hub.raises(id, "late", 1)
        equal(hub.output(id), [])
    with refused(grpc.StatusCode.NOT_FOUND):
        hub.raises("nobody", "lost", 1)


@story
def events_and_timeouts(hub):
    def waits(ctx, _):
        approved = ctx.wait_for_external_event("approved")
        winner = yield task.when_any([approved, ctx.create_timer(datetime.timedelta(milliseconds=150))])
        return winner == approved

    with hub.worker([waits]):
        equal(hub.run(waits), False)
        id = hub.start(waits)
        hub.raises(id, "approved")
        equal(hub.output(id), True)


@story
def events_from_orchestrations(hub):
    def tells(ctx, to):
        ctx.send_event(to, "told", data={"by": ctx.instance_id})
        ctx.send_event("nobody", "told", data=1)
        ctx.send_event(ctx.instance_id, "self", data="me")
        got = yield ctx.wait_for_external_event("self")
        return got

    with hub.worker([tells, collects]):
        listener = hub.start(collects, ["told", "told"])
        for id in ("one", "two"):
            equal(hub.output(hub.start(tells, listener, instance_id=id)), "me")
        until(lambda: hub.status(listener) == Status.COMPLETED, "it is told twice")
        equal({told["by"] for told in hub.output(listener)}, {"one", "two"})
