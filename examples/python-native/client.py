"""Calls to a server in plain gRPC. Usage: SOLOIST_SERVER=localhost:4001 python client.py COMMAND ARGUMENT..."""

import os, random, sys, time, uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from soloist.v1 import instance_pb2, orchestration_service_pb2 as pb
from soloist.v1.orchestration_service_pb2_grpc import OrchestrationServiceStub

# What a server that is away, a proxy, or a connection that breaks leads to.
LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)


def start(stub, function, instance_id, input=None, policy="FAIL"):
    """Starts a singleton; tells which execution it is. With QUEUE it may have to wait for its turn."""
    request = pb.StartSingletonRequest(
        instance_id=instance_id,
        function_name=function,
        input=input,
        conflict_policy=f"CONFLICT_POLICY_{policy}",
        request_id=str(uuid.uuid4()),  # so that it is safe to ask again
    )
    try:
        started = again(stub.StartSingleton, request)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.ALREADY_EXISTS:
            raise
        taken = error_info(error)  # as a 409
        sys.exit(f"{taken.reason}: {taken.metadata['instance_id']} is {taken.metadata['status']}")
    print(pb.StartOutcome.Name(started.outcome).removeprefix("START_OUTCOME_"), started.execution_id)
    return started.execution_id


def again(call, request):
    """Calls up to five times. Only for calls that may be repeated: reads, and starts with a request id."""
    for wait in (0.1, 0.4, 1.6, 6.4, None):
        try:
            return call(request, timeout=30)
        except grpc.RpcError as error:
            if error.code() not in LOST or wait is None:
                raise
        time.sleep(wait * random.uniform(0.5, 1.5))


def error_info(error):
    """What the server says of an error for programs: a reason, and the values of the message."""
    info = error_details_pb2.ErrorInfo()
    for detail in rpc_status.from_call(error).details:
        if detail.Unpack(info):
            return info


def transitions(stub, request):
    """Every transition once and in order, over lost connections."""
    while True:
        try:
            for item in stub.WatchStatus(request):
                if not item.heartbeat:
                    request.from_revision = item.status.revision  # where to go on
                    yield item
            return
        except grpc.RpcError as error:
            if error.code() not in LOST:
                raise
            print("the line is lost; going on", file=sys.stderr)
        time.sleep(random.uniform(0.2, 1))


def watch(stub, instance_id, execution_id=""):
    """Follows an instance to its end; with an execution id this one, also from the queue."""
    request = pb.WatchStatusRequest(instance_id=instance_id, execution_id=execution_id, until_terminal=True)
    for item in transitions(stub, request):
        print(item.sequence, name(item.status), item.status.worker, flush=True)
    return item.status


def queue(stub, function, instance_id, input=None):
    """Waits for its turn, and then for the end of its own execution."""
    ended = watch(stub, instance_id, start(stub, function, instance_id, input, "QUEUE"))
    sys.exit(0 if name(ended) == "COMPLETED" else 1)


def status(stub, instance_id):
    answer = again(stub.GetStatus, pb.GetStatusRequest(instance_id=instance_id, include_payloads=True))
    more = answer.status.output or answer.status.failure.message or answer.status.pending_reason
    print(name(answer.status), answer.status.execution_id, more)


def list_all(stub, function=""):
    request = pb.ListInstancesRequest(filter=instance_pb2.InstanceFilter(function_name=function))
    while True:
        page = again(stub.ListInstances, request)
        for found in page.instances:
            print(found.instance_id, name(found), found.execution_id)
        request.page_token = page.next_page_token
        if not request.page_token:
            return


def event(stub, instance_id, event_name, input=None):
    stub.RaiseEvent(pb.RaiseEventRequest(instance_id=instance_id, name=event_name, input=input))


def terminate(stub, instance_id, reason=""):
    print(name(stub.TerminateInstance(pb.TerminateInstanceRequest(instance_id=instance_id, reason=reason)).status))


def suspend(stub, instance_id, reason=""):
    print(name(stub.SuspendInstance(pb.SuspendInstanceRequest(instance_id=instance_id, reason=reason)).status))


def resume(stub, instance_id, reason=""):
    print(name(stub.ResumeInstance(pb.ResumeInstanceRequest(instance_id=instance_id, reason=reason)).status))


def name(status):
    return instance_pb2.RuntimeStatus.Name(status.runtime_status).removeprefix("RUNTIME_STATUS_")


COMMANDS = {
    "start": start,
    "queue": queue,
    "status": status,
    "watch": watch,
    "list": list_all,
    "raise": event,
    "suspend": suspend,
    "resume": resume,
    "terminate": terminate,
}

if __name__ == "__main__":
    with grpc.insecure_channel(os.environ.get("SOLOIST_SERVER", "localhost:4001")) as channel:
        COMMANDS[sys.argv[1]](OrchestrationServiceStub(channel), *sys.argv[2:])
