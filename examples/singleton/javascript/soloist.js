// The stub of soloist.v1.OrchestrationService, made from the proto file.
"use strict";

const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const SERVER = (process.env.SOLOIST_SERVER ?? "http://localhost:4001").replace(/\/+$/, "");

const definition = protoLoader.loadSync("soloist/v1/orchestration_service.proto", {
  includeDirs: [path.join(__dirname, "../../../proto")],
  enums: String,
  longs: String, // a revision may be larger than what a number holds exactly
  defaults: true,
});
const { OrchestrationService } = grpc.loadPackageDefinition(definition).soloist.v1;

const connect = () => new OrchestrationService(new URL(SERVER).host, grpc.credentials.createInsecure());

module.exports = { SERVER, connect };
