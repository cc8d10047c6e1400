// A task hub of its own for each story: its client, its workers, and the waits and checks that stories are made of.
"use strict";

const assert = require("node:assert/strict");
const { setTimeout: sleep } = require("node:timers/promises");
const { Metadata } = require("@grpc/grpc-js");
const { OrchestrationStatus: Status, TaskHubGrpcClient, TaskHubGrpcWorker } = require("@microsoft/durabletask-js");

/** Seconds that a story waits for one thing. */
const LONGEST = 30;

/** What the package has said, for stories that fail. */
const log = [];
const note = (message) => log.push(message);
const logger = { error: note, warn: note, info: note, debug: () => {} };

/** Asks again until it holds. */
async function until(holds, what) {
  const end = Date.now() + LONGEST * 1000;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `waited in vain: ${what}`);
    await sleep(20);
  }
}

/** The call ends with this gRPC code, or an error that has it as its cause. */
async function refused(code, call, text = "") {
  try {
    await call();
  } catch (error) {
    const cause = error.code === undefined && error.cause ? error.cause : error;
    assert.equal(cause.code, code, `${error.stack}`);
    assert.ok(cause.message.includes(text), `no '${text}' in '${cause.message}'`);
    return;
  }
  assert.fail(`not refused with ${code}`);
}

class Hub {
  constructor(server, name) {
    this.server = server;
    this.stopping = [];
    this.reached = {
      hostAddress: server.address,
      logger,
      metadataGenerator: async () => {
        const metadata = new Metadata();
        metadata.set("taskhub", name);
        return metadata;
      },
    };
    this.client = new TaskHubGrpcClient(this.reached);
  }

  /** Works while the story goes on in `body`. */
  async withWorker(orchestrators, activities, body, more = {}) {
    const worker = new TaskHubGrpcWorker({ ...this.reached, shutdownTimeoutMs: 5000, ...more });
    for (const orchestrator of orchestrators) worker.addOrchestrator(orchestrator);
    for (const activity of activities) worker.addActivity(activity);
    await worker.start();
    try {
      return await body(worker);
    } finally {
      // Its stream ends at once, and the rest a second later: the next story need not wait for that.
      this.stopping.push(worker.stop());
    }
  }

  /** The workers whose blocks have ended are gone. */
  async stopped() {
    await Promise.all(this.stopping.splice(0));
  }

  async close() {
    await this.stopped();
    await this.client.stop();
  }

  start(orchestrator, input, more) {
    return this.client.scheduleNewOrchestration(orchestrator, input, more);
  }

  state(id) {
    return this.client.getOrchestrationState(id, true);
  }

  async status(id) {
    return (await this.state(id))?.runtimeStatus;
  }

  ended(id) {
    return this.client.waitForOrchestrationCompletion(id, true, LONGEST);
  }

  begun(id) {
    return this.client.waitForOrchestrationStart(id, true, LONGEST);
  }

  /** What it returns: it must complete. */
  async output(id) {
    const state = await this.ended(id);
    assert.equal(state.runtimeStatus, Status.COMPLETED, `${state.name}: ${state.failureDetails?.message}`);
    return state.serializedOutput && JSON.parse(state.serializedOutput);
  }

  async failure(id) {
    const state = await this.ended(id);
    assert.equal(state.runtimeStatus, Status.FAILED, state.name);
    return state.failureDetails;
  }

  async run(orchestrator, input, more) {
    return this.output(await this.start(orchestrator, input, more));
  }

  raise(id, name, data) {
    return this.client.raiseOrchestrationEvent(id, name, data);
  }

  async untilInput(id, input) {
    await until(async () => (await this.state(id)).serializedInput === JSON.stringify(input), `${id} has input ${input}`);
  }
}

module.exports = { Hub, LONGEST, Status, log, refused, until };
