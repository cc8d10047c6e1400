"""The page in a real browser, Debian's chromium and chromium-driver, against a real server.

usage: check.py PATH-OF-SOLOIST
"""

import functools
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
# Nothing here takes longer: what does is a failure.
PATIENCE = 60
# What a WebDriver calls the id of an element.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A browser, by the WebDriver protocol."""

    def __init__(self):
        port = free_port()
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL)
        self.root = f"http://127.0.0.1:{port}"
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def open(self, url):
        self._ask("POST", "/url", {"url": url})

    def fill(self, **fields):
        for name, text in fields.items():
            self._ask("POST", f"/element/{self._find(name)}/clear", {})
            self._ask("POST", f"/element/{self._find(name)}/value", {"text": text})

    def click(self, name):
        self._ask("POST", f"/element/{self._find(name)}/click", {})

    def text(self, name):
        return self._ask("GET", f"/element/{self._find(name)}/text")

    def rows(self):
        """Sequence and status of each row that the page shows."""
        script = "return [...document.querySelectorAll('tbody tr')].map(row => [row.cells[0], row.cells[2]])"
        script += ".map(cells => [Number(cells[0].textContent), cells[1].textContent])"
        return [tuple(row) for row in self._ask("POST", "/execute/sync", {"script": script, "args": []})]

    def run(self, script, *arguments):
        """Runs a script that calls its last argument with what is to be answered."""
        return self._ask("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def close(self):
        if "/session/" in self.root:
            self._ask("DELETE", "")
        self.driver.terminate()
        self.driver.wait()

    def _begin(self):
        until("the driver is ready", lambda: self._ask("GET", "/status")["ready"], OSError)
        # In a container, where it mostly runs as root, its sandbox and its shared memory are not to be had.
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options = {"binary": "/usr/bin/chromium", "args": arguments}
        capabilities = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}
        session = self._ask("POST", "/session", {"capabilities": capabilities})
        self.root += f"/session/{session['sessionId']}"

    def _find(self, name):
        return self._ask("POST", "/element", {"using": "css selector", "value": f"#{name}"})[ELEMENT]

    def _ask(self, method, path, body=None):
        request = urllib.request.Request(self.root + path, method=method)
        request.add_header("content-type", "application/json")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error


class Server:
    """The program with its sample functions, always on the same port and with the same store."""

    def __init__(self, soloist, folder, origin):
        self.soloist = soloist
        self.address = f"127.0.0.1:{free_port()}"
        self.command = [soloist, "dev", "--listen", self.address, "--data-dir", f"{folder}/store"]
        self.command += ["--http-allowed-origins", origin]
        self.log = open(f"{folder}/server.log", "w", encoding="utf-8")
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=self.log)
        until("the server is ready", lambda: self.call("health").returncode == 0)

    def end(self, signal):
        self.process.send_signal(signal)
        self.process.wait()

    def call(self, *command):
        """A command of the program."""
        environment = {**os.environ, "SOLOIST_SERVER": self.address}
        return subprocess.run([self.soloist, *command], env=environment, capture_output=True, text=True, check=False)


def completes(browser, server):
    browser.fill(function="hello", id="first", input='"Ada"')
    browser.click("start")
    until_equal(lambda: browser.text("output"), '"Hello, Ada!"')
    statuses = [status for _, status in browser.rows()]
    assert statuses[-1] == "Completed", statuses
    assert server.call("status", "first").returncode == 0


def conflict(browser, server):
    browser.fill(function="sleep", id="second", input="3600")
    browser.click("start")
    until("it runs", lambda: "Running" in [status for _, status in browser.rows()])
    browser.click("start")
    until_equal(lambda: browser.text("trouble"), "An instance with ID 'second' already exists.")
    browser.click("terminate")
    until_equal(lambda: browser.text("output"), '"from the page"')
    assert server.call("status", "second").stdout.count("Terminated") == 1


