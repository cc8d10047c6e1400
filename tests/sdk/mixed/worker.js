// The JavaScript worker. It says "ready", then the name of each activity and orchestrator that it is given. It ends
// when its input does. Usage: worker.js ADDRESS HUB
"use strict";

const { Metadata } = require("@grpc/grpc-js");
const { NoOpLogger, TaskHubGrpcWorker, whenAll } = require("@microsoft/durabletask-js");

const [hostAddress, hub] = process.argv.slice(2);
const metadataGenerator = async () => {
  const metadata = new Metadata();
  metadata.set("taskhub", hub);
  return metadata;
};
const worker = new TaskHubGrpcWorker({
  hostAddress,
  metadataGenerator,
  logger: new NoOpLogger(),
  workItemFilters: "auto",
});
const say = (what) => process.stdout.write(`${what}\n`);

worker.addNamedActivity("js_shout", async (_, text) => {
  say("js_shout");
  return text.toUpperCase();
});
worker.addNamedActivity("js_broken", async () => {
  say("js_broken");
  throw new RangeError("out of all bounds");
});
worker.addNamedOrchestrator("js_crosses", async function* (ctx, text) {
  if (!ctx.isReplaying) say("js_crosses");
  const [here, there] = yield whenAll([ctx.callActivity("js_shout", text), ctx.callActivity("py_reverse", text)]);
  const child = yield ctx.callSubOrchestrator("py_child", text);
  let failure;
  try {
    yield ctx.callActivity("py_broken");
  } catch (error) {
    failure = [error.details.errorType, error.details.message];
  }
  return { here, there, child, failure };
});
worker.addNamedOrchestrator("js_child", async function* (ctx, text) {
  if (!ctx.isReplaying) say("js_child");
  ctx.sendEvent(ctx.parent.instanceId, "greeting", { from: "js" });
  return yield ctx.callActivity("js_shout", text);
});

process.stdin.on("end", () => worker.stop().then(() => process.exit(0))).resume();
worker.start().then(() => say("ready"));
