"""Queries: pages, filters, prefixes."""

import asyncio
import datetime

from durabletask.client import AsyncTaskHubGrpcClient, OrchestrationQuery

from hub import LONGEST, Status, equal, log, story, true


def waits(ctx, _):
    got = yield ctx.wait_for_external_event("go")
    return got


def ids(states):
    return [state.instance_id for state in states]


@story
def queries(hub):
    query = lambda **asked: ids(hub.client.get_all_orchestration_states(OrchestrationQuery(**asked)))
    all_ids = [f"{'odd' if number % 2 else 'even'}-{number:02}" for number in range(23)]
    for id in all_ids[:10]:
        hub.start(waits, {"n": id}, instance_id=id)
    between = hub.state(all_ids[9]).created_at
    for id in all_ids[10:]:
        hub.start(waits, {"n": id}, instance_id=id)
    equal(query(), all_ids, "all")
    equal(query(max_instance_count=5), all_ids, "pages of 5")
    equal(query(max_instance_count=1), all_ids, "pages of 1")
    equal(query(max_instance_count=23), all_ids, "one page")
    odd = [id for id in all_ids if id.startswith("odd")]
    equal(query(instance_id_prefix="odd-", max_instance_count=4), odd, "a prefix")
    equal(query(instance_id_prefix="none-"), [], "a prefix of nothing")
    equal(query(created_time_to=between, max_instance_count=3), all_ids[:10], "the first ones")
    equal(query(created_time_from=between, max_instance_count=3), all_ids[9:], "the last ones")
    equal(query(created_time_from=between + datetime.timedelta(hours=1)), [], "those of the future")
    for id in odd[:4]:
        hub.client.terminate_orchestration(id)
    for id in odd[4:7]:
        hub.client.suspend_orchestration(id)
    equal(query(runtime_status=[Status.TERMINATED], max_instance_count=3), odd[:4], "the terminated")
    equal(query(runtime_status=[Status.SUSPENDED, Status.TERMINATED], max_instance_count=2), odd[:7], "both")
    equal(query(runtime_status=[Status.COMPLETED]), [], "the completed")
    equal(
        query(runtime_status=[Status.PENDING], instance_id_prefix="odd", created_time_from=between),
        [id for id in odd[7:] if id in all_ids[9:]],
        "all filters at once",
    )


@story
def payloads_of_queries(hub):
    with hub.worker([waits]):
        id = hub.start(waits, {"big": "in"})
        hub.raises(id, "go", "out")
        hub.output(id)
    query = lambda fetch: hub.client.get_all_orchestration_states(OrchestrationQuery(fetch_inputs_and_outputs=fetch))
    [bare], [full] = query(False), query(True)
    equal((bare.serialized_input, bare.serialized_output), (None, None))
    equal((full.get_input(), full.get_output()), ({"big": "in"}, "out"))
    equal((full.name, full.runtime_status), ("waits", Status.COMPLETED))
    true(full.created_at <= full.last_updated_at, "the times")


@story
def ids_of_what_has_ended(hub):
    ended = [hub.start(waits, instance_id=f"ended-{number}") for number in range(7)]
    hub.start(waits, instance_id="lives")
    for id in ended:
        hub.client.terminate_orchestration(id)
    found, token = [], None
    while True:
        page = hub.client.list_instance_ids(page_size=3, continuation_token=token)
        true(len(page.items) <= 3, f"a page of {len(page.items)}")
        found += page.items
        token = page.continuation_token
        if token is None:
            break
        true(found[-1] in token, f"'{token}' does not name '{found[-1]}'")
    equal(found, ended)
    equal(hub.client.list_instance_ids(runtime_status=[Status.COMPLETED]).items, [])
    future = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    equal(hub.client.list_instance_ids(completed_time_from=future).items, [])
    equal(hub.client.list_instance_ids(completed_time_to=future).items, ended)


@story
def the_asynchronous_client(hub):
    """The package's other client: many calls at a time over one connection."""

    async def asks():
        reached = {"host_address": hub.server.address, "metadata": hub.metadata, "logger": log}
        async with AsyncTaskHubGrpcClient(**reached) as client:
            started = [client.schedule_new_orchestration(waits) for _ in range(50)]
            started = await asyncio.gather(*started)
            waiting = [client.wait_for_orchestration_completion(id, timeout=LONGEST) for id in started]
            waiting = asyncio.gather(*waiting)
            await asyncio.gather(*[client.raise_orchestration_event(id, "go", data=id) for id in started])
            equal([state.get_output() for state in await waiting], list(started))
            found = await client.get_all_orchestration_states(OrchestrationQuery(max_instance_count=7))
            equal(set(ids(found)), set(started))

    with hub.worker([waits]):
        asyncio.run(asks())
