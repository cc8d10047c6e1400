// Starts: ids in use, start times, restarts. (This version of the package has no reuse policy.)
"use strict";

const assert = require("node:assert/strict");
const { Status, refused } = require("../hub");

const waits = async function* waits(ctx, given) {
  return [given, yield ctx.waitForExternalEvent("go")];
};

module.exports = {
  async idsInUse(hub) {
    const instanceId = "singleton";
    const taken = (input) => refused(6, () => hub.start(waits, input, { instanceId }), "already exists");
    await hub.start(waits, 1, { instanceId });
    await taken(2);
    await hub.withWorker([waits], [], async () => {
      await hub.begun(instanceId);
      await taken(3);
      await hub.client.suspendOrchestration(instanceId);
      await taken(4);
      await hub.client.resumeOrchestration(instanceId);
      await hub.raise(instanceId, "go", "a");
      assert.deepEqual(await hub.output(instanceId), [1, "a"]);
      await hub.start(waits, 5, { instanceId });
      await hub.raise(instanceId, "go", "b");
      assert.deepEqual(await hub.output(instanceId), [5, "b"]);
    });
  },

  async startTimes(hub) {
    const notes = async function* notes(ctx) {
      yield ctx.createTimer(0);
      return ctx.currentUtcDateTime.getTime();
    };
    await hub.withWorker([notes], [], async () => {
      const due = Date.now() + 700;
      const later = await hub.start(notes, null, { startAt: new Date(due) });
      const never = await hub.start(notes, null, { startAt: new Date(due + 86_400_000) });
      await hub.run(notes, null, { startAt: new Date(due - 86_400_000) });
      assert.equal(await hub.status(later), Status.PENDING);
      assert.ok((await hub.output(later)) >= due);
      assert.equal(await hub.status(never), Status.PENDING);
      await hub.client.terminateOrchestration(never);
      assert.equal((await hub.ended(never)).runtimeStatus, Status.TERMINATED);
    });
  },

  async restarts(hub) {
    const restart = (id, isNew) => hub.client.restartOrchestration(id, isNew);
    const given = { n: 1 };
    await hub.withWorker([waits], [], async () => {
      const id = await hub.start(waits, given, { instanceId: "first" });
      await hub.raise(id, "go", "a");
      assert.deepEqual(await hub.output(id), [given, "a"]);
      assert.equal(await restart(id), id);
      await hub.raise(id, "go", "b");
      assert.deepEqual(await hub.output(id), [given, "b"]);
      const other = await restart(id, true);
      assert.notEqual(other, id);
      await hub.raise(other, "go", "c");
      assert.deepEqual(await hub.output(other), [given, "c"]);
      // What lives can't be restarted under its id, but there may be another of its kind.
      await hub.begun(await restart(id));
      await refused(9, () => restart(id));
      const beside = await restart(id, true);
      await hub.raise(beside, "go", "d");
      assert.deepEqual(await hub.output(beside), [given, "d"]);
      assert.equal(await hub.status(id), Status.RUNNING);
    });
    await refused(5, () => restart("nobody"));
  },
};
