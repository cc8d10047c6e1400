"""One of the samples against a real server: its front, its worker and its watch, started as a reader would start them.

usage: check.py PATH-OF-SOLOIST LANGUAGE

What a sample in examples/singleton/LANGUAGE has to be:

  run.sh prepare      fetches and builds what the others need, once
  run.sh front        listens on FRONT_PORT of 127.0.0.1: POST /orchestrators/{functionName}/{instanceId}
  run.sh worker       has the orchestrators `report` and `refresh`
  run.sh watch ID     prints `SEQUENCE STATUS EXECUTION` for every transition (`7 Running 56cb…`), over lost streams,
                      and ends with 0 when the instance has

`report` makes three activities of its input, a string, and returns "the report of INPUT: 42". `refresh` takes
`{"waitSeconds": 0.05, "generation": 1}`, either may be left out; it does an activity, shows its generation as custom
status, waits on a durable timer, and continues as new with the next generation. SOLOIST_SERVER is the server's URL.
"""

import collections
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
# Seconds: for one thing that is waited for, for all the stories, and for fetching and building.
PATIENCE, STORIES_MAX, PREPARE_MAX = 60, 300, 900
CALLERS = 100
GENERATIONS = 20
FAST = {"waitSeconds": 0.05}
PAYLOAD = {
    "id",
    "statusQueryGetUri",
    "sendEventPostUri",
    "terminatePostUri",
    "purgeHistoryDeleteUri",
    "restartPostUri",
    "suspendPostUri",
    "resumePostUri",
}

Answer = collections.namedtuple("Answer", "code headers body")


