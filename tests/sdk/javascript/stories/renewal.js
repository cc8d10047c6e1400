// Continue-as-new.
"use strict";

const assert = require("node:assert/strict");
const { Status } = require("../hub");

module.exports = {
  async tenGenerations(hub) {
    const seen = [];
    const note = async (_, number) => {
      seen.push(number);
    };
    const counts = async function* counts(ctx, number) {
      yield ctx.callActivity(note, number);
      ctx.setCustomStatus(`generation ${number}`);
      if (number < 10) {
        ctx.continueAsNew(number + 1, false);
        return;
      }
      return number;
    };
    await hub.withWorker([counts], [note], async () => {
      const id = await hub.start(counts, 1);
      const { createdAt } = await hub.state(id);
      assert.equal(await hub.output(id), 10);
      assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      const state = await hub.state(id);
      assert.deepEqual(state.createdAt, createdAt);
      assert.deepEqual([state.serializedInput, state.serializedCustomStatus], ["10", '"generation 10"']);
    });
  },

  async eventsAreCarried(hub) {
    const takesOne = async function* takesOne(ctx, taken) {
      taken = [...taken, yield ctx.waitForExternalEvent("n")];
      if (taken.length < 10) {
        ctx.continueAsNew(taken, true);
        return;
      }
      return taken;
    };
    const raiseAll = async (id) => {
      for (let i = 0; i < 10; i++) await hub.raise(id, "n", i);
    };
    const before = await hub.start(takesOne, []);
    await raiseAll(before);
    await hub.withWorker([takesOne], [], async () => {
      assert.deepEqual(await hub.output(before), [...Array(10).keys()]);
      const meanwhile = await hub.start(takesOne, []);
      await raiseAll(meanwhile);
      assert.deepEqual(await hub.output(meanwhile), [...Array(10).keys()]);
    });
  },

  async eventsAreDropped(hub) {
    const takesOne = async function* takesOne(ctx, generation) {
      const got = yield ctx.waitForExternalEvent("n");
      if (generation < 2) {
        ctx.continueAsNew(generation + 1, false);
        return;
      }
      return got;
    };
    const id = await hub.start(takesOne, 1);
    await hub.raise(id, "n", "first");
    await hub.raise(id, "n", "lost");
    await hub.withWorker([takesOne], [], async () => {
      await hub.untilInput(id, 2);
      await hub.raise(id, "n", "second");
      assert.equal(await hub.output(id), "second");
    });
  },

  async renewalOfAChild(hub) {
    const child = async function* child(ctx, number) {
      yield ctx.createTimer(0);
      if (number < 5) {
        ctx.continueAsNew(number + 1, false);
        return;
      }
      return [number, ctx.parent?.instanceId];
    };
    const parent = async function* parent(ctx) {
      return yield ctx.callSubOrchestrator(child, 1);
    };
    await hub.withWorker([parent, child], [], async () => {
      assert.deepEqual(await hub.run(parent, null, { instanceId: "the-parent" }), [5, "the-parent"]);
    });
  },

  async suspendedRenewal(hub) {
    const waits = async function* waits(ctx, generation) {
      yield ctx.waitForExternalEvent("next");
      ctx.continueAsNew(generation + 1, true);
    };
    await hub.withWorker([waits], [], async () => {
      const tags = { team: "blue" };
      const id = await hub.start(waits, 1, { tags });
      await hub.raise(id, "next");
      await hub.untilInput(id, 2);
      assert.deepEqual((await hub.state(id)).tags, tags);
      await hub.client.suspendOrchestration(id);
      await hub.raise(id, "next");
      assert.equal(await hub.status(id), Status.SUSPENDED);
      await hub.client.resumeOrchestration(id);
      await hub.untilInput(id, 3);
      await hub.client.terminateOrchestration(id, "enough");
      assert.equal((await hub.ended(id)).serializedOutput, '"enough"');
    });
  },
};
