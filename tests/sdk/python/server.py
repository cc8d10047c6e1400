"""A server of its own: on a port that the system chose, in a fresh folder."""

import json
import subprocess
import tempfile
import time
from pathlib import Path


class Server:
    """`with Server(binary) as server`: ends with the block, by its own process id."""

    def __init__(self, binary, *flags):
        self.binary = binary
        self.flags = flags
        self.address = "127.0.0.1:0"

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.log = Path(self.folder.name, "log")
        self.start()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def start(self):
        """Starts it where it was, in the same folder."""
        listen = ["serve", "--listen", self.address, "--data-dir", str(Path(self.folder.name, "data"))]
        with open(self.log, "w") as log:
            command = [self.binary, *listen, "--log-format", "json", *self.flags]
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        self.address = self._ready()["address"]

    def kill(self):
        """`kill -9`."""
        self.process.kill()
        self.process.wait()

    def shut_down(self):
        """As service managers do it."""
        self.process.terminate()
        code = self.process.wait(30)
        if code != 0:
            raise RuntimeError(f"the server has ended with {code}:\n{self.said()}")

    def said(self):
        return self.log.read_text()

    def _ready(self):
        for _ in range(600):
            for line in self.said().splitlines():
                if '"ready"' in line:
                    line = json.loads(line)
                    return line if "address" in line else line["fields"]
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the server is not ready:\n{self.said()}")
