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
    Object.assign(server, { binary, flags, address: "127.0.0.1:0" });
    server.folder = fs.mkdtempSync(path.join(os.tmpdir(), "sdk-javascript-"));
    try {
      await server.start();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** Starts it where it was, in the same folder. */
  async start() {
    const log = fs.openSync(path.join(this.folder, "log"), "w");
    const listen = ["serve", "--listen", this.address, "--data-dir", path.join(this.folder, "data")];
    const command = [...listen, "--log-format", "json", ...this.flags];
    this.process = spawn(this.binary, command, { stdio: ["ignore", "ignore", log] });
    fs.closeSync(log);
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.address = await this.#ready();
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

  /** `kill -9`, by its own process id. */
  async kill() {
    this.process.kill("SIGKILL");
    await this.ended;
  }

  async stop() {
    await this.kill();
    fs.rmSync(this.folder, { recursive: true });
  }
}

module.exports = { Server };
