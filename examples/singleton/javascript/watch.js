// Watches an instance: prints every transition of it until it has ended, over lost connections.
//
// Usage: SOLOIST_SERVER=http://localhost:4001 ./run.sh watch INSTANCE-ID
"use strict";

const { setTimeout: sleep } = require("node:timers/promises");
const { status } = require("@grpc/grpc-js");
const { connect } = require("./soloist");

// What a server that is away, a proxy, or a connection that breaks leads to.
const LOST = [status.UNAVAILABLE, status.UNKNOWN, status.INTERNAL, status.CANCELLED];

/** Every transition once and in order: a stream that breaks is followed by one from where it broke. */
async function* transitions(soloist, instanceId) {
  const request = { instanceId, untilTerminal: true };
  for (;;) {
    try {
      for await (const item of soloist.watchStatus(request)) {
        if (item.heartbeat) continue;
        request.fromRevision = item.status.revision;
        yield item;
      }
      return;
    } catch (error) {
      if (!LOST.includes(error.code)) throw error;
    }
    await sleep(200 + 800 * Math.random());
  }
}

async function main(instanceId) {
  const soloist = connect();
  try {
    for await (const { sequence, resync, status } of transitions(soloist, instanceId)) {
      if (resync) console.log("some transitions are no longer kept; from here on:");
      const name = status.runtimeStatus.replace("RUNTIME_STATUS_", "");
      console.log(sequence, name[0] + name.slice(1).toLowerCase(), status.executionId);
    }
  } catch (error) {
    console.error(error.details ?? error);
    process.exitCode = 1;
  }
  soloist.close();
}

main(process.argv[2]);
