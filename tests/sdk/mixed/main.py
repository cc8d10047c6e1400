"""Starts a server and both workers, and tells the stories. Usage: main.py BINARY"""

import logging
import pathlib
import subprocess
import sys
import threading

from durabletask import task
from hub import AUTO, Hub, Seen, Status, equal, log, true, until
from server import Server

SCRIPT = pathlib.Path(__file__).with_name("worker.js")
ODD = "gr\u00fc\u00df \U0001f3bb"
seen = Seen()


def py_reverse(ctx, text):
    seen.add("py_reverse")
    return text[::-1]


def py_broken(ctx, _):
    seen.add("py_broken")
    raise ValueError("no such port")


def py_crosses(ctx, text):
    if not ctx.is_replaying:
        seen.add("py_crosses")
    here, there = yield task.when_all(
        [ctx.call_activity("py_reverse", input=text), ctx.call_activity("js_shout", input=text)]
    )
    child = yield ctx.call_sub_orchestrator("js_child", input=text)
    greeting = yield ctx.wait_for_external_event("greeting")
    failure = None
    try:
        yield ctx.call_activity("js_broken")
    except task.TaskFailedError as error:
        failure = [error.details.error_type, error.details.message]
    return {"here": here, "there": there, "child": child, "greeting": greeting, "failure": failure}


def py_child(ctx, text):
    if not ctx.is_replaying:
        seen.add("py_child")
    text = yield ctx.call_activity("py_reverse", input=text)
    return text


class JavaScript:
    """The other worker, and what it says."""

    def __init__(self, address, hub):
        command = ["node", str(SCRIPT), address, hub]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said = Seen()
        self.listener = threading.Thread(target=lambda: [self.said.add(line.strip()) for line in self.process.stdout])
        self.listener.start()

    def __enter__(self):
        until(lambda: "ready" in self.said.all(), "the JavaScript worker is ready")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.listener.join()


def stories(hub, javascript):
    ids = [(hub.start("py_crosses", ODD), hub.start("js_crosses", ODD)) for _ in range(10)]
    for py, js in ids:
        failure = ["RangeError", "out of all bounds"]
        wanted = {"here": ODD[::-1], "there": ODD.upper(), "child": ODD.upper()}
        equal(hub.output(py), {**wanted, "greeting": {"from": "js"}, "failure": failure}, "what Python got")
        found = hub.output(js)
        kind, message = found.pop("failure")
        equal(found, {"here": ODD.upper(), "there": ODD[::-1], "child": ODD[::-1]}, "what JavaScript got")
        true(kind.endswith("ValueError") and message == "no such port", f"the failure is {kind}: {message}")
    print("sdk-mixed: across languages: ok")

    names = {name: set(each.all()) - {"ready"} for name, each in (("py", seen), ("js", javascript.said))}
    equal(names["py"], {"py_crosses", "py_child", "py_reverse", "py_broken"}, "what Python was given")
    equal(names["js"], {"js_crosses", "js_child", "js_shout", "js_broken"}, "what JavaScript was given")
    counts = [javascript.said.all().count("js_shout"), seen.all().count("py_reverse")]
    # Of each pair, both orchestrators, and the child that one of them has.
    equal(counts, [30, 30], "how often each activity was done")
    print("sdk-mixed: each is given only its own: ok")


def one_leaves(hub):
    """While the JavaScript worker is away, its part waits; when it comes back, it is done."""
    id = hub.start("py_crosses", "x")
    until(lambda: hub.state(id).runtime_status == Status.RUNNING, "the Python part goes on")
    with JavaScript(hub.server.address, "mixed"):
        equal(hub.output(id)["there"], "X")
    print("sdk-mixed: one leaves and comes back: ok")


def main(binary):
    log.addHandler(logging.NullHandler())
    with Server(binary) as server:
        hub = Hub(server, "mixed")
        with hub.worker([py_crosses, py_child], [py_reverse, py_broken], filters=AUTO):
            with JavaScript(server.address, "mixed") as javascript:
                stories(hub, javascript)
            one_leaves(hub)
        hub.stopped()


if __name__ == "__main__":
    main(*sys.argv[1:])
