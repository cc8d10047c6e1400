// Large payloads and many at once.
"use strict";

const assert = require("node:assert/strict");
const { whenAll } = require("@microsoft/durabletask-js");
const { refused } = require("../hub");

// What the server is told to take at most, less the quotes that JSON puts around a text.
const LARGEST = (3 << 20) - 2;

const length = async (_, text) => text.length;
const letters = async (_, count) => "y".repeat(count);

const takes = async function* takes(ctx, text) {
  yield ctx.createTimer(0);
  return text.length;
};
const passesOn = async function* passesOn(ctx, count) {
  return yield ctx.callActivity(length, "x".repeat(count));
};
const returns = async function* returns(ctx, count) {
  return yield ctx.callActivity(letters, count);
};
// This package takes messages of any size, so a turn may be told more than 4 MiB.
const remembers = async function* remembers(ctx, count) {
  const texts = [];
  for (let i = 0; i < 3; i++) texts.push(yield ctx.callActivity(letters, count));
  return texts.map((text) => text.length);
};

module.exports = {
  async largePayloads(hub) {
    await hub.withWorker([takes, passesOn, returns, remembers], [length, letters], async () => {
      assert.equal(await hub.run(takes, "z".repeat(LARGEST)), LARGEST);
      assert.equal(await hub.run(passesOn, LARGEST), LARGEST);
      assert.equal(await hub.run(returns, LARGEST), "y".repeat(LARGEST));
      assert.deepEqual(await hub.run(remembers, LARGEST), [LARGEST, LARGEST, LARGEST]);
    });
  },

  async tooLargePayloads(hub) {
    await hub.withWorker([takes, passesOn, returns], [length, letters], async () => {
      await refused(3, () => hub.start(takes, "x".repeat(LARGEST + 1)), "bytes");
      for (const orchestrator of [passesOn, returns]) {
        for (const count of [LARGEST + 1, 5 << 20]) {
          const failure = await hub.failure(await hub.start(orchestrator, count));
          assert.ok(failure.message.includes(`has ${count + 2} bytes`), failure.message);
        }
      }
    });
  },

  async twoHundredAtOnce(hub) {
    const plus = async (_, number) => number + 1;
    const works = async function* works(ctx, number) {
      return yield whenAll([ctx.callActivity(plus, number), ctx.callActivity(plus, -number)]);
    };
    await hub.withWorker([works], [plus], async () => {
      const ids = await Promise.all([...Array(200).keys()].map((number) => hub.start(works, number)));
      const results = await Promise.all(ids.map((id) => hub.output(id)));
      assert.deepEqual(results, [...Array(200).keys()].map((number) => [number + 1, 1 - number]));
    });
  },
};
