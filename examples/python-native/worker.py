"""A worker with two functions. Usage: python worker.py [ADDRESS]"""

import asyncio, json, sys

from soloist.v1 import worker_service_pb2 as pb

from soloist_worker import ContinueAsNew, Worker


async def report(job):
    """Three parts, each of as many seconds as the input says. It rests before the next one while it is suspended."""
    for part in range(1, 4):
        await job.resumed.wait()
        job.say(progress=pb.Progress(claim=job.claim, custom_status=f'"part {part} of 3"'))
        await asyncio.sleep(float(job.run.input or 0))
    return '"the report"'


async def tally(job):
    """Adds up the events `add` until `stop`. The sum becomes the next execution's input, with the number of the last
    event that is in it: so nothing is lost or added twice, whatever happens."""
    state = json.loads(job.run.input or '{"sum": 0, "seen": 0}')
    job.say(events_acked=pb.EventsAcked(claim=job.claim, sequence=state["seen"]))
    while event := await job.events.get():
        if event.sequence > state["seen"] and event.name == "stop":
            return str(state["sum"])
        if event.sequence > state["seen"] and event.name == "add":
            raise ContinueAsNew(json.dumps({"sum": state["sum"] + int(event.input), "seen": event.sequence}))


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "localhost:4001"
    asyncio.run(Worker("python", report=report, tally=tally).run(address))
