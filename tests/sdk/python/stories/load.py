"""Large payloads and many at once."""

import datetime

import grpc
from durabletask import task

from hub import Seen, equal, refused, story, true, until

# What the server is told to take at most, less the quotes that JSON puts around a text.
LARGEST = (3 << 20) - 2


def length(ctx, text):
    return len(text)


def letters(ctx, count):
    return "y" * count


@story
def large_payloads(hub):
    def takes(ctx, text):
        yield ctx.call_activity(length, input="short")
        return len(text)

    def passes_on(ctx, count):
        result = yield ctx.call_activity(length, input="x" * count)
        return result

    def returns(ctx, count):
        text = yield ctx.call_activity(letters, input=count)
        return text

    def receives(ctx, _):
        text = yield ctx.wait_for_external_event("text")
        return len(text)

    with hub.worker([takes, passes_on, returns, receives], [length, letters]):
        equal(hub.run(takes, "z" * LARGEST), LARGEST, "an orchestration's input")
        equal(hub.run(passes_on, LARGEST), LARGEST, "an activity's input")
        equal(hub.run(returns, LARGEST), "y" * LARGEST, "an activity's output, and an orchestration's")
        id = hub.start(receives)
        hub.raises(id, "text", "x" * LARGEST)
        equal(hub.output(id), LARGEST, "an event")


@story
def too_large_payloads(hub):
    """Larger ones end with words that say so, and not with silence."""

    def passes_on(ctx, count):
        yield ctx.call_activity(length, input="x" * count)

    def returns_from_activity(ctx, count):
        yield ctx.call_activity(letters, input=count)

    def returns(ctx, count):
        yield ctx.create_timer(datetime.timedelta(0))
        return "x" * count

    def starts(ctx, count):
        yield ctx.call_sub_orchestrator(returns, input="x" * count)

    def shows(ctx, count):
        ctx.set_custom_status("x" * count)
        yield ctx.wait_for_external_event("never")

    def renews(ctx, count):
        yield ctx.create_timer(datetime.timedelta(0))
        ctx.continue_as_new("x" * count)

    def remembers_too_much(ctx, count):
        for _ in range(2):
            yield ctx.call_activity(letters, input=count)

    orchestrators = [passes_on, returns_from_activity, returns, starts, shows, renews]
    with hub.worker([*orchestrators, remembers_too_much], [length, letters]):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "bytes"):
            hub.start(passes_on, "x" * (LARGEST + 1))
        # The second one is more than the package takes in one message.
        for count in (LARGEST + 1, 5 << 20):
            for orchestrator in orchestrators:
                message = hub.failure(hub.start(orchestrator, count)).message
                true(f"has {count + 2} bytes" in message, f"{orchestrator.__name__}: {message}")
        # A turn brings the whole history.
        failure = hub.failure(hub.start(remembers_too_much, 5 << 19))
        equal(failure.error_type, "HistoryTooLarge")


@story
def two_hundred_at_once(hub):
    def works(ctx, number):
        pair = yield task.when_all([ctx.call_activity(plus, input=number), ctx.call_activity(plus, input=-number)])
        return pair

    def plus(ctx, number):
        return number + 1

    with hub.worker([works], [plus]):
        ids = [hub.start(works, number, instance_id=f"n-{number}") for number in range(200)]
        for number, id in enumerate(ids):
            equal(hub.output(id), [number + 1, 1 - number])


@story
def more_results_than_one_turn_takes(hub):
    """They pile up while it is suspended."""
    seen = Seen()

    def plus(ctx, number):
        seen.add(number)
        return number + 1

    def spread(ctx, count):
        results = yield task.when_all([ctx.call_activity(plus, input=i) for i in range(count)])
        return sum(results)

    with hub.worker([spread], [plus]):
        id = hub.start(spread, 1100)
        until(lambda: len(seen) > 0, "the first activity")
        hub.client.suspend_orchestration(id)
        until(lambda: len(seen) == 1100, "all activities")
        hub.client.resume_orchestration(id)
        equal(hub.output(id), 1100 * 1101 // 2)
