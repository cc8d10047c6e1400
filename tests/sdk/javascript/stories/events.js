// External events: before the start, while suspended, after the end, from one orchestration to another.
"use strict";

const assert = require("node:assert/strict");
const { whenAny } = require("@microsoft/durabletask-js");
const { Status, refused } = require("../hub");

const collects = async function* collects(ctx, names) {
  const got = [];
  for (const name of names) got.push(yield ctx.waitForExternalEvent(name));
  return got;
};

module.exports = {
  async eventsBeforeTheStart(hub) {
    const id = await hub.start(collects, ["a", "a", "b"]);
    await hub.raise(id, "b", { deep: [1] });
    await hub.raise(id, "a", 1);
    await hub.raise(id, "a", 2);
    assert.equal(await hub.status(id), Status.PENDING);
    await hub.withWorker([collects], [], async () => {
      assert.deepEqual(await hub.output(id), [1, 2, { deep: [1] }]);
    });
  },

  async eventsWhileItRuns(hub) {
    await hub.withWorker([collects], [], async () => {
      const id = await hub.start(collects, Array(20).fill("n"));
      await hub.begun(id);
      for (let i = 0; i < 20; i++) await hub.raise(id, "n", i);
      assert.deepEqual(await hub.output(id), [...Array(20).keys()]);
    });
  },

  async eventsWhileSuspended(hub) {
    await hub.withWorker([collects], [], async () => {
      const id = await hub.start(collects, ["a", "a", "b", "a"]);
      await hub.raise(id, "a", 1);
      await hub.begun(id);
      await hub.client.suspendOrchestration(id);
      await hub.raise(id, "a", 2);
      await hub.raise(id, "b", 3);
      await hub.raise(id, "a", 4);
      // What another one does in the meantime shows that the worker is not merely slow.
      const other = await hub.start(collects, ["z"]);
      await hub.raise(other, "z");
      await hub.output(other);
      assert.equal(await hub.status(id), Status.SUSPENDED);
      await hub.client.resumeOrchestration(id);
      assert.deepEqual(await hub.output(id), [1, 2, 3, 4]);
    });
  },

  async eventsAfterTheEnd(hub) {
    await hub.withWorker([collects], [], async () => {
      const id = await hub.start(collects, []);
      assert.deepEqual(await hub.output(id), []);
      await hub.raise(id, "late", 1);
      assert.deepEqual(await hub.output(id), []);
    });
    await refused(5, () => hub.raise("nobody", "lost", 1));
  },

  async eventsAndTimeouts(hub) {
    const waits = async function* waits(ctx) {
      const approved = ctx.waitForExternalEvent("approved");
      const winner = yield whenAny([approved, ctx.createTimer(0.15)]);
      return winner === approved;
    };
    await hub.withWorker([waits], [], async () => {
      assert.equal(await hub.run(waits), false);
      const id = await hub.start(waits);
      await hub.raise(id, "approved");
      assert.equal(await hub.output(id), true);
    });
  },

  async eventsFromOrchestrations(hub) {
    const tells = async function* tells(ctx, to) {
      ctx.sendEvent(to, "told", { by: ctx.instanceId });
      ctx.sendEvent("nobody", "told", 1);
      ctx.sendEvent(ctx.instanceId, "self", "me");
      return yield ctx.waitForExternalEvent("self");
    };
    await hub.withWorker([tells, collects], [], async () => {
      const listener = await hub.start(collects, ["told", "told"]);
      for (const instanceId of ["one", "two"]) assert.equal(await hub.run(tells, listener, { instanceId }), "me");
      const told = await hub.output(listener);
      assert.deepEqual(told.map(({ by }) => by).sort(), ["one", "two"]);
    });
  },
};
