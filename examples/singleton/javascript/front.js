// The HTTP front: POST /orchestrators/{functionName}/{instanceId} starts a singleton, or answers 409.
//
// Usage: SOLOIST_SERVER=http://localhost:4001 FRONT_PORT=7071 ./run.sh front
"use strict";

const { randomUUID } = require("node:crypto");
const http = require("node:http");
const { text } = require("node:stream/consumers");
const { setTimeout: sleep } = require("node:timers/promises");
const { promisify } = require("node:util");
const { status } = require("@grpc/grpc-js");
const { SERVER, connect } = require("./soloist");

const PORT = Number(process.env.FRONT_PORT ?? 7071);

// What a start without an answer leads to. It may have been accepted.
const UNANSWERED = [status.UNAVAILABLE, status.UNKNOWN];
const HTTP_CODES = { [status.ALREADY_EXISTS]: 409, [status.INVALID_ARGUMENT]: 400, [status.UNAVAILABLE]: 503 };

const soloist = connect();
const startSingleton = promisify(soloist.startSingleton.bind(soloist));

/** Checks and starts in one step: of any number of callers at the same moment, one is told that it has started it. */
async function start(functionName, instanceId, body) {
  const request = {
    instanceId,
    functionName,
    ...(body && { input: body }),
    requestId: randomUUID(), // the same in every attempt, so that none of them starts a second one
  };
  for (const wait of [100, 400, 1600, 6400, undefined]) {
    try {
      return await startSingleton(request, { deadline: Date.now() + 30_000 });
    } catch (error) {
      if (!UNANSWERED.includes(error.code) || wait === undefined) throw error;
    }
    await sleep(wait * (0.5 + Math.random()));
  }
}

/** Where the instance is read and controlled: at the Soloist server, by the URLs that Durable Functions has. */
function checkStatus(instanceId) {
  const instance = `${SERVER}/runtime/webhooks/durabletask/instances/${encodeURIComponent(instanceId)}`;
  return {
    id: instanceId,
    statusQueryGetUri: `${instance}?taskHub=default`,
    sendEventPostUri: `${instance}/raiseEvent/{eventName}?taskHub=default`,
    terminatePostUri: `${instance}/terminate?reason={text}&taskHub=default`,
    purgeHistoryDeleteUri: `${instance}?taskHub=default`,
    restartPostUri: `${instance}/restart?taskHub=default`,
    suspendPostUri: `${instance}/suspend?reason={text}&taskHub=default`,
    resumePostUri: `${instance}/resume?reason={text}&taskHub=default`,
  };
}

async function httpStart(request, response) {
  const plain = { "content-type": "text/plain; charset=utf-8" };
  const route = /^\/orchestrators\/([^/?]+)\/([^/?]+)$/.exec(request.url.split("?")[0]);
  if (request.method !== "POST" || !route) {
    return response.writeHead(404, plain).end("POST /orchestrators/{functionName}/{instanceId} is all there is.");
  }
  const body = await text(request);
  let functionName, instanceId;
  try {
    [functionName, instanceId] = route.slice(1).map(decodeURIComponent);
    if (body) JSON.parse(body);
  } catch (error) {
    return response.writeHead(400, plain).end(`The body is no JSON, or the path no path: ${error.message}`);
  }
  try {
    await start(functionName, instanceId, body);
  } catch (error) {
    // A live instance is 409: "An instance with ID 'nightly' already exists."
    return response.writeHead(HTTP_CODES[error.code] ?? 500, plain).end(error.details ?? error.message);
  }
  const payload = checkStatus(instanceId);
  response
    .writeHead(202, { "content-type": "application/json", location: payload.statusQueryGetUri, "retry-after": "10" })
    .end(JSON.stringify(payload));
}

http
  .createServer((request, response) => httpStart(request, response).catch((error) => response.destroy(error)))
  .listen(PORT, "127.0.0.1", () => console.log(`http://127.0.0.1:${PORT}/orchestrators/{functionName}/{instanceId}`));