def restarts(browser, server):
    """The watch goes on over a crash and over a drain, without a gap."""
    browser.fill(function="nobody", id="third", input="null")
    browser.click("start")
    expected = [(1, "Pending")]
    until_equal(browser.rows, expected)
    for signal in (9, 15):
        server.end(signal)
        until_equal(lambda: browser.text("connection"), "(connection lost)")
        server.start()
        # Most likely before the browser is there again: both are to come, and nothing twice.
        for command, status in (("suspend", "Suspended"), ("resume", "Pending")):
            assert server.call(command, "third").returncode == 0
            expected.append((len(expected) + 1, status))
        until_equal(browser.rows, expected)
    assert server.call("terminate", "third", "--reason", "enough").returncode == 0
    until_equal(lambda: browser.text("output"), '"enough"')
    assert browser.rows() == [*expected, (len(expected) + 1, "Terminated")]


def grpc_web(browser, server):
    """A page calls StartSingleton as gRPC: instance id and function are the fields 1 and 2 of the message."""
    script = """
        const [url, id, name, done] = arguments;
        const field = (number, text) => [number << 3 | 2, text.length, ...new TextEncoder().encode(text)];
        const message = [...field(1, id), ...field(2, name)];
        const body = new Uint8Array([0, 0, 0, 0, message.length, ...message]);
        const headers = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };
        fetch(url, { method: "POST", headers, body })
            .then(async answer => done([answer.status, answer.headers.get("grpc-status"), await answer.text()]))
            .catch(error => done(String(error)));
    """
    url = f"http://{server.address}/soloist.v1.OrchestrationService/StartSingleton"
    started = browser.run(script, url, "fourth", "nobody")
    assert started[:2] == [200, None] and "grpc-status:0" in started[2], started
    taken = browser.run(script, url, "fourth", "nobody")
    assert taken[:2] == [200, "6"], taken
    assert "Pending" in server.call("status", "fourth").stdout


def stranger(browser, server):
    """The same page from a site that the server does not allow: the browser keeps it from everything."""
    browser.fill(function="hello", id="fifth", input="1")
    browser.click("start")
    until("it is refused", lambda: "fetch" in browser.text("trouble"))
    browser.click("watch")
    until_equal(lambda: browser.text("connection"), "(connection lost)")
    # What needs no leave is sent, and refused by the server.
    plain = "const [url, done] = arguments; fetch(url, { method: 'POST', mode: 'no-cors' }).then(a => done(a.type), done)"
    assert browser.run(plain, f"http://{server.address}/orchestrators/hello/fifth") == "opaque"
    assert server.call("status", "fifth").returncode != 0, "it was started"
    assert browser.rows() == []


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def until(what, holds, *passed_over):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except passed_over:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not so: {what}")


def until_equal(read, expected):
    seen = []
    try:
        until("equal", lambda: seen.append(read()) or seen[-1] == expected)
    except AssertionError:
        raise AssertionError(f"not {expected!r}, but {seen[-1]!r}") from None


class Pages(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    soloist = str(pathlib.Path(sys.argv[1]).resolve())
    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages, directory=HERE))
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    # Two names of one place are two sites.
    port = pages.server_port
    allowed, other = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
    with tempfile.TemporaryDirectory() as folder:
        server = Server(soloist, folder, allowed)
        browser = None
        try:
            browser = Browser()
            for story in (completes, conflict, restarts, grpc_web, stranger):
                browser.open(f"{other if story is stranger else allowed}/?server=http://{server.address}")
                story(browser, server)
                print(f"browser: {story.__name__}: ok", flush=True)
        except BaseException:
            print(pathlib.Path(server.log.name).read_text("utf-8")[-3000:], file=sys.stderr)
            raise
        finally:
            if browser:
                browser.close()
            server.end(15)
    assert server.process.returncode == 0, server.process.returncode


if __name__ == "__main__":
    main()
