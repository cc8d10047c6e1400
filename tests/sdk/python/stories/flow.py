"""Activities, timers, custom status, failures: what one orchestrator does by itself."""

import datetime
import time

from durabletask import task

from hub import Seen, Status, equal, story, true, until


def plus_one(ctx, number):
    return number + 1


@story
def sequence(hub):
    def three_steps(ctx, number):
        for _ in range(3):
            number = yield ctx.call_activity(plus_one, input=number)
        return number

    with hub.worker([three_steps], [plus_one]):
        equal(hub.run(three_steps, 1), 4)


@story
def fan_out_fan_in(hub):
    def spread(ctx, number):
        results = yield task.when_all([ctx.call_activity(plus_one, input=i) for i in range(number)])
        return results

    with hub.worker([spread], [plus_one]):
        equal(hub.run(spread, 20), list(range(1, 21)))


@story
def activity_failure(hub):
    def broken(ctx, port):
        raise ValueError(f"no such port: {port}")

    def lets_it_fail(ctx, port):
        yield ctx.call_activity(broken, input=port)

    def catches(ctx, port):
        try:
            yield ctx.call_activity(broken, input=port)
        except task.TaskFailedError as error:
            return [error.details.error_type.rsplit(".")[-1], error.details.message]

    with hub.worker([lets_it_fail, catches], [broken]):
        equal(hub.run(catches, 80), ["ValueError", "no such port: 80"])
        failure = hub.failure(hub.start(lets_it_fail, 81))
        true("no such port: 81" in failure.message, failure)
        true(failure.stack_trace, "the stack trace is lost")


@story
def unknown_names(hub):
    def calls_nobody(ctx, _):
        yield ctx.call_activity("nobody")

    with hub.worker([calls_nobody]):
        true("nobody" in hub.failure(hub.start(calls_nobody)).message, "the activity is not named")
        true("nothing" in hub.failure(hub.start("nothing")).message, "the orchestrator is not named")


@story
def timers(hub):
    def sleeps(ctx, milliseconds):
        before = ctx.current_utc_datetime
        yield ctx.create_timer(datetime.timedelta(milliseconds=milliseconds))
        return (ctx.current_utc_datetime - before).total_seconds()

    def sleeps_until_the_past(ctx, _):
        yield ctx.create_timer(ctx.current_utc_datetime - datetime.timedelta(hours=1))
        return "fired"

    def abandons(ctx, number):
        timer = ctx.create_timer(datetime.timedelta(hours=1))
        activity = ctx.call_activity(plus_one, input=number)
        winner = yield task.when_any([timer, activity])
        return activity.get_result() if winner == activity else "the timer"

    def many(ctx, number):
        yield task.when_all([ctx.create_timer(datetime.timedelta(milliseconds=10 * i)) for i in range(number)])
        return "all"

    with hub.worker([sleeps, sleeps_until_the_past, abandons, many], [plus_one]):
        hub.run(sleeps, 0)
        equal(hub.run(sleeps_until_the_past), "fired")
        # The clock that orchestrators see has reached the timer's time.
        slept = [hub.run(sleeps, 200) for _ in range(3)]
        true(min(slept) >= 0.2, f"too early: {slept}")
        true(min(slept) < 0.4, f"too late: {slept}")
        equal(hub.run(abandons, 1), 2)
        equal(hub.run(many, 30), "all")


@story
def abandoned_timer_fires_unheard(hub):
    def outlives(ctx, _):
        timer = ctx.create_timer(datetime.timedelta(milliseconds=50))
        activity = ctx.call_activity(plus_one, input=1)
        yield task.when_any([timer, activity])
        yield ctx.create_timer(datetime.timedelta(milliseconds=200))
        number = yield ctx.call_activity(plus_one, input=2)
        return number

    with hub.worker([outlives], [plus_one]):
        equal(hub.run(outlives), 3)


