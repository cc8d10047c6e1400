"""A task hub of its own for each story: its client, its workers, and the waits and checks that stories are made of."""

import contextlib
import logging
import threading
import time

import grpc
from durabletask import client, worker
from durabletask.client import OrchestrationStatus as Status
from durabletask.grpc_options import GrpcChannelOptions, GrpcWorkerResiliencyOptions

LONGEST = 30  # seconds that a story waits for one thing

# A server that comes back is found within a second.
FOUND_AGAIN = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]

log = logging.getLogger("durabletask")
log.propagate = False

# Work item filters that name what the worker has registered.
AUTO = object()

STORIES = {}


def story(function):
    STORIES[function.__name__] = function
    return function


def equal(found, wanted, what="it"):
    if found != wanted:
        raise AssertionError(f"{what} is {short(found)} instead of {short(wanted)}")


def true(holds, what):
    if not holds:
        raise AssertionError(what)


def short(value):
    text = repr(value)
    return text if len(text) < 300 else text[:300] + "…"


@contextlib.contextmanager
def refused(code, text=""):
    """The call in the block is answered with this gRPC code, and with this text."""
    try:
        yield
    except grpc.RpcError as error:
        equal(error.code(), code, f"the code of '{error.details()}'")
        true(text in error.details(), f"no '{text}' in '{error.details()}'")
        return
    raise AssertionError(f"not refused with {code}")


def until(holds, what):
    """Asks again until it holds."""
    end = time.monotonic() + LONGEST
    while not holds():
        true(time.monotonic() < end, f"waited in vain: {what}")
        time.sleep(0.02)


class Seen:
    """What activities saw, in the order in which it happened. (An orchestrator sees the same again when it replays.)"""

    def __init__(self):
        self._lock = threading.Lock()
        self._all = []

    def add(self, what):
        with self._lock:
            self._all.append(what)
            return len(self._all)

    def all(self):
        with self._lock:
            return list(self._all)

    def __len__(self):
        return len(self.all())


class Hub:
    def __init__(self, server, name):
        self.server = server
        self.metadata = [("taskhub", name)]
        self.stopping = []
        options = GrpcChannelOptions(max_receive_message_length=64 << 20, raw_options=FOUND_AGAIN)
        self.client = client.TaskHubGrpcClient(
            host_address=server.address, metadata=self.metadata, channel_options=options, logger=log
        )

    @contextlib.contextmanager
    def worker(self, orchestrators=(), activities=(), *, filters=None, versioning=None, concurrency=None):
        made = worker.TaskHubGrpcWorker(
            host_address=self.server.address,
            metadata=self.metadata,
            channel_options=GrpcChannelOptions(raw_options=FOUND_AGAIN),
            resiliency_options=GrpcWorkerResiliencyOptions(
                reconnect_backoff_base_seconds=0.1, reconnect_backoff_cap_seconds=0.5
            ),
            concurrency_options=concurrency,
            logger=log,
        )
        for function in orchestrators:
            made.add_orchestrator(function)
        for function in activities:
            made.add_activity(function)
        if versioning is not None:
            made.use_versioning(versioning)
        if filters is AUTO:
            made.use_work_item_filters()
        elif filters is not None:
            made.use_work_item_filters(filters)
        made.start()
        try:
            yield made
        finally:
            # Its stream ends at once, and what it has at hand a second later: the next story need not wait for that.
            stopping = threading.Thread(target=made.stop)
            stopping.start()
            self.stopping.append(stopping)

    def stopped(self):
        """The workers whose blocks have ended are gone."""
        for stopping in self.stopping:
            stopping.join()
        self.stopping.clear()

    def start(self, orchestrator, input=None, **more):
        return self.client.schedule_new_orchestration(orchestrator, input=input, **more)

    def state(self, id):
        return self.client.get_orchestration_state(id)

    def status(self, id):
        state = self.state(id)
        return state and state.runtime_status

    def ended(self, id):
        return self.client.wait_for_orchestration_completion(id, timeout=LONGEST)

    def output(self, id):
        """What it returns: it must complete."""
        state = self.ended(id)
        what = f"the status of {state.name} ({state.failure_details and state.failure_details.message})"
        equal(state.runtime_status, Status.COMPLETED, what)
        return state.get_output()

    def failure(self, id):
        state = self.ended(id)
        equal(state.runtime_status, Status.FAILED, f"the status of {state.name}")
        return state.failure_details

    def run(self, orchestrator, input=None, **more):
        return self.output(self.start(orchestrator, input, **more))

    def begun(self, id):
        """It is no longer pending."""
        return self.client.wait_for_orchestration_start(id, timeout=LONGEST)

    def until_status(self, id, status):
        until(lambda: self.status(id) == status, f"{id} becomes {status.name}, is {self.status(id)}")

    def raises(self, id, name, data=None):
        self.client.raise_orchestration_event(id, name, data=data)
