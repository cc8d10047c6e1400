"""Runs functions for a server, in plain gRPC: the rules of docs/workers.md and nothing else."""

import asyncio, os, random, signal, sys, threading, time

import grpc
from soloist.v1 import instance_pb2, worker_service_pb2 as pb
from soloist.v1.worker_service_pb2_grpc import WorkerServiceStub


class ContinueAsNew(Exception):
    """Ends the execution and begins the next one, with this input."""


class Job:
    """A run, from its Accept until its end is answered."""

    def __init__(self, worker, run):
        self.worker, self.run, self.claim, self.say = worker, run, run.claim, worker.say
        self.events, self.resumed, self.stopping = asyncio.Queue(), asyncio.Event(), False
        self.resumed.set()
        self.asked = self.answer = self.number = self.work = self.lease_end = None
        self.life = asyncio.create_task(self.live())
        self.life.add_done_callback(lambda _: worker.jobs.pop(run.claim.claim_id))

    async def live(self):
        end = {"stopped": pb.Stopped(claim=self.claim)}
        if await self.ask(accept=pb.Accept(claim=self.claim)) == "accepted" and not self.worker.closing:
            function = self.worker.functions[self.run.function_name]
            self.work = asyncio.create_task(function(self))  # only now
            try:
                end = {"completed": pb.Completed(claim=self.claim, output=await self.work)}
            except asyncio.CancelledError:
                pass
            except ContinueAsNew as again:
                end = {"continue_as_new": pb.ContinueAsNew(claim=self.claim, input=str(again))}
            except Exception as error:
                end = {"failed": self.failed(type(error).__name__, error)}
        if (answer := await self.ask(**end)) == "rejected":
            await self.ask(failed=self.failed("Rejected", "the server did not take the output"))
        elif answer == "cancel" and "stopped" not in end:
            await self.ask(stopped=pb.Stopped(claim=self.claim))

    async def ask(self, **message):
        """Says it, on every new stream again, until it is answered; tells how: accepted, rejected or cancel."""
        self.asked, self.answer, self.number = message, asyncio.Future(), self.say(**message)
        return await self.answer

    def failed(self, kind, error):
        return pb.Failed(claim=self.claim, failure=instance_pb2.Failure(error_type=kind, message=str(error)))

    def works(self):
        return self.work and not self.work.done()

    def stop(self):
        if self.works() and not self.stopping:
            self.stopping = True
            self.work.cancel()


class Worker:
    def __init__(self, name, **functions):
        self.name, self.functions, self.jobs, self.closing, self.sequence = name, functions, {}, False, 0

    async def run(self, address):
        """Until SIGTERM or SIGINT; then it gives everything back."""
        self.loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(name, self.close)
        threading.Thread(target=self.guard, daemon=True).start()
        while not self.closing:
            try:
                async with grpc.aio.insecure_channel(address, [("grpc.keepalive_time_ms", 10_000)]) as channel:
                    await self.serve(WorkerServiceStub(channel))
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                    raise  # the registration was wrong: trying again does not help
                print("no line to the server:", error.details(), file=sys.stderr)
            await asyncio.sleep(random.uniform(0.1, 0.5))

    def say(self, **message):
        self.sequence += 1
        self.sent[self.sequence] = time.monotonic()  # a lease counts from when you send
        self.outbox.put_nowait(pb.WorkRequest(sequence=self.sequence, **message))
        return self.sequence

    async def serve(self, stub):
        """One stream, until it is lost or closed."""
        self.outbox, self.sent, beat = asyncio.Queue(), {}, None
        held = [job.claim for job in self.jobs.values()]
        register = pb.Register(worker_name=self.name, functions=self.functions, max_runs=4, held=held)
        registering = self.say(register=register)
        try:
            async for response in stub.Work(messages(self.outbox)):
                kind = response.WhichOneof("message")
                message = getattr(response, kind or "drain")
                if kind == "registered":
                    self.lease = message.lease_duration.ToTimedelta().total_seconds()
                    beat = asyncio.create_task(self.beat(message.heartbeat_interval.ToTimedelta().total_seconds()))
                    self.renewed(message.continued, self.sent.pop(registering))
                    for job in self.jobs.values():
                        self.go_on(job, job.claim in message.continued)
                elif kind == "heartbeat_acked":
                    self.renewed(message.renewed, self.sent.pop(message.sequence))
                elif kind == "run":
                    self.jobs[message.claim.claim_id] = Job(self, message)
                elif kind and kind != "drain" and message.claim.claim_id in self.jobs:
                    self.tell(self.jobs[message.claim.claim_id], kind, message)
        finally:
            self.outbox.put_nowait(None)
            if beat:
                beat.cancel()

    def go_on(self, job, continued):
        """The run has outlived its stream."""
        job.resumed.set()  # if it is still suspended, Suspend comes again
        if not job.answer.done() and continued:
            job.number = self.say(**job.asked)  # what it said may be lost
        elif not job.answer.done():
            job.answer.set_result("cancel")

    def renewed(self, claims, sent):
        for job in [job for job in self.jobs.values() if job.claim in claims]:
            job.lease_end = sent + self.lease

    def tell(self, job, kind, message):
        if kind == "event":
            job.events.put_nowait(message)
        elif kind == "suspend":
            job.resumed.clear()
        elif kind == "resume":
            job.resumed.set()
        else:
            sent = self.sent.pop(message.sequence, None)
            if message.sequence == job.number and not job.answer.done():
                if "accept" in job.asked:
                    job.lease_end = sent + self.lease
                job.answer.set_result(kind)
            elif kind == "cancel":
                job.stop()

    async def beat(self, interval):
        while self.jobs or not self.closing:
            self.say(heartbeat=pb.Heartbeat(claims=[job.claim for job in self.jobs.values() if job.lease_end]))
            await asyncio.sleep(interval)
        self.outbox.put_nowait(None)  # everything is given back: no more is said

    def guard(self):
        """In a thread of its own, so that neither a lost stream nor work that blocks the loop can delay it."""
        while time.sleep(0.05) is None:
            for job in [job for job in list(self.jobs.values()) if job.works()]:
                left = job.lease_end - time.monotonic()
                if left < self.lease / 5:
                    self.loop.call_soon_threadsafe(job.stop)
                if left < 0:
                    os._exit(1)  # the work has not stopped in time: another worker may be at it

    def close(self):
        self.closing = True
        for job in self.jobs.values():
            job.stop()


async def messages(outbox):
    while message := await outbox.get():
        yield message
