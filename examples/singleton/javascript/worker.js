// The worker: a regular orchestration and an eternal one, on Microsoft's Durable Task SDK.
//
// Usage: SOLOIST_SERVER=http://localhost:4001 ./run.sh worker
"use strict";

const { TaskHubGrpcWorker } = require("@microsoft/durabletask-js");
const { SERVER } = require("./soloist");

/** Three activities, one after the other, and it is done. */
async function* report(context, of) {
  const figures = yield context.callActivity(collect, of);
  const total = yield context.callActivity(addUp, figures);
  return yield context.callActivity(publish, { of, total });
}

function collect(_, of) {
  console.log(`collecting the figures of ${of}`);
  return [20, 21, 1];
}

function addUp(_, figures) {
  return figures.reduce((sum, figure) => sum + figure, 0);
}

function publish(_, { of, total }) {
  return `the report of ${of}: ${total}`;
}

/** Never ends: each generation does its work, waits, and continues as the next one, under the same instance id. */
async function* refresh(context, settings) {
  const { waitSeconds = 5, generation = 1 } = settings ?? {};
  yield context.callActivity(refreshCache, generation);
  context.setCustomStatus(generation);
  yield context.createTimer(waitSeconds);
  context.continueAsNew({ waitSeconds, generation: generation + 1 });
}

function refreshCache(_, generation) {
  console.log(`generation ${generation}`);
}

const worker = new TaskHubGrpcWorker({ hostAddress: new URL(SERVER).host });
for (const orchestrator of [report, refresh]) worker.addOrchestrator(orchestrator);
for (const activity of [collect, addUp, publish, refreshCache]) worker.addActivity(activity);
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => worker.stop().then(() => process.exit(0)));
}
worker.start();
