// Activities, timers, retries, custom status, history: what one orchestrator does by itself.
"use strict";

const assert = require("node:assert/strict");
const { RetryPolicy, TaskFailedError, whenAll, whenAny } = require("@microsoft/durabletask-js");
const { Status, until } = require("../hub");

const plusOne = async (_, number) => number + 1;

const every = (milliseconds, attempts) =>
  new RetryPolicy({ firstRetryIntervalInMilliseconds: milliseconds, maxNumberOfAttempts: attempts });

module.exports = {
  async sequence(hub) {
    const threeSteps = async function* threeSteps(ctx, number) {
      for (let i = 0; i < 3; i++) number = yield ctx.callActivity(plusOne, number);
      return number;
    };
    await hub.withWorker([threeSteps], [plusOne], async () => {
      assert.equal(await hub.run(threeSteps, 1), 4);
    });
  },

  async fanOutFanIn(hub) {
    const spread = async function* spread(ctx, count) {
      return yield whenAll([...Array(count).keys()].map((i) => ctx.callActivity(plusOne, i)));
    };
    await hub.withWorker([spread], [plusOne], async () => {
      assert.deepEqual(await hub.run(spread, 20), [...Array(20).keys()].map((i) => i + 1));
    });
  },

  async activityFailure(hub) {
    class PortError extends Error {}
    const broken = async (_, port) => {
      throw new PortError(`no such port: ${port}`);
    };
    const letsItFail = async function* letsItFail(ctx, port) {
      yield ctx.callActivity(broken, port);
    };
    const catches = async function* catches(ctx, port) {
      try {
        yield ctx.callActivity(broken, port);
      } catch (error) {
        return [error instanceof TaskFailedError, error.details.message];
      }
    };
    await hub.withWorker([letsItFail, catches], [broken], async () => {
      const [isFailure, message] = await hub.run(catches, 80);
      assert.ok(isFailure);
      assert.match(message, /no such port: 80/);
      const failure = await hub.failure(await hub.start(letsItFail, 81));
      assert.match(failure.message, /no such port: 81/);
      assert.ok(failure.stackTrace, "the stack trace is lost");
    });
  },

  async unknownNames(hub) {
    const callsNobody = async function* callsNobody(ctx) {
      yield ctx.callActivity("nobody");
    };
    await hub.withWorker([callsNobody], [], async () => {
      assert.match((await hub.failure(await hub.start(callsNobody))).message, /nobody/);
      assert.match((await hub.failure(await hub.start("nothing"))).message, /nothing/);
    });
  },

  async timers(hub) {
    const sleeps = async function* sleeps(ctx, seconds) {
      const before = ctx.currentUtcDateTime.getTime();
      yield ctx.createTimer(seconds);
      return ctx.currentUtcDateTime.getTime() - before;
    };
    const sleepsUntilThePast = async function* sleepsUntilThePast(ctx) {
      yield ctx.createTimer(new Date(ctx.currentUtcDateTime.getTime() - 3_600_000));
      return "fired";
    };
    const abandons = async function* abandons(ctx, number) {
      const activity = ctx.callActivity(plusOne, number);
      const winner = yield whenAny([ctx.createTimer(3600), activity]);
      return winner === activity ? activity.getResult() : "the timer";
    };
    const outlives = async function* outlives(ctx) {
      yield whenAny([ctx.createTimer(0.05), ctx.callActivity(plusOne, 1)]);
      yield ctx.createTimer(0.2);
      return yield ctx.callActivity(plusOne, 2);
    };
    const many = async function* many(ctx, count) {
      yield whenAll([...Array(count).keys()].map((i) => ctx.createTimer(i / 100)));
      return "all";
    };
    await hub.withWorker([sleeps, sleepsUntilThePast, abandons, outlives, many], [plusOne], async () => {
      await hub.run(sleeps, 0);
      assert.equal(await hub.run(sleepsUntilThePast), "fired");
      const slept = [await hub.run(sleeps, 0.2), await hub.run(sleeps, 0.2), await hub.run(sleeps, 0.2)];
      // The clock that orchestrators see has reached the timer's time, to the millisecond that dates have here.
      assert.ok(Math.min(...slept) >= 199, `too early: ${slept}`);
      assert.ok(Math.min(...slept) < 400, `too late: ${slept}`);
      assert.equal(await hub.run(abandons, 1), 2);
      assert.equal(await hub.run(outlives), 3);
      assert.equal(await hub.run(many, 30), "all");
    });
  },

  async retries(hub) {
    let attempts = 0;
    const thirdTimeLucky = async () => {
      attempts += 1;
      if (attempts < 3) throw new Error("not yet");
      return "lucky";
    };
    const tries = async function* tries(ctx, count) {
      return yield ctx.callActivity(thirdTimeLucky, null, { retry: every(50, count) });
    };
    await hub.withWorker([tries], [thirdTimeLucky], async () => {
      assert.equal(await hub.run(tries, 5), "lucky");
      assert.equal(attempts, 3);
    });
  },

  async retriesArePrompt(hub) {
    const moments = [];
    const hopeless = async () => {
      moments.push(performance.now());
      throw new Error("never");
    };
    const tries = async function* tries(ctx, count) {
      yield ctx.callActivity(hopeless, null, { retry: every(200, count) });
    };
    await hub.withWorker([tries], [hopeless], async () => {
      assert.match((await hub.failure(await hub.start(tries, 6))).message, /never/);
    });
    assert.equal(moments.length, 6);
    const gaps = moments.slice(1).map((moment, i) => moment - moments[i]);
    assert.ok(Math.min(...gaps) >= 198, `too early: ${gaps}`);
    assert.ok(gaps.sort((a, b) => a - b)[2] < 400, `too late: ${gaps}`);
  },

  async retryHandlers(hub) {
    let attempts = 0;
    const picky = async () => {
      attempts += 1;
      throw new TypeError(attempts < 3 ? "soft" : "hard");
    };
    const tries = async function* tries(ctx) {
      const retry = async (retry) => retry.lastFailure.errorType === "TypeError" && retry.lastFailure.message === "soft";
      yield ctx.callActivity(picky, null, { retry });
    };
    await hub.withWorker([tries], [picky], async () => {
      assert.match((await hub.failure(await hub.start(tries))).message, /hard/);
      assert.equal(attempts, 3);
    });
  },

  async customStatus(hub) {
    const shows = async function* shows(ctx) {
      ctx.setCustomStatus({ step: 1 });
      yield ctx.waitForExternalEvent("next");
      // As the two quotes of JSON.
      ctx.setCustomStatus("");
      yield ctx.waitForExternalEvent("next");
      ctx.setCustomStatus("done");
      return "end";
    };
    await hub.withWorker([shows], [], async () => {
      const id = await hub.start(shows);
      const shown = (text) => until(async () => (await hub.state(id)).serializedCustomStatus === text, text);
      await shown('{"step":1}');
      await hub.raise(id, "next");
      await shown('""');
      await hub.raise(id, "next");
      assert.equal(await hub.output(id), "end");
      await shown('"done"');
      const bare = await hub.client.getOrchestrationState(id, false);
      assert.deepEqual([bare.serializedCustomStatus, bare.serializedOutput], [undefined, undefined]);
    });
  },

  async inputsAndOutputs(hub) {
    const returnsInput = async function* returnsInput(ctx, given) {
      yield ctx.createTimer(0);
      return given;
    };
    const twice = async (_, given) => [given, given];
    const throughActivity = async function* throughActivity(ctx, given) {
      return yield ctx.callActivity(twice, given);
    };
    await hub.withWorker([returnsInput, throughActivity], [twice], async () => {
      for (const value of ["", 0, false, [], { "ä": '\u{1f3bb}\n\t"\\\x01' }, "null", 1e300]) {
        assert.deepEqual(await hub.run(returnsInput, value), value);
        assert.deepEqual(await hub.run(throughActivity, value), [value, value]);
      }
      const state = await hub.ended(await hub.start(returnsInput));
      assert.equal(state.runtimeStatus, Status.COMPLETED);
      assert.equal(state.serializedOutput, undefined);
    });
  },

  async history(hub) {
    const child = async function* child(ctx) {
      yield ctx.createTimer(0);
      return "child";
    };
    const allKinds = async function* allKinds(ctx) {
      yield ctx.callActivity(plusOne, 1, { tags: { kind: "small" } });
      yield ctx.createTimer(0.01);
      yield ctx.callSubOrchestrator(child, null, { instanceId: "its-child" });
      return "parent";
    };
    const id = await hub.withWorker([allKinds, child], [plusOne], async () => {
      const id = await hub.start(allKinds, "in", { tags: { team: "blue" } });
      assert.equal(await hub.output(id), "parent");
      return id;
    });
    const events = await hub.client.getOrchestrationHistory(id);
    assert.deepEqual(
      events.map((event) => event.type),
      [
        "OrchestratorStarted",
        "ExecutionStarted",
        "TaskScheduled",
        "OrchestratorStarted",
        "TaskCompleted",
        "TimerCreated",
        "OrchestratorStarted",
        "TimerFired",
        "SubOrchestrationInstanceCreated",
        "OrchestratorStarted",
        "SubOrchestrationInstanceCompleted",
        "ExecutionCompleted",
      ],
    );
    const ids = events.map((event) => event.eventId).filter((id) => id >= 0);
    assert.deepEqual(ids, [...new Set(ids)].sort((a, b) => a - b));
    assert.deepEqual([events[1].name, events[1].input, events[1].tags], ["allKinds", '"in"', { team: "blue" }]);
    assert.match(events[1].orchestrationInstance.executionId, /^[0-9a-f]{32}$/);
    assert.deepEqual([events[2].name, events[2].input, events[2].tags], ["plusOne", "1", { kind: "small" }]);
    assert.deepEqual([events[4].taskScheduledId, events[4].result], [events[2].eventId, "2"]);
    assert.deepEqual([events[7].timerId, events[7].fireAt], [events[5].eventId, events[5].fireAt]);
    assert.deepEqual([events[8].instanceId, events[10].result], ["its-child", '"child"']);
    assert.equal(events[11].result, '"parent"');
    const [, childStarted] = await hub.client.getOrchestrationHistory("its-child");
    assert.equal(childStarted.parentInstance.orchestrationInstance.instanceId, id);
    assert.deepEqual(await hub.client.getOrchestrationHistory("nobody"), []);
  },
};
