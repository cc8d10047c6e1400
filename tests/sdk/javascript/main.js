// Runs the stories, a line each, against a server that it starts. Usage: main.js BINARY [STORY...]
"use strict";

const path = require("node:path");
const { Hub, log } = require("./hub");
const { Server } = require("./server");

const CHAPTERS = ["flow", "children", "events", "renewal", "control", "lists", "starts", "workers", "load", "crash"];

async function main(binary, ...names) {
  const stories = Object.assign({}, ...CHAPTERS.map((chapter) => require(path.join(__dirname, "stories", chapter))));
  const server = await Server.start(binary, "--payload-bytes-max", "3MiB");
  const begun = Date.now();
  const hubs = [];
  let failed = 0;
  const chosen = names.length > 0 ? names : Object.keys(stories);
  for (const name of chosen) {
    const since = Date.now();
    const hub = new Hub(server, name);
    hubs.push(hub);
    try {
      await stories[name](hub);
      console.log(`sdk-javascript: ${name}: ok (${((Date.now() - since) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed += 1;
      console.log(`sdk-javascript: ${name}: FAILED\n${error.stack}`);
    }
  }
  await Promise.all(hubs.map((hub) => hub.close()));
  if (failed > 0) {
    console.log("the server said last:", ...server.said().split("\n").slice(-20), "the package said last:");
    console.log(log.slice(-40).join("\n"));
  }
  await server.stop();
  const seconds = ((Date.now() - begun) / 1000).toFixed(0);
  console.log(`sdk-javascript: ${chosen.length - failed} passed, ${failed} failed, in ${seconds} s`);
  return failed > 0 ? 1 : 0;
}

// The package's calls that nobody waits for any more hold the process.
main(...process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
