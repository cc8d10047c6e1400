"""Workers: versions, tags, filters, several of them, and such as are lost."""

import threading

from durabletask import task
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.worker import (
    ActivityWorkItemFilter,
    ConcurrencyOptions,
    OrchestrationWorkItemFilter,
    VersionFailureStrategy,
    VersioningOptions,
    VersionMatchStrategy,
    WorkItemFilters,
)

from hub import Seen, Status, equal, story, true, until


def says_version(ctx, _):
    yield ctx.wait_for_external_event("go")
    return ctx.version


@story
def versions(hub):
    def parent(ctx, _):
        given = yield ctx.call_sub_orchestrator(child, version="3.1")
        default = yield ctx.call_sub_orchestrator(child)
        return [ctx.version, given, default]

    def child(ctx, _):
        yield ctx.call_activity(nothing)
        return ctx.version

    def nothing(ctx, _):
        return None

    any_version = VersioningOptions(default_version="2.0", match_strategy=VersionMatchStrategy.NONE)
    with hub.worker([parent, child], [nothing], versioning=any_version):
        equal(hub.run(parent, version="1.0"), ["1.0", "3.1", "2.0"])


@story
def version_mismatches(hub):
    """A worker that rejects gives the turn back, and another one takes it; one that fails ends it."""
    strict = lambda version, failure: VersioningOptions(
        version=version, match_strategy=VersionMatchStrategy.STRICT, failure_strategy=failure
    )
    with hub.worker([says_version], versioning=strict("1.0", VersionFailureStrategy.REJECT)):
        id = hub.start(says_version, version="2.0")
        fitting = hub.start(says_version, version="1.0")
        for each in (id, fitting):
            hub.raises(each, "go")
        equal(hub.output(fitting), "1.0")
        equal(hub.status(id), Status.PENDING)
        with hub.worker([says_version], versioning=strict("2.0", VersionFailureStrategy.REJECT)):
            equal(hub.output(id), "2.0")
    hub.stopped()
    with hub.worker([says_version], versioning=strict("1.0", VersionFailureStrategy.FAIL)):
        equal(hub.failure(hub.start(says_version, version="2.0")).error_type, "VersionMismatch")


@story
def tags(hub):
    def nothing(ctx, _):
        return None

    def child(ctx, _):
        yield ctx.call_activity(nothing, tags={"a": "1"})

    def parent(ctx, _):
        yield ctx.call_sub_orchestrator(child, instance_id="tagged-child")

    with hub.worker([parent, child], [nothing]):
        given = {"team": "blue", "odd": "\u00e4 = \u00f6"}
        id = hub.start(parent, tags=given)
        hub.output(id)
        equal(hub.client.get_orchestration_history(id)[1].tags, given)
        # The package's own state leaves the tags out.
        state = hub.client._stub.GetInstance(pb.GetInstanceRequest(instanceId=id)).orchestrationState
        equal(dict(state.tags), given)
        child = hub.client.get_orchestration_history("tagged-child")
        equal([child[1].tags, child[2].tags], [None, {"a": "1"}], "the tags of the child and of its activity")


@story
def filters(hub):
    """Each worker is given only what it says it can do."""
    seen = {"left": Seen(), "right": Seen()}

    def hand(side):
        def works(ctx, number):
            seen[side].add(number)
            return side

        works.__name__ = f"{side}_works"
        return works

    def crosses(ctx, number):
        a = yield ctx.call_activity("left_works", input=number)
        b = yield ctx.call_activity("right_works", input=number)
        return [a, b]

    def right_only(ctx, number):
        result = yield ctx.call_activity("right_works", input=number)
        return result

    waiting = hub.start("right_only", 100)
    with hub.worker([crosses], [hand("left")], filters=WorkItemFilters(
        orchestrations=[OrchestrationWorkItemFilter("crosses")], activities=[ActivityWorkItemFilter("left_works")]
    )):
        ids = [hub.start(crosses, number) for number in range(10)]
        until(lambda: len(seen["left"]) == 10, "the left hand has done its part")
        equal(hub.status(waiting), Status.PENDING)
        equal({hub.status(id) for id in ids}, {Status.RUNNING})
        with hub.worker([right_only], [hand("right")], filters=WorkItemFilters(
            orchestrations=[OrchestrationWorkItemFilter("right_only")],
            activities=[ActivityWorkItemFilter("right_works")],
        )):
            for id in ids:
                equal(hub.output(id), ["left", "right"])
            equal(hub.output(waiting), "right")
            equal(sorted(seen["right"].all()), [*range(10), 100])
            # What nobody can do stays pending, and can be ended.
            nobodys = hub.start("nobodys")
            hub.run(crosses, 1)
            equal(hub.status(nobodys), Status.PENDING)
            hub.client.terminate_orchestration(nobodys)
            equal(hub.ended(nobodys).runtime_status, Status.TERMINATED)


