"""The worker: a regular orchestration and an eternal one, on Microsoft's Durable Task SDK.

Usage: SOLOIST_SERVER=http://localhost:4001 ./run.sh worker
"""

import os
import signal
from datetime import timedelta

from durabletask.worker import TaskHubGrpcWorker

SERVER = os.environ.get("SOLOIST_SERVER", "http://localhost:4001")


def report(context, of):
    """Three activities, one after the other, and it is done."""
    figures = yield context.call_activity(collect, input=of)
    total = yield context.call_activity(add_up, input=figures)
    return (yield context.call_activity(publish, input={"of": of, "total": total}))


def collect(_, of):
    print(f"collecting the figures of {of}")
    return [20, 21, 1]


def add_up(_, figures):
    return sum(figures)


def publish(_, report):
    return f"the report of {report['of']}: {report['total']}"


def refresh(context, settings):
    """Never ends: each generation does its work, waits, and continues as the next one, under the same instance id."""
    settings = {"waitSeconds": 5, "generation": 1, **(settings or {})}
    yield context.call_activity(refresh_cache, input=settings["generation"])
    context.set_custom_status(settings["generation"])
    yield context.create_timer(timedelta(seconds=settings["waitSeconds"]))
    context.continue_as_new({**settings, "generation": settings["generation"] + 1})


def refresh_cache(_, generation):
    print(f"generation {generation}")


if __name__ == "__main__":
    # The main thread only waits to be told to end.
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with TaskHubGrpcWorker(host_address=SERVER) as worker:
        for orchestrator in (report, refresh):
            worker.add_orchestrator(orchestrator)
        for activity in (collect, add_up, publish, refresh_cache):
            worker.add_activity(activity)
        worker.start()
        signal.sigwait(ends)
