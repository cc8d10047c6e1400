"""Watches an instance: prints every transition of it until it has ended, over lost connections.

Usage: SOLOIST_SERVER=http://localhost:4001 ./run.sh watch INSTANCE-ID
"""

import os
import random
import sys
import time
from urllib.parse import urlsplit

import grpc
from soloist.v1.instance_pb2 import RuntimeStatus
from soloist.v1.orchestration_service_pb2 import WatchStatusRequest
from soloist.v1.orchestration_service_pb2_grpc import OrchestrationServiceStub

SERVER = os.environ.get("SOLOIST_SERVER", "http://localhost:4001")

# What a server that is away, a proxy, or a connection that breaks leads to.
LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)


def transitions(soloist, instance_id):
    """Every transition once and in order: a stream that breaks is followed by one from where it broke."""
    request = WatchStatusRequest(instance_id=instance_id, until_terminal=True)
    while True:
        try:
            for item in soloist.WatchStatus(request):
                if not item.heartbeat:
                    request.from_revision = item.status.revision
                    yield item
            return
        except grpc.RpcError as error:
            if error.code() not in LOST:
                raise
        time.sleep(random.uniform(0.2, 1))


def main(instance_id):
    with grpc.insecure_channel(urlsplit(SERVER).netloc) as channel:
        try:
            for item in transitions(OrchestrationServiceStub(channel), instance_id):
                if item.resync:
                    print("some transitions are no longer kept; from here on:")
                status = RuntimeStatus.Name(item.status.runtime_status).removeprefix("RUNTIME_STATUS_").capitalize()
                print(item.sequence, status, item.status.execution_id, flush=True)
        except grpc.RpcError as error:
            sys.exit(error.details())
        except KeyboardInterrupt:
            pass  # enough seen


if __name__ == "__main__":
    main(sys.argv[1])