@story
def filters_by_version(hub):
    def of(version):
        return WorkItemFilters(orchestrations=[OrchestrationWorkItemFilter("says_version", [version])])

    ids = {version: hub.start(says_version, version=version) for version in ("1.0", "2.0", "3.0")}
    for id in ids.values():
        hub.raises(id, "go")
    with hub.worker([says_version], filters=of("1.0")), hub.worker([says_version], filters=of("2.0")):
        for version in ("1.0", "2.0"):
            equal(hub.output(ids[version]), version)
        equal(hub.status(ids["3.0"]), Status.PENDING)
        with hub.worker([says_version]):
            equal(hub.output(ids["3.0"]), "3.0")


@story
def workers_beside_each_other(hub):
    """Small places: the work is spread over them, and each item is done once."""
    seen = [Seen() for _ in range(3)]

    def worker(number):
        def works(ctx, given):
            seen[number].add(given)
            return given

        return hub.worker([spread], [works], concurrency=ConcurrencyOptions(2, 2))

    def spread(ctx, count):
        results = yield task.when_all([ctx.call_activity("works", input=i) for i in range(count)])
        return results

    with worker(0), worker(1), worker(2):
        equal(hub.run(spread, 60), list(range(60)))
    equal(sorted(given for each in seen for given in each.all()), list(range(60)), "what was done")
    true(all(len(each) for each in seen), f"one had nothing to do: {[len(each) for each in seen]}")


@story
def a_lost_worker(hub):
    """The stream of the worker that has the activity ends: another worker is given it, and the late result is void."""
    begun, go_on = threading.Event(), threading.Event()

    def works_lost(ctx, _):
        begun.set()
        go_on.wait(20)
        return "late"

    def works_well(ctx, _):
        return "well"

    works_lost.__name__ = works_well.__name__ = "works"

    def asks(ctx, _):
        result = yield ctx.call_activity("works")
        return result

    with hub.worker([asks], [works_lost]) as lost:
        id = hub.start(asks)
        true(begun.wait(20), "the activity does not begin")
        lost._shutdown.set()
        lost._response_stream.cancel()
        with hub.worker([asks], [works_well]):
            equal(hub.output(id), "well")
            go_on.set()
    hub.stopped()
    equal(hub.output(id), "well")


@story
def no_worker_for_a_while(hub):
    def steps(ctx, _):
        got = yield ctx.wait_for_external_event("go")
        return got

    with hub.worker([steps]):
        id = hub.start(steps)
        hub.begun(id)
    hub.stopped()
    hub.raises(id, "go", 1)
    equal(hub.status(id), Status.RUNNING)
    with hub.worker([steps]):
        equal(hub.output(id), 1)


@story
def hubs_are_apart(hub):
    def here(ctx, _):
        yield ctx.call_activity("none_of_yours")

    other = type(hub)(hub.server, "another-hub")
    id = hub.start(says_version, instance_id="same-id")
    other.start(says_version, "of the other", instance_id="same-id")
    hub.raises(id, "go")
    with hub.worker([says_version]):
        hub.output(id)
        equal(other.status(id), Status.PENDING)
        other.client.terminate_orchestration(id)
        equal(hub.status(id), Status.COMPLETED)
