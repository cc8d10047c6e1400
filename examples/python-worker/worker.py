"""A worker in plain gRPC, for one function, `report`. Usage: python worker.py [ADDRESS]"""

import os, queue, random, signal, sys, threading, time

import grpc
from soloist.v1 import instance_pb2, worker_service_pb2 as pb
from soloist.v1.worker_service_pb2_grpc import WorkerServiceStub


def report(job):
    """The work: as long as you like, as long as it looks at `job.stop`."""
    for part in range(1, 4):
        job.go.wait()
        job.progress(f'"part {part} of 3"')
        if job.stop.wait(timeout=float(job.run.input or 0)):
            return None
    return '"the report"'


FUNCTIONS = {"report": report}


class Job:
    def __init__(self, worker, run):
        self.worker, self.run, self.claim = worker, run, run.claim
        self.stop = threading.Event()  # set when the work has to stop
        self.go = threading.Event()  # not set while the instance is suspended
        self.go.set()
        self.thread = self.lease_end = self.end = self.end_sequence = None

    def pause(self, suspended):
        self.go.clear() if suspended and not self.stop.is_set() else self.go.set()

    def halt(self):
        self.stop.set()
        self.go.set()  # it need not wait for that any more

    def progress(self, status):
        self.worker.say(progress=pb.Progress(claim=self.claim, custom_status=status))

    def work(self):
        try:
            output = FUNCTIONS[self.run.function_name](self)
            end = {"completed": pb.Completed(claim=self.claim, output=output)}
        except Exception as error:
            failure = instance_pb2.Failure(error_type=type(error).__name__, message=str(error))
            end = {"failed": pb.Failed(claim=self.claim, failure=failure)}
        self.finish(**({"stopped": pb.Stopped(claim=self.claim)} if self.stop.is_set() else end))

    def finish(self, **end):
        self.end = end
        self.end_sequence = self.worker.say(**end)


class Worker:
    def __init__(self):
        self.jobs, self.sent, self.lock = {}, {}, threading.Lock()
        self.sequence, self.outbox, self.heartbeat_at, self.closing = 0, queue.Queue(), None, False

    def say(self, **message):
        with self.lock:
            self.sequence += 1
            self.sent[self.sequence] = time.monotonic()  # leases count from when you send
            self.outbox.put(pb.WorkRequest(sequence=self.sequence, **message))
            return self.sequence

    def serve(self, stub):
        """One stream, until it is lost or closed."""
        self.outbox, self.sent = queue.Queue(), {}
        held = [job.claim for job in self.jobs.values()]
        self.say(register=pb.Register(worker_name="python", functions=FUNCTIONS, max_runs=4, held=held))
        registering = time.monotonic()
        try:
            for response in stub.Work(iter(self.outbox.get, None)):
                kind = response.WhichOneof("message")
                if kind is None or kind == "drain":
                    continue  # of a newer server; or the stream is about to end
                message = getattr(response, kind)
                if kind == "registered":
                    self.lease = message.lease_duration.ToTimedelta().total_seconds()
                    self.interval = message.heartbeat_interval.ToTimedelta().total_seconds()
                    self.heartbeat_at = time.monotonic() + self.interval
                    suspended = [claim.claim_id for claim in message.suspended]
                    for claim in message.continued:
                        self.go_on(self.jobs[claim.claim_id], registering)
                        self.jobs[claim.claim_id].pause(claim.claim_id in suspended)
                elif kind == "heartbeat_acked":
                    sent = self.sent.pop(message.sequence)
                    for claim in message.renewed:
                        if claim.claim_id in self.jobs:
                            self.jobs[claim.claim_id].lease_end = sent + self.lease
                elif kind == "run":
                    job = self.jobs[message.claim.claim_id] = Job(self, message)
                    if self.closing:
                        job.finish(stopped=pb.Stopped(claim=job.claim))
                    else:
                        self.say(accept=pb.Accept(claim=job.claim))
                elif kind in ("suspend", "resume"):
                    if message.claim.claim_id in self.jobs:
                        self.jobs[message.claim.claim_id].pause(kind == "suspend")
                else:
                    self.answer(kind, message)
        finally:
            self.heartbeat_at = None
            self.outbox.put(None)  # ends the thread that sends

    def go_on(self, job, renewed_at):
        """A run outlived its stream: what it said may be lost, so say it again."""
        job.lease_end = renewed_at + self.lease
        if job.end:
            job.finish(**job.end)
        elif job.thread is None:
            self.say(accept=pb.Accept(claim=job.claim))

    def answer(self, kind, message):
        sent, job = self.sent.pop(message.sequence, None), self.jobs.get(message.claim.claim_id)
        if job is None or kind == "event":
            return  # this function takes no events
        if job.end and message.sequence == job.end_sequence and kind != "rejected":
            del self.jobs[job.claim.claim_id]  # its end is durable, or no longer counts
        elif kind == "accepted" and job.thread is None:
            job.lease_end = sent + self.lease
            job.thread = threading.Thread(target=job.work, daemon=True)
            job.thread.start()  # only now
        elif kind == "cancel":
            job.halt()
            if job.thread is None or job.end:  # else the work says it when it has stopped
                job.finish(stopped=pb.Stopped(claim=job.claim))
        elif kind == "rejected" and message.sequence == job.end_sequence:
            failure = instance_pb2.Failure(error_type=message.reason, message=message.message)
            job.finish(failed=pb.Failed(claim=job.claim, failure=failure))

    def keep_leases(self):
        """In a thread of its own, so that neither the work nor a lost stream can delay it."""
        while True:
            now = time.monotonic()
            for job in list(self.jobs.values()):
                if job.lease_end and not job.end:
                    if self.closing or now > job.lease_end - self.lease / 5:
                        job.halt()
                    if now > job.lease_end:
                        os._exit(1)  # the work has not stopped in time: another worker may be at it
            if self.heartbeat_at and now >= self.heartbeat_at:
                self.heartbeat_at = now + self.interval
                claims = [job.claim for job in list(self.jobs.values()) if job.lease_end]
                self.say(heartbeat=pb.Heartbeat(claims=claims))  # an idle worker's is empty
            if self.closing and not self.jobs:
                self.outbox.put(None)
            time.sleep(0.05)

    def close(self, *_):
        self.closing = True


def main(address="localhost:4001"):
    worker = Worker()
    signal.signal(signal.SIGTERM, worker.close)
    signal.signal(signal.SIGINT, worker.close)
    threading.Thread(target=worker.keep_leases, daemon=True).start()
    while not worker.closing:
        try:
            with grpc.insecure_channel(address) as channel:
                worker.serve(WorkerServiceStub(channel))
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                raise  # the registration was wrong: trying again does not help
            print("no line to the server:", error.details(), file=sys.stderr)
        time.sleep(random.uniform(0.2, 1))


if __name__ == "__main__":
    main(*sys.argv[1:])
