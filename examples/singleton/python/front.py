"""The HTTP front: POST /orchestrators/{functionName}/{instanceId} starts a singleton, or answers 409.

Usage: SOLOIST_SERVER=http://localhost:4001 FRONT_PORT=7071 ./run.sh front
"""

import contextlib
import json
import os
import random
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

import grpc
from soloist.v1.orchestration_service_pb2 import StartSingletonRequest
from soloist.v1.orchestration_service_pb2_grpc import OrchestrationServiceStub

SERVER = os.environ.get("SOLOIST_SERVER", "http://localhost:4001").rstrip("/")
PORT = int(os.environ.get("FRONT_PORT", "7071"))

# What a start without an answer leads to. It may have been accepted.
UNANSWERED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN)
HTTP_CODES = {
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAVAILABLE: 503,
}


def start(soloist, function_name, instance_id, body):
    """Checks and starts in one step: of any number of callers at the same moment, one has started it."""
    request = StartSingletonRequest(
        instance_id=instance_id,
        function_name=function_name,
        input=body or None,
        request_id=str(uuid.uuid4()),  # the same in every attempt, so that none of them starts a second one
    )
    for wait in (0.1, 0.4, 1.6, 6.4, None):
        try:
            return soloist.StartSingleton(request, timeout=30)
        except grpc.RpcError as error:
            if error.code() not in UNANSWERED or wait is None:
                raise
        time.sleep(wait * random.uniform(0.5, 1.5))


def check_status(instance_id):
    """Where the instance is read and controlled: at the Soloist server, by the URLs that Durable Functions has."""
    instance = f"{SERVER}/runtime/webhooks/durabletask/instances/{quote(instance_id, safe='')}"
    return {
        "id": instance_id,
        "statusQueryGetUri": f"{instance}?taskHub=default",
        "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?taskHub=default",
        "terminatePostUri": f"{instance}/terminate?reason={{text}}&taskHub=default",
        "purgeHistoryDeleteUri": f"{instance}?taskHub=default",
        "restartPostUri": f"{instance}/restart?taskHub=default",
        "suspendPostUri": f"{instance}/suspend?reason={{text}}&taskHub=default",
        "resumePostUri": f"{instance}/resume?reason={{text}}&taskHub=default",
    }


class Front(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        match urlsplit(self.path).path.split("/"):
            case ["", "orchestrators", function_name, instance_id]:
                self.http_start(unquote(function_name), unquote(instance_id), body)
            case _:
                self.answer(404, "POST /orchestrators/{functionName}/{instanceId} is all there is.")

    def http_start(self, function_name, instance_id, body):
        try:
            body = body.decode()
            if body:
                json.loads(body)
        except ValueError as error:
            return self.answer(400, f"The body is no JSON: {error}")
        try:
            start(self.server.soloist, function_name, instance_id, body)
        except grpc.RpcError as error:
            # A live instance is 409: "An instance with ID 'nightly' already exists."
            return self.answer(HTTP_CODES.get(error.code(), 500), error.details())
        payload = check_status(instance_id)
        headers = {"Location": payload["statusQueryGetUri"], "Retry-After": "10"}
        self.answer(202, json.dumps(payload), "application/json", headers)

    def answer(self, code, text, content_type="text/plain; charset=utf-8", headers={}):
        body = text.encode()
        self.send_response(code)
        for name, value in {"Content-Type": content_type, "Content-Length": len(body), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    request_queue_size = 1024  # connections that wait to be taken


if __name__ == "__main__":
    with grpc.insecure_channel(urlsplit(SERVER).netloc) as channel, Server(("127.0.0.1", PORT), Front) as server:
        server.soloist = OrchestrationServiceStub(channel)
        print(f"http://127.0.0.1:{PORT}/orchestrators/{{functionName}}/{{instanceId}}")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
