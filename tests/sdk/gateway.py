"""A gateway in a box: the real binary with pretended providers behind it, on free ports.

Nothing here waits by sleeping for a while and hoping: everything is asked again until it is so,
or until a deadline.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, TypeVar
from urllib.parse import quote, urlsplit

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery 42 staple"
# A debug build on a busy machine is slow to start; nobody waits that long when all is well.
START = 120.0
SETTLE = 30.0


def binary() -> str:
    """The binary under test: TOLLGATE_BIN, or what `cargo build` left."""
    return os.environ.get("TOLLGATE_BIN") or str(ROOT / "target/debug/tollgate")


def until(what: str, probe: Callable[[], T | None], within: float = SETTLE) -> T:
    """Asks until there is an answer, and gives it."""
    deadline = time.monotonic() + within
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what}")
        time.sleep(0.01)


class Process:
    """A child with its output in a file; ended by its own pid, in order."""

    def __init__(
        self,
        args: list[str],
        log: Path,
        env: dict[str, str] | None = None,
        program: str | None = None,
    ):
        self.log = log
        self._file = log.open("wb")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TOLLGATE_")}
        self.child = subprocess.Popen(
            [program or binary(), *args],
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env={**inherited, **(env or {})},
            cwd=log.parent,
        )

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def found(self, pattern: str) -> str | None:
        """The first group of `pattern` in the output; fails at once when the child is gone."""
        if match := re.search(pattern, self.output()):
            return match.group(1)
        code = self.child.poll()
        assert code is None, f"ended with {code} before it was ready:\n{self.output()}"
        return None

    def stop(self) -> int:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            code = self.child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"did not end when asked to:\n{self.output()}") from None
        finally:
            self._file.close()
        return code


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    base: str,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    timeout: float = 20.0,
) -> Answer:
    """One plain HTTP call, with nothing added that a test did not ask for."""
    place = urlsplit(base)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=timeout)
    given = {"accept-encoding": "identity", **(headers or {})}
    payload = body
    if body is not None and not isinstance(body, bytes):
        payload = json.dumps(body).encode()
        given.setdefault("content-type", "application/json")
    try:
        connection.request(method, path, body=payload, headers=given)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


class Management:
    """The management API, signed in as `admin`."""

    def __init__(self, base: str):
        self.base = base
        answer = self.call("POST", "/api/auth/login", {"username": "admin", "password": PASSWORD})
        assert answer.status == 200, answer
        self.token = answer.json()["access_token"]

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        token = getattr(self, "token", None)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return ask(self.base, method, path, body, headers)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status == 200, (path, answer)
        return answer.json()

    def post(self, path: str, body: Any) -> Any:
        answer = self.call("POST", path, body)
        assert answer.status == 201, (path, answer)
        return answer.json()

    def patch(self, path: str, body: Any) -> Any:
        answer = self.call("PATCH", path, body)
        assert answer.status == 200, (path, answer)
        return answer.json()

    def delete(self, path: str) -> None:
        answer = self.call("DELETE", path)
        assert answer.status == 204, (path, answer)

    def entry(self, request_id: str) -> dict[str, Any]:
        """The one log entry of a call, as soon as it is in the database."""
        path = f"/api/admin/logs?request_id={quote(request_id)}"
        items = until(f"the log entry of {request_id}", lambda: self.get(path)["items"] or None)
        assert len(items) == 1, items
        return items[0]


@dataclass
class Upstream:
    """An upstream that a test has to itself."""

    id: int
    name: str
    model: str


class Gateway:
    """Both planes in one process, and the pretended providers."""

    def __init__(self, folder: Path):
        self.mock = Process(["mock", "--addr", "127.0.0.1:0", "--pace", "1ms"], folder / "mock.log")
        try:
            self.providers = until(
                "the mock is there", lambda: self.mock.found(r"(http://127\.0\.0\.1:\d+)"), START
            )
            self._serve(folder)
        except BaseException:
            self.stop()
            raise
        self._made = 0

    def _serve(self, folder: Path) -> None:
        flags = ["--proxy-addr", "127.0.0.1:0", "--management-addr", "127.0.0.1:0"]
        env = {
            "TOLLGATE_ADMIN_PASSWORD": PASSWORD,
            "TOLLGATE_OUTBOUND__ALLOW": "127.0.0.0/8",
            "TOLLGATE_SHUTDOWN_DELAY": "0s",
        }
        data = ["--data-dir", str(folder / "data"), "--log-format", "json"]
        self.server = Process(["serve", *flags, *data], folder / "tollgate.log", env)

        def address(plane: str) -> str:
            line = rf"the {plane} serves .*? on (http://127\.0\.0\.1:\d+)"
            return until(f"the {plane} is there", lambda: self.server.found(line), START)

        self.proxy = address("data plane")
        self.management = address("management plane")
        for base in (self.proxy, self.management):
            until(f"{base} is ready", lambda: self._ready(base), START)
        self.admin = Management(self.management)

    def _ready(self, base: str) -> bool:
        try:
            return ask(base, "GET", "/readyz").status == 200
        except OSError:
            self.server.found("$^")
            return False

    def stop(self) -> None:
        for process in (getattr(self, "server", None), self.mock):
            if process:
                process.stop()

    def service_key(self, name: str, **more: Any) -> dict[str, Any]:
        """A new service key, known to the data plane."""
        made = self.admin.post("/api/admin/service-keys", {"name": name, **more})
        until("the service key works", lambda: self.models(made["key"]).status == 200)
        return made

    def models(self, key: str) -> Answer:
        return ask(self.proxy, "GET", "/v1/models", headers={"authorization": f"Bearer {key}"})

    def upstream(
        self, provider: str, keys: list[str], models: list[str] | None = None, **more: Any
    ) -> Upstream:
        """A new upstream with a pool of these keys, served by the data plane.

        The pretended providers do what a key's own text says, as in `sk-any.429=7`.
        """
        self._made += 1
        name = more.pop("name", f"{provider}-{self._made}")
        models = models or [f"model-of-{name}"]
        body = {"name": name, "base_url": self.providers, "provider": provider, "models": models}
        # Switched on last: an upstream is listed with all its keys, or not at all.
        made = self.admin.post("/api/admin/upstreams", {**body, **more, "enabled": False})
        for number, key in enumerate(keys, 1):
            entered = {"upstream_id": made["id"], "name": f"Key {number}", "key_value": key}
            self.admin.post("/api/admin/keys", entered)
        self.admin.patch(f"/api/admin/upstreams/{made['id']}", {"enabled": True})
        return Upstream(made["id"], name, models[0])