@story
def custom_status(hub):
    def shows(ctx, _):
        ctx.set_custom_status({"step": 1})
        yield ctx.wait_for_external_event("next")
        # This package sends nothing for None, and "" as the two quotes of JSON.
        ctx.set_custom_status("")
        yield ctx.wait_for_external_event("next")
        ctx.set_custom_status("done")
        return "end"

    with hub.worker([shows]):
        id = hub.start(shows)
        until(lambda: hub.state(id).get_custom_status() == {"step": 1}, "the first status")
        hub.raises(id, "next")
        until(lambda: hub.state(id).serialized_custom_status == '""', "the empty status")
        hub.raises(id, "next")
        equal(hub.output(id), "end")
        equal(hub.state(id).get_custom_status(), "done")
        bare = hub.client.get_orchestration_state(id, fetch_payloads=False)
        equal((bare.serialized_custom_status, bare.serialized_output), (None, None), "what was not asked for")


@story
def inputs_and_outputs(hub):
    """Nothing, an empty text and odd letters arrive as they were sent."""

    def returns_input(ctx, given):
        yield ctx.create_timer(datetime.timedelta(0))
        return given

    def twice(ctx, given):
        return [given, given]

    def through_activity(ctx, given):
        pair = yield ctx.call_activity(twice, input=given)
        return pair

    with hub.worker([returns_input, through_activity], [twice]):
        for value in (None, "", 0, False, [], {"ä": "\U0001f3bb\n\t\"\\\x01"}, "null", 1e300):
            id = hub.start(returns_input, value)
            equal(hub.output(id), value)
            equal(hub.state(id).get_input(), value, "the input")
            equal(hub.run(through_activity, value), [value, value])


@story
def replays_are_told_the_same(hub):
    """Times and random ids are the same in each replay."""
    seen = Seen()

    def note(ctx, what):
        seen.add(what)

    def constant(ctx, _):
        first, id = ctx.current_utc_datetime.isoformat(), ctx.new_uuid()
        yield ctx.call_activity(note, input=[first, id])
        yield ctx.create_timer(datetime.timedelta(milliseconds=20))
        yield ctx.call_activity(note, input=[first, id])
        return ctx.instance_id

    with hub.worker([constant], [note]):
        equal(hub.run(constant, instance_id="constant"), "constant")
        equal(*seen.all())


@story
def history(hub):
    def child(ctx, _):
        yield ctx.create_timer(datetime.timedelta(0))
        return "child"

    def all_kinds(ctx, _):
        yield ctx.call_activity(plus_one, input=1, tags={"kind": "small"})
        yield ctx.create_timer(datetime.timedelta(milliseconds=10))
        yield ctx.call_sub_orchestrator(child, instance_id="its-child")
        return "parent"

    with hub.worker([all_kinds, child], [plus_one]):
        id = hub.start(all_kinds, "in", tags={"team": "blue"})
        equal(hub.output(id), "parent")
        events = hub.client.get_orchestration_history(id)
    kinds = [type(event).__name__.removesuffix("Event") for event in events]
    wanted = (
        "OrchestratorStarted ExecutionStarted TaskScheduled OrchestratorStarted TaskCompleted TimerCreated "
        "OrchestratorStarted TimerFired SubOrchestrationInstanceCreated OrchestratorStarted "
        "SubOrchestrationInstanceCompleted ExecutionCompleted"
    )
    equal(" ".join(kinds), wanted, "the history")
    ids = [event.event_id for event in events if event.event_id >= 0]
    equal(ids, sorted(set(ids)), "the order of the ids")
    times = [event.timestamp for event in events]
    turns = [time for time, kind in zip(times, kinds) if kind == "OrchestratorStarted"]
    equal(turns, sorted(turns), "the order of the turns")
    started, scheduled, completed = events[1], events[2], events[4]
    equal((started.name, started.input, started.tags), ("all_kinds", '"in"', {"team": "blue"}), "what started")
    equal((scheduled.name, scheduled.input, scheduled.tags), ("plus_one", "1", {"kind": "small"}), "the activity")
    equal((completed.task_scheduled_id, completed.result), (scheduled.event_id, "2"), "its end")
    equal((events[7].timer_id, events[7].fire_at), (events[5].event_id, events[5].fire_at), "the timer")
    equal((events[8].instance_id, events[10].result), ("its-child", '"child"'), "the child")
    equal((events[11].orchestration_status, events[11].result), (Status.COMPLETED.value, '"parent"'), "the end")
    parent = hub.client.get_orchestration_history("its-child")[1].parent_instance
    equal((parent.name, parent.orchestration_instance.instance_id), ("all_kinds", id), "the child's parent")
    true(time.time() + 1 > max(times).timestamp(), "the history is of the future")
