"""Terminate and purge, with sub-orchestrations and without."""

from hub import Status, equal, story, true, until


def waits(ctx, _):
    yield ctx.wait_for_external_event("go")


def child(ctx, _):
    yield ctx.call_sub_orchestrator(waits, instance_id=f"{ctx.instance_id}-child")


def parent(ctx, _):
    yield ctx.call_sub_orchestrator(child, instance_id=f"{ctx.instance_id}-child")


def leaves_children(ctx, _):
    """Ends, and its children run on."""
    ctx.call_sub_orchestrator(child, instance_id=f"{ctx.instance_id}-child")
    yield ctx.wait_for_external_event("end")


FAMILY = [parent, child, waits, leaves_children]


def family(hub, id):
    ids = [id, f"{id}-child", f"{id}-child-child"]
    hub.start(parent, instance_id=id)
    for each in ids:
        hub.begun(each)
    return ids


@story
def terminate_a_family(hub):
    with hub.worker(FAMILY):
        ids = family(hub, "together")
        hub.client.terminate_orchestration("together", output="all")
        for id in ids:
            equal(hub.ended(id).get_output(), "all")
            equal(hub.status(id), Status.TERMINATED)


@story
def terminate_only_the_parent(hub):
    with hub.worker(FAMILY):
        ids = family(hub, "alone")
        hub.client.terminate_orchestration("alone", recursive=False)
        equal(hub.ended("alone").runtime_status, Status.TERMINATED)
        equal([hub.status(id) for id in ids[1:]], [Status.RUNNING] * 2)
        hub.raises(ids[2], "go")
        for id in ids[1:]:
            hub.output(id)


@story
def terminate_through_what_has_ended(hub):
    """The child in between has ended, and its own child is still reached."""

    def middle(ctx, _):
        ctx.call_sub_orchestrator(waits, instance_id="grandchild")
        yield ctx.wait_for_external_event("end")

    def top(ctx, _):
        yield ctx.call_sub_orchestrator(middle, instance_id="middle")
        yield ctx.wait_for_external_event("never")

    with hub.worker([top, middle, waits]):
        id = hub.start(top)
        hub.begun("grandchild")
        hub.raises("middle", "end")
        hub.output("middle")
        hub.client.terminate_orchestration(id)
        equal(hub.ended("grandchild").runtime_status, Status.TERMINATED)


def ended_family(hub, id):
    ids = family(hub, id)
    hub.raises(ids[2], "go")
    for each in ids:
        hub.output(each)
    return ids


@story
def purge_a_family(hub):
    with hub.worker(FAMILY):
        ids = ended_family(hub, "together")
        purged = hub.client.purge_orchestration("together", recursive=True)
        true(purged.deleted_instance_count >= 1, f"{purged}")
        equal(purged.is_complete, True)
        for id in ids:
            until(lambda: hub.state(id) is None, f"{id} is gone")


@story
def purge_only_the_parent(hub):
    with hub.worker(FAMILY):
        ids = ended_family(hub, "alone")
        equal(hub.client.purge_orchestration("alone", recursive=False).deleted_instance_count, 1)
        equal([hub.status(id) for id in ids], [None, Status.COMPLETED, Status.COMPLETED])
        # The id is free, and its child is replaced.
        ended_family(hub, "alone")


@story
def purge_of_what_lives(hub):
    id = hub.start(waits)
    equal(hub.client.purge_orchestration(id).deleted_instance_count, 0)
    equal(hub.client.purge_orchestrations_by().deleted_instance_count, 0)
    equal(hub.status(id), Status.PENDING)


@story
def purge_by_filter(hub):
    def fails(ctx, _):
        raise ValueError("no")
        yield

    with hub.worker([waits, fails]):
        ids = {status: [] for status in (Status.COMPLETED, Status.FAILED, Status.TERMINATED)}
        for _ in range(3):
            ids[Status.COMPLETED].append(hub.start(waits))
            hub.raises(ids[Status.COMPLETED][-1], "go")
            ids[Status.FAILED].append(hub.start(fails))
            ids[Status.TERMINATED].append(hub.start(waits))
            hub.client.terminate_orchestration(ids[Status.TERMINATED][-1])
        for status in ids:
            for id in ids[status]:
                equal(hub.ended(id).runtime_status, status)
        between = hub.state(ids[Status.FAILED][-1]).created_at
        purge = hub.client.purge_orchestrations_by
        equal(purge(runtime_status=[Status.FAILED]).deleted_instance_count, 3, "the failed ones")
        equal(purge(created_time_from=between).deleted_instance_count, 1, "those after the last failed one")
        equal(purge(created_time_to=between).deleted_instance_count, 5, "the others")
        equal(hub.client.get_all_orchestration_states(), [])
