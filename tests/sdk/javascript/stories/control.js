// Suspend, resume, terminate, wait: in every state.
"use strict";

const assert = require("node:assert/strict");
const { whenAll } = require("@microsoft/durabletask-js");
const { Status, refused } = require("../hub");

const waits = async function* waits(ctx) {
  return yield ctx.waitForExternalEvent("go");
};

module.exports = {
  async controlWithoutAWorker(hub) {
    const id = await hub.start(waits);
    const { client } = hub;
    const steps = [
      [() => client.resumeOrchestration(id), Status.PENDING],
      [() => client.suspendOrchestration(id), Status.SUSPENDED],
      [() => client.suspendOrchestration(id), Status.SUSPENDED],
      [() => client.resumeOrchestration(id), Status.PENDING],
      [() => client.resumeOrchestration(id), Status.PENDING],
      [() => client.suspendOrchestration(id), Status.SUSPENDED],
      [() => client.terminateOrchestration(id, { why: "enough" }), Status.TERMINATED],
    ];
    for (const [step, status] of steps) {
      await step();
      assert.equal(await hub.status(id), status);
    }
    assert.equal((await hub.ended(id)).serializedOutput, '{"why":"enough"}');
  },

  async controlOfWhatRuns(hub) {
    const { client } = hub;
    await hub.withWorker([waits], [], async () => {
      const id = await hub.start(waits);
      await hub.begun(id);
      for (let i = 0; i < 3; i++) {
        await client.suspendOrchestration(id);
        await client.suspendOrchestration(id);
        assert.equal(await hub.status(id), Status.SUSPENDED);
        await client.resumeOrchestration(id);
        await client.resumeOrchestration(id);
        assert.equal(await hub.status(id), Status.RUNNING);
      }
      await hub.raise(id, "go", "went");
      assert.equal(await hub.output(id), "went");
      const suspended = await hub.start(waits);
      await hub.begun(suspended);
      await client.suspendOrchestration(suspended);
      await client.terminateOrchestration(suspended, "enough");
      const state = await hub.ended(suspended);
      assert.deepEqual([state.runtimeStatus, state.serializedOutput], [Status.TERMINATED, '"enough"']);
    });
  },

  async resultsWhileSuspended(hub) {
    const plusOne = async (_, number) => number + 1;
    const works = async function* works(ctx, count) {
      yield ctx.waitForExternalEvent("go");
      const results = yield whenAll([...Array(count).keys()].map((i) => ctx.callActivity(plusOne, i)));
      yield ctx.createTimer(0.01);
      return results;
    };
    await hub.withWorker([works], [plusOne], async () => {
      const ids = [];
      for (let i = 0; i < 5; i++) ids.push(await hub.start(works, 5));
      for (const id of ids) {
        await hub.begun(id);
        await hub.raise(id, "go");
        await hub.client.suspendOrchestration(id);
      }
      for (let i = 0; i < 3; i++) {
        for (const id of ids) {
          await hub.client.resumeOrchestration(id);
          await hub.client.suspendOrchestration(id);
        }
      }
      for (const id of ids) {
        await hub.client.resumeOrchestration(id);
        assert.deepEqual(await hub.output(id), [1, 2, 3, 4, 5]);
      }
    });
  },

  async controlOfWhatHasEnded(hub) {
    const { client } = hub;
    await hub.withWorker([waits], [], async () => {
      const completed = await hub.start(waits);
      const terminated = await hub.start(waits);
      await hub.raise(completed, "go", 1);
      assert.equal(await hub.output(completed), 1);
      await client.terminateOrchestration(terminated);
      for (const [id, status] of [[completed, Status.COMPLETED], [terminated, Status.TERMINATED]]) {
        await client.suspendOrchestration(id);
        await client.resumeOrchestration(id);
        await client.terminateOrchestration(id, "late");
        assert.equal((await hub.ended(id)).runtimeStatus, status);
      }
      assert.equal(await hub.output(completed), 1);
    });
  },

  async controlOfNobody(hub) {
    await hub.client.terminateOrchestration("nobody");
    await refused(5, () => hub.client.suspendOrchestration("nobody"));
    await refused(5, () => hub.client.resumeOrchestration("nobody"));
    assert.equal(await hub.state("nobody"), undefined);
    assert.equal((await hub.client.purgeOrchestration("nobody")).deletedInstanceCount, 0);
  },

  async waitsThatTimeOut(hub) {
    const id = await hub.start(waits);
    await assert.rejects(hub.client.waitForOrchestrationStart(id, true, 0.3), /Timed out/);
    await assert.rejects(hub.client.waitForOrchestrationCompletion(id, true, 0.3), /Timed out/);
    await assert.rejects(hub.client.waitForOrchestrationStart("nobody", true, 0.3), /Timed out/);
    assert.equal(await hub.status(id), Status.PENDING);
    await hub.withWorker([waits], [], async () => {
      assert.equal((await hub.begun(id)).runtimeStatus, Status.RUNNING);
      await hub.raise(id, "go");
      await hub.output(id);
      assert.equal((await hub.begun(id)).runtimeStatus, Status.COMPLETED);
    });
  },
};
