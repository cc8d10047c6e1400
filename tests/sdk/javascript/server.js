// A server of its own: on a port that the system chose, in a fresh folder.
"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");

class Server {
  static async start(binary, ...flags) {
    const server = new Server();
    server.folder = fs.mkdtempSync(path.join(os.tmpdir(), "sdk-javascript-"));
    const log = fs.openSync(path.join(server.folder, "log"), "w");
    const listen = ["serve", "--listen", "127.0.0.1:0", "--data-dir", path.join(server.folder, "data")];
    const command = [...listen, "--log-format", "json", ...flags];
    server.process = spawn(binary, command, { stdio: ["ignore", "ignore", log] });
    fs.closeSync(log);
    server.ended = new Promise((resolve) => server.process.once("exit", resolve));
    try {
      server.address = await server.#ready();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  async #ready() {
    for (let i = 0; i < 600 && this.process.exitCode === null; i++) {
      const line = this.said().split("\n").find((line) => line.includes('"ready"'));
      if (line !== undefined) return JSON.parse(line).address;
      await sleep(50);
    }
    throw new Error(`the server is not ready:\n${this.said()}`);
  }

  said() {
    return fs.readFileSync(path.join(this.folder, "log"), "utf8");
  }

  /** By its own process id. */
  async stop() {
    this.process.kill("SIGKILL");
    await this.ended;
    fs.rmSync(this.folder, { recursive: true });
  }
}

module.exports = { Server };
