"""Continue-as-new."""

import datetime
import threading

from hub import Seen, Status, equal, story, true, until


@story
def ten_generations(hub):
    seen = Seen()

    def note(ctx, what):
        seen.add(what)

    def counts(ctx, number):
        yield ctx.call_activity(note, input=number)
        ctx.set_custom_status(f"generation {number}")
        if number < 10:
            ctx.continue_as_new(number + 1)
            return None
        return number

    with hub.worker([counts], [note]):
        id = hub.start(counts, 1)
        created = hub.state(id).created_at
        equal(hub.output(id), 10)
        equal(seen.all(), list(range(1, 11)))
        state = hub.state(id)
        equal(state.get_input(), 10, "the input of the last generation")
        equal(state.created_at, created, "when it was created")
        equal(state.get_custom_status(), "generation 10")


@story
def a_tight_loop(hub):
    def counts(ctx, number):
        if number < 50:
            ctx.continue_as_new(number + 1)
            return None
        yield ctx.create_timer(datetime.timedelta(0))
        return number

    with hub.worker([counts]):
        equal(hub.run(counts, 0), 50)


@story
def events_are_carried(hub):
    """Each generation takes one event; all are there before the first begins."""

    def takes_one(ctx, taken):
        taken.append((yield ctx.wait_for_external_event("n")))
        if len(taken) < 10:
            ctx.continue_as_new(taken, save_events=True)
            return None
        return taken

    id = hub.start(takes_one, [])
    for number in range(10):
        hub.raises(id, "n", number)
    with hub.worker([takes_one]):
        equal(hub.output(id), list(range(10)))
        # And when they come while the generations pass.
        id = hub.start(takes_one, [])
        for number in range(10):
            hub.raises(id, "n", number)
        equal(hub.output(id), list(range(10)))


@story
def events_are_dropped(hub):
    """Without carrying, a generation loses what came before it."""

    def takes_one(ctx, generation):
        got = yield ctx.wait_for_external_event("n")
        if generation < 2:
            ctx.set_custom_status(generation)
            ctx.continue_as_new(generation + 1, save_events=False)
            return None
        return got

    id = hub.start(takes_one, 1)
    hub.raises(id, "n", "first")
    hub.raises(id, "n", "lost")
    with hub.worker([takes_one]):
        until(lambda: hub.state(id).get_input() == 2, "the second generation")
        equal(hub.state(id).get_custom_status(), 1, "the status that the first one has set")
        hub.raises(id, "n", "second")
        equal(hub.output(id), "second")


@story
def renewal_of_a_child(hub):
    """Its parent hears of the last generation only."""

    def child(ctx, number):
        yield ctx.create_timer(datetime.timedelta(0))
        if number < 5:
            ctx.continue_as_new(number + 1)
            return None
        return [number, ctx.parent_instance_id]

    def parent(ctx, _):
        result = yield ctx.call_sub_orchestrator(child, input=1)
        return result

    with hub.worker([parent, child]):
        equal(hub.run(parent, instance_id="the-parent"), [5, "the-parent"])


@story
def results_of_a_former_generation(hub):
    """What the former one had scheduled is not taken for the new one's, though its task ids are the same."""

    released = threading.Event()

    def slow(ctx, generation):
        if generation == 1:
            released.wait(20)
        return f"of {generation}"

    def leaves_it(ctx, generation):
        result = ctx.call_activity(slow, input=generation)
        if generation == 1:
            yield ctx.wait_for_external_event("go on")
            ctx.continue_as_new(2)
            return None
        yield result
        return result.get_result()

    with hub.worker([leaves_it], [slow]):
        id = hub.start(leaves_it, 1)
        hub.begun(id)
        hub.raises(id, "go on")
        until(lambda: hub.state(id).get_input() == 2, "the second generation")
        released.set()
        equal(hub.output(id), "of 2")


@story
def suspended_renewal(hub):
    def waits(ctx, generation):
        yield ctx.wait_for_external_event("next")
        ctx.continue_as_new(generation + 1)

    with hub.worker([waits]):
        id = hub.start(waits, 1)
        hub.begun(id)
        hub.raises(id, "next")
        until(lambda: hub.state(id).get_input() == 2, "the second generation")
        hub.client.suspend_orchestration(id)
        hub.raises(id, "next")
        equal(hub.status(id), Status.SUSPENDED)
        hub.client.resume_orchestration(id)
        until(lambda: hub.state(id).get_input() == 3, "the third generation")
        hub.client.terminate_orchestration(id, output="enough")
        equal(hub.ended(id).get_output(), "enough")
        true(hub.status(id) == Status.TERMINATED, "it is not terminated")
