// The server is killed in the middle of it all, and comes back.
"use strict";

const assert = require("node:assert/strict");
const { setTimeout: sleep } = require("node:timers/promises");
const { whenAll } = require("@microsoft/durabletask-js");
const { Hub, LONGEST, until } = require("../hub");
const { Server } = require("../server");

const UNAVAILABLE = 14;

/** Asks again while the client has not found the server again. */
async function again(call) {
  const end = Date.now() + LONGEST * 1000;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (error.code !== UNAVAILABLE || Date.now() > end) throw error;
      await sleep(50);
    }
  }
}

module.exports = {
  /** The worker finds the server again by itself. */
  async killedInTheMiddle({ server: { binary } }) {
    let begun = 0;
    const works = async (_, number) => {
      begun += 1;
      await sleep(20);
      return number + 1;
    };
    const sequence = async function* sequence(ctx, number) {
      for (let i = 0; i < 5; i++) {
        number = yield ctx.callActivity(works, number);
        yield ctx.createTimer(0.05);
      }
      return number;
    };
    const parent = async function* parent(ctx, number) {
      return yield whenAll([0, 1].map((i) => ctx.callSubOrchestrator(sequence, number + i)));
    };
    const server = await Server.start(binary);
    const hub = new Hub(server, "crash");
    try {
      await hub.withWorker([sequence, parent], [works], async () => {
        const wanted = new Map();
        for (let i = 0; i < 10; i++) {
          wanted.set(await hub.start(sequence, i), i + 5);
          wanted.set(await hub.start(parent, i), [i + 5, i + 6]);
        }
        await until(() => begun >= 30, "30 activities have begun");
        await server.kill();
        await server.start();
        for (const [id, result] of wanted) assert.deepEqual(await again(() => hub.output(id)), result);
      });
      await hub.close();
    } finally {
      await server.stop();
    }
  },
};
