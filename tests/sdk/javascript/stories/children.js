// Sub-orchestrations, and what happens to them with their parents.
"use strict";

const assert = require("node:assert/strict");
const { RetryPolicy, TaskFailedError, terminateOptions, whenAll } = require("@microsoft/durabletask-js");
const { Status, until } = require("../hub");

const plusOne = async (_, number) => number + 1;

const waits = async function* waits(ctx) {
  return yield ctx.waitForExternalEvent("go");
};
const child = async function* child(ctx) {
  yield ctx.callSubOrchestrator(waits, null, { instanceId: `${ctx.instanceId}-child` });
};
const parent = async function* parent(ctx) {
  yield ctx.callSubOrchestrator(child, null, { instanceId: `${ctx.instanceId}-child` });
};
const FAMILY = [parent, child, waits];

async function family(hub, id) {
  const ids = [id, `${id}-child`, `${id}-child-child`];
  await hub.start(parent, null, { instanceId: id });
  for (const each of ids) await hub.begun(each);
  return ids;
}

async function endedFamily(hub, id) {
  const ids = await family(hub, id);
  await hub.raise(ids[2], "go");
  for (const each of ids) await hub.output(each);
  return ids;
}

module.exports = {
  async children(hub) {
    const child = async function* child(ctx, number) {
      number = yield ctx.callActivity(plusOne, number);
      return [ctx.instanceId, ctx.parent.instanceId, ctx.parent.name, number];
    };
    const parent = async function* parent(ctx, count) {
      const given = yield ctx.callSubOrchestrator(child, count, { instanceId: `${ctx.instanceId}-given` });
      const many = yield whenAll([...Array(count).keys()].map((i) => ctx.callSubOrchestrator(child, i)));
      return [given, many, ctx.parent === undefined];
    };
    await hub.withWorker([parent, child], [plusOne], async () => {
      const [given, many, isTop] = await hub.run(parent, 5, { instanceId: "the-parent" });
      assert.ok(isTop);
      assert.deepEqual(given, ["the-parent-given", "the-parent", "parent", 6]);
      assert.deepEqual(many.map(([, , , number]) => number), [1, 2, 3, 4, 5]);
      const ids = many.map(([id]) => id);
      assert.equal(new Set(ids).size, 5);
      for (const id of ids) {
        assert.match(id, /^[0-9a-f]{32}:[0-9a-f]{4}$/);
        assert.equal(await hub.status(id), Status.COMPLETED);
      }
    });
  },

  async failureOfAChild(hub) {
    const raises = async function* raises(ctx, port) {
      yield ctx.createTimer(0);
      throw new RangeError(`no such port: ${port}`);
    };
    const parent = async function* parent(ctx, port) {
      try {
        yield ctx.callSubOrchestrator(raises, port);
      } catch (error) {
        return [error instanceof TaskFailedError, error.details.errorType, error.details.message];
      }
    };
    await hub.withWorker([parent, raises], [], async () => {
      const alone = await hub.failure(await hub.start(raises, 80));
      assert.deepEqual(await hub.run(parent, 80), [true, alone.errorType, alone.message]);
      assert.match(alone.errorType, /RangeError/);
      assert.match(alone.message, /no such port: 80/);
    });
  },

  async retryOfAChild(hub) {
    const seen = [];
    const attempt = async (_, id) => seen.push(id);
    const child = async function* child(ctx, lucky) {
      const number = yield ctx.callActivity(attempt, ctx.instanceId);
      if (number < lucky) throw new Error("not yet");
      return number;
    };
    const parent = async function* parent(ctx, [lucky, attempts]) {
      const retry = new RetryPolicy({ firstRetryIntervalInMilliseconds: 50, maxNumberOfAttempts: attempts });
      return yield ctx.callSubOrchestrator(child, lucky, { retry });
    };
    await hub.withWorker([parent, child], [attempt], async () => {
      assert.equal(await hub.run(parent, [3, 5]), 3);
      assert.equal(new Set(seen).size, 1, `one id for all attempts: ${seen}`);
      seen.length = 0;
      assert.match((await hub.failure(await hub.start(parent, [9, 4]))).message, /not yet/);
      assert.equal(seen.length, 4);
    });
  },

  async childWithATakenId(hub) {
    const parent = async function* parent(ctx) {
      try {
        yield ctx.callSubOrchestrator(waits, null, { instanceId: "taken" });
      } catch (error) {
        return error.details.message;
      }
    };
    await hub.withWorker([parent, waits], [], async () => {
      await hub.start(waits, null, { instanceId: "taken" });
      assert.match(await hub.run(parent), /already exists/);
    });
  },

  async terminateAFamily(hub) {
    await hub.withWorker(FAMILY, [], async () => {
      const ids = await family(hub, "together");
      await hub.client.terminateOrchestration("together", terminateOptions({ output: "all", recursive: true }));
      for (const id of ids) {
        const state = await hub.ended(id);
        assert.deepEqual([state.runtimeStatus, state.serializedOutput], [Status.TERMINATED, '"all"']);
      }
    });
  },

  async terminateOnlyTheParent(hub) {
    await hub.withWorker(FAMILY, [], async () => {
      const ids = await family(hub, "alone");
      await hub.client.terminateOrchestration("alone", "enough");
      assert.equal((await hub.ended("alone")).runtimeStatus, Status.TERMINATED);
      for (const id of ids.slice(1)) assert.equal(await hub.status(id), Status.RUNNING);
      await hub.raise(ids[2], "go");
      for (const id of ids.slice(1)) await hub.output(id);
    });
  },

  async terminationReachesTheParent(hub) {
    const hears = async function* hears(ctx) {
      try {
        yield ctx.callSubOrchestrator(waits, null, { instanceId: "sacrificed" });
      } catch (error) {
        return error.details.message;
      }
    };
    await hub.withWorker([hears, waits], [], async () => {
      const id = await hub.start(hears);
      await hub.begun("sacrificed");
      await hub.client.terminateOrchestration("sacrificed");
      assert.match(await hub.output(id), /sacrificed/);
    });
  },

  async purgeAFamily(hub) {
    await hub.withWorker(FAMILY, [], async () => {
      const ids = await endedFamily(hub, "together");
      const purged = await hub.client.purgeOrchestration("together", { recursive: true });
      assert.ok(purged.deletedInstanceCount >= 1);
      for (const id of ids) await until(async () => (await hub.state(id)) === undefined, `${id} is gone`);
    });
  },

  async purgeOnlyTheParent(hub) {
    await hub.withWorker(FAMILY, [], async () => {
      const ids = await endedFamily(hub, "alone");
      assert.equal((await hub.client.purgeOrchestration("alone")).deletedInstanceCount, 1);
      const left = await Promise.all(ids.map((id) => hub.status(id)));
      assert.deepEqual(left, [undefined, Status.COMPLETED, Status.COMPLETED]);
    });
  },
};
