"""Runs the stories, a line each, against a server that it starts. Usage: main.py BINARY [STORY...]"""

import logging
import sys
import tempfile
import time
import traceback

import stories
from hub import STORIES, Hub, log
from server import Server


def main(binary, *names):
    stories.load()
    failed = 0
    with tempfile.NamedTemporaryFile("w+") as worker_log, Server(binary, "--payload-bytes-max", "3MiB") as server:
        log.addHandler(logging.StreamHandler(worker_log))
        log.setLevel(logging.INFO)
        begun = time.monotonic()
        hubs = []
        for name in names or STORIES:
            since = time.monotonic()
            hubs.append(Hub(server, name.replace("_", "-")))
            try:
                STORIES[name](hubs[-1])
            except Exception:
                failed += 1
                print(f"sdk-python: {name}: FAILED\n{traceback.format_exc()}", flush=True)
            else:
                print(f"sdk-python: {name}: ok ({time.monotonic() - since:.1f} s)", flush=True)
        for hub in hubs:
            hub.stopped()
        ran = len(names or STORIES)
        if failed:
            print("the server said last:", *server.said().splitlines()[-20:], sep="\n")
            worker_log.seek(0)
            print("the package said last:", *worker_log.read().splitlines()[-40:], sep="\n")
        print(f"sdk-python: {ran - failed} passed, {failed} failed, in {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
