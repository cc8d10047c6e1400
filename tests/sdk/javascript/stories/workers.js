// Workers: versions, tags, filters, several of them, and such as are lost.
"use strict";

const assert = require("node:assert/strict");
const { VersionFailureStrategy, VersionMatchStrategy, whenAll } = require("@microsoft/durabletask-js");
const { Status, until } = require("../hub");

const saysVersion = async function* saysVersion(ctx) {
  yield ctx.waitForExternalEvent("go");
  return ctx.version;
};

const strict = (version, failureStrategy) => ({
  versioning: { version, matchStrategy: VersionMatchStrategy.Strict, failureStrategy },
});

module.exports = {
  async versions(hub) {
    const child = async function* child(ctx) {
      yield ctx.createTimer(0);
      return ctx.version;
    };
    const parent = async function* parent(ctx) {
      const given = yield ctx.callSubOrchestrator(child, null, { version: "3.1" });
      const other = yield ctx.callSubOrchestrator(child);
      return [ctx.version, given, other];
    };
    await hub.withWorker([parent, child], [], async () => {
      assert.deepEqual(await hub.run(parent, null, { version: "1.0" }), ["1.0", "3.1", ""]);
      assert.equal((await hub.run(parent))[0], "");
    });
  },

  async versionMismatches(hub) {
    const { Fail, Reject } = VersionFailureStrategy;
    const body = async () => {
      const id = await hub.start(saysVersion, null, { version: "2.0" });
      const fitting = await hub.start(saysVersion, null, { version: "1.0" });
      await hub.raise(id, "go");
      await hub.raise(fitting, "go");
      assert.equal(await hub.output(fitting), "1.0");
      assert.equal(await hub.status(id), Status.PENDING);
      const takes = async () => assert.equal(await hub.output(id), "2.0");
      await hub.withWorker([saysVersion], [], takes, strict("2.0", Reject));
    };
    await hub.withWorker([saysVersion], [], body, strict("1.0", Reject));
    await hub.stopped();
    const fails = async () => {
      const failure = await hub.failure(await hub.start(saysVersion, null, { version: "2.0" }));
      assert.equal(failure.errorType, "VersionMismatch");
    };
    await hub.withWorker([saysVersion], [], fails, strict("1.0", Fail));
  },

  async tags(hub) {
    const nothing = async () => null;
    const child = async function* child(ctx) {
      yield ctx.callActivity(nothing);
    };
    const parent = async function* parent(ctx) {
      yield ctx.callSubOrchestrator(child, null, { instanceId: "tagged", tags: { size: "small" } });
    };
    await hub.withWorker([parent, child], [nothing], async () => {
      const tags = { team: "blue", odd: "ä = ö" };
      const id = await hub.start(parent, null, { tags });
      await hub.output(id);
      assert.deepEqual((await hub.state(id)).tags, tags);
      assert.deepEqual((await hub.state("tagged")).tags, { size: "small" });
    });
  },

  async filters(hub) {
    const seen = { leftWorks: [], rightWorks: [] };
    const leftWorks = async (_, number) => {
      seen.leftWorks.push(number);
      return "left";
    };
    const rightWorks = async (_, number) => {
      seen.rightWorks.push(number);
      return "right";
    };
    const crosses = async function* crosses(ctx, number) {
      return [yield ctx.callActivity("leftWorks", number), yield ctx.callActivity("rightWorks", number)];
    };
    const rightOnly = async function* rightOnly(ctx, number) {
      return yield ctx.callActivity("rightWorks", number);
    };
    const waiting = await hub.start("rightOnly", 100);
    const left = async () => {
      const ids = [];
      for (let i = 0; i < 10; i++) ids.push(await hub.start(crosses, i));
      await until(() => seen.leftWorks.length === 10, "the left hand has done its part");
      assert.equal(await hub.status(waiting), Status.PENDING);
      const right = async () => {
        for (const id of ids) assert.deepEqual(await hub.output(id), ["left", "right"]);
        assert.equal(await hub.output(waiting), "right");
        assert.deepEqual(seen.rightWorks.sort((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100]);
        const nobodys = await hub.start("nobodys");
        await hub.run(crosses, 1);
        assert.equal(await hub.status(nobodys), Status.PENDING);
        await hub.client.terminateOrchestration(nobodys);
        assert.equal((await hub.ended(nobodys)).runtimeStatus, Status.TERMINATED);
      };
      await hub.withWorker([rightOnly], [rightWorks], right, { workItemFilters: "auto" });
    };
    const workItemFilters = { orchestrations: [{ name: "crosses" }], activities: [{ name: "leftWorks" }] };
    await hub.withWorker([crosses], [leftWorks], left, { workItemFilters });
  },

  /** An activity has no version of its own here: that of its orchestration counts. */
  async filtersByVersion(hub) {
    const seen = [];
    const works = (worker) => async () => seen.push(worker);
    const calls = async function* calls(ctx) {
      yield ctx.callActivity("works");
      return ctx.version;
    };
    const of = (version) => ({
      workItemFilters: {
        orchestrations: [{ name: "calls", versions: [version] }],
        activities: [{ name: "works", versions: [version] }],
      },
    });
    const named = (worker) => Object.defineProperty(works(worker), "name", { value: "works" });
    const third = await hub.start(calls, null, { version: "3.0" });
    const body = async () => {
      assert.equal(await hub.run(calls, null, { version: "1.0" }), "1.0");
      assert.equal(await hub.run(calls, null, { version: "2.0" }), "2.0");
      assert.deepEqual(seen, ["one", "two"]);
      assert.equal(await hub.status(third), Status.PENDING);
    };
    const both = () => hub.withWorker([calls], [named("two")], body, of("2.0"));
    await hub.withWorker([calls], [named("one")], both, of("1.0"));
  },

  async aLostWorker(hub) {
    let begun, goOn;
    const hasBegun = new Promise((resolve) => (begun = resolve));
    const mayGoOn = new Promise((resolve) => (goOn = resolve));
    const asks = async function* asks(ctx) {
      return yield ctx.callActivity("works");
    };
    const named = (works) => Object.defineProperty(works, "name", { value: "works" });
    const lost = named(async () => {
      begun();
      await mayGoOn;
      return "late";
    });
    const well = named(async () => "well");
    let id;
    await hub.withWorker([asks], [lost], async () => {
      id = await hub.start(asks);
      await hasBegun;
    });
    await hub.withWorker([asks], [well], async () => {
      assert.equal(await hub.output(id), "well");
      goOn();
      await hub.stopped();
      assert.equal(await hub.output(id), "well");
    });
  },

  async workersBesideEachOther(hub) {
    const seen = [[], [], []];
    const works = (worker) =>
      Object.defineProperty(async (_, number) => (seen[worker].push(number), number), "name", { value: "works" });
    const spread = async function* spread(ctx, count) {
      return yield whenAll([...Array(count).keys()].map((i) => ctx.callActivity("works", i)));
    };
    const run = async () => assert.deepEqual(await hub.run(spread, 60), [...Array(60).keys()]);
    const two = () => hub.withWorker([spread], [works(2)], run);
    const one = () => hub.withWorker([spread], [works(1)], two);
    await hub.withWorker([spread], [works(0)], one);
    assert.deepEqual(seen.flat().sort((a, b) => a - b), [...Array(60).keys()]);
    assert.ok(seen.every((each) => each.length > 0), `one had nothing to do: ${seen.map((each) => each.length)}`);
  },
};