class Stage:
    """The processes of one check, and what they say. They end with the block, by their own ids."""

    def __init__(self, soloist, language):
        self.soloist = str(pathlib.Path(soloist).resolve())
        self.language = language
        self.script = str(HERE / language / "run.sh")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="singleton-"))
        self.address = "127.0.0.1:0"
        self.front = f"http://127.0.0.1:{free_port()}"
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for process in reversed(self.started):
            end(process)
        if kind is not None:
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-30:], sep="\n", file=sys.stderr)
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)

    def log(self, name):
        return self.folder / f"{name}.log"

    def start(self, name, command):
        """Each in a process group of its own: what a script starts ends with it."""
        environment = {
            **os.environ,
            "SOLOIST_SERVER": f"http://{self.address}",
            "FRONT_PORT": str(urllib.parse.urlsplit(self.front).port),
        }
        with open(self.log(name), "a", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.started.append(process)
        return process

    def prepare(self):
        with open(self.log("prepare"), "w", encoding="utf-8") as log:
            subprocess.run([self.script, "prepare"], stdout=log, stderr=log, check=True, timeout=PREPARE_MAX)

    def serve(self):
        """The server: where it was, with what it had, if it was there before."""
        command = [self.soloist, "serve", "--listen", self.address, "--data-dir", str(self.folder / "store")]
        self.log("server").write_text("")
        self.server = self.start("server", [*command, "--log-format", "json"])
        self.address = until("the server is ready", self._ready)

    def crash(self):
        self.server.kill()
        self.server.wait()

    def _ready(self):
        assert self.server.poll() is None, "the server has ended"
        for line in self.log("server").read_text().splitlines():
            if '"ready"' in line:
                line = json.loads(line)
                return line.get("address") or line["fields"]["address"]
        return None

    def sample(self, role, *arguments):
        return self.start("-".join([role, *arguments]), [self.script, role, *arguments])

    def post(self, function, instance, input=None, body=None):
        """A start, through the sample's front."""
        body = json.dumps(input) if body is None else body
        return call("POST", f"{self.front}/orchestrators/{function}/{instance}", body)

    def race(self, function, instance, input):
        """All at the same moment. The answer of the one that has started it."""
        ready, answers = threading.Barrier(CALLERS), []

        def caller():
            ready.wait()
            answers.append(self.post(function, instance, input))

        callers = [threading.Thread(target=caller) for _ in range(CALLERS)]
        for each in callers:
            each.start()
        for each in callers:
            each.join()
        codes = collections.Counter(answer.code for answer in answers)
        equal(codes, {202: 1, 409: CALLERS - 1}, "how often each code was answered")
        for answer in answers:
            if answer.code == 409:
                equal(answer.body, f"An instance with ID '{instance}' already exists.", "the body of a 409")
                equal(answer.headers.get_content_type(), "text/plain", "the content type of a 409")
        return next(links(answer, instance) for answer in answers if answer.code == 202)

    def transitions(self, instance):
        """What the sample's watch has printed: `[sequence, status, execution]` each."""
        whole = self.log(f"watch-{instance}").read_text().rpartition("\n")[0]
        return [line.split()[:3] for line in whole.splitlines() if line[:1].isdigit()]


def links(answer, instance):
    """The check-status payload, which must lead to the server."""
    equal(answer.code, 202, f"the code of '{answer.body}'")
    payload = json.loads(answer.body)
    equal(payload["id"], instance, "the id of the payload")
    equal(answer.headers["location"], payload["statusQueryGetUri"], "the Location")
    missing = PAYLOAD - set(payload)
    assert not missing, f"not in the payload: {missing}"
    return payload


def status(payload):
    return json.loads(call("GET", payload["statusQueryGetUri"]).body)


def ends_as(payload, wanted):
    """The status once it has ended."""
    url = payload["statusQueryGetUri"]
    found = until("it has ended", lambda: status(payload) if call("GET", url).code == 200 else None)
    equal(found["runtimeStatus"], wanted, f"the status of {found}")
    return found


def generation(payload):
    return int(status(payload)["customStatus"] or 0)


def refuses_what_is_no_json(stage):
    equal(stage.post("report", "broken", body='{"a": ').code, 400, "the code for bad JSON")
    url = f"http://{stage.address}/runtime/webhooks/durabletask/instances/broken"
    equal(call("GET", url).code, 404, "the code of what was never started")


def one_of_a_hundred_starts(stage):
    """No worker is there yet, so that it is still live when the last of them comes."""
    payload = stage.race("report", "monthly", "november")
    stage.sample("worker")
    equal(ends_as(payload, "Completed")["output"], "the report of november: 42", "the output")
    # It has ended: the next one is free to start.
    again = links(stage.post("report", "monthly", "december"), "monthly")
    equal(ends_as(again, "Completed")["output"], "the report of december: 42", "the output of the next one")


def eternal_one_stays_one(stage):
    """One execution follows the other; none comes back, and callers are refused in all of them."""
    payload = stage.race("refresh", "cache", FAST)
    stage.watch = stage.sample("watch", "cache")
    live = f"http://{stage.address}/runtime/webhooks/durabletask/instances?runtimeStatus=Pending,Running"

    def enough():
        answer = stage.post("refresh", "cache", FAST)
        equal(answer.code, 409, f"the code of '{answer.body}', between generations")
        equal([each["instanceId"] for each in json.loads(call("GET", live).body)], ["cache"], "what is live")
        assert stage.watch.poll() is None, "the watch has ended"
        return in_turn(stage.transitions("cache")) > GENERATIONS

    until(f"{GENERATIONS} generations were watched", enough)
    # A native worker's generation has none until it sets it.
    until("the custom status is as far", lambda: generation(payload) >= GENERATIONS)


def in_turn(transitions):
    """How many executions there are: with no gap, and none that comes back after another."""
    numbers = [int(sequence) for sequence, _, _ in transitions]
    equal(numbers, list(range(numbers[0], numbers[0] + len(numbers))) if numbers else [], "the sequence numbers")
    executions = [execution for _, _, execution in transitions]
    runs = sum(1 for _ in itertools.groupby(executions))
    equal(runs, len(set(executions)), "how often another execution came")
    return runs


def goes_on_after_a_crash(stage):
    """A start that meets no server is tried again by the front. Worker and watch find the server again."""
    cache = {"statusQueryGetUri": f"http://{stage.address}/runtime/webhooks/durabletask/instances/cache"}
    stage.crash()
    seen = in_turn(stage.transitions("cache"))
    answers = []
    caller = threading.Thread(target=lambda: answers.append(stage.post("report", "late", "lateness")))
    caller.start()
    stage.serve()
    before = generation(cache)
    caller.join()
    equal(ends_as(links(answers[0], "late"), "Completed")["output"], "the report of lateness: 42", "the output")
    until("the worker goes on", lambda: generation(cache) >= before + 3)
    until("the watch goes on", lambda: in_turn(stage.transitions("cache")) >= seen + 3)


def terminates(stage):
    instance = f"http://{stage.address}/runtime/webhooks/durabletask/instances/cache"
    equal(call("POST", f"{instance}/terminate?reason=enough").code, 202, "the code of a terminate")
    equal(stage.watch.wait(PATIENCE), 0, "the exit code of the watch")
    transitions = stage.transitions("cache")
    in_turn(transitions)
    equal({status for _, status, _ in transitions[:-1]} - {"Pending", "Running"}, set(), "what else it was before")
    equal(transitions[-1][1], "Terminated", "the last status")


def starts_again(stage):
    """Afresh, from the first generation; and its own URLs end it."""
    payload = links(stage.post("refresh", "cache", FAST), "cache")
    first = until("it has begun", lambda: generation(payload))
    assert first < GENERATIONS, f"it goes on with the generation {first} of the one that was terminated"
    equal(stage.post("refresh", "cache", FAST).code, 409, "the code while it runs")
    event = payload["sendEventPostUri"].replace("{eventName}", "hello")
    equal(call("POST", event, "1").code, 202, "the code of an event")
    terminate = payload["terminatePostUri"].replace("{text}", "enough")
    equal(call("POST", terminate).code, 202, "the code of a terminate")
    ends_as(payload, "Terminated")


STORIES = [
    refuses_what_is_no_json,
    one_of_a_hundred_starts,
    eternal_one_stays_one,
    goes_on_after_a_crash,
    terminates,
    starts_again,
]


def call(method, url, body=None):
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=PATIENCE)
    with contextlib.closing(connection):
        target = where.path + (f"?{where.query}" if where.query else "")
        connection.request(method, target, body, {} if body is None else {"content-type": "application/json"})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode())


def until(what, found):
    """What is found, once it is."""
    deadline = time.monotonic() + PATIENCE
    while not (it := found()):
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)
    return it


def listens(url):
    where = urllib.parse.urlsplit(url)
    with contextlib.suppress(OSError), socket.create_connection((where.hostname, where.port), 1):
        return True
    return False


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def equal(found, wanted, what):
    assert found == wanted, f"{what}: {found!r} instead of {wanted!r}"


def end(process):
    """The process and what it started, by the id of their group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def too_long(*_):
    raise TimeoutError(f"the stories take longer than {STORIES_MAX} s")


def main(soloist, language):
    with Stage(soloist, language) as stage:
        stage.prepare()
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(STORIES_MAX)
        stage.serve()
        front = stage.sample("front")
        until("the front listens", lambda: listens(stage.front) or front.poll() is not None)
        for story in STORIES:
            story(stage)
            print(f"singleton/{language}: {story.__name__.replace('_', ' ')}: ok", flush=True)
        signal.alarm(0)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
