"""Tollgate behind the cases: the real binary with an upstream for each dialect, on free ports.

`adapter` is what run.py (or any runner like it) calls; the keys of what it returns stand there. The
binary is `target/debug/tollgate` or what WIRE_BINARY says.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/sdk"))
from gateway import PASSWORD, START, Management, Process, ask, until  # noqa: E402

DIALECTS = {
    "openai-chat": "openai_chat",
    "openai-responses": "openai_responses",
    "anthropic": "anthropic_messages",
    "gemini": "gemini",
}
PROVIDERS = {"anthropic": "anthropic", "gemini": "gemini"}
# A key that a provider limits or refuses rests for a while, and the call goes on with up to this
# many others. The cases that follow must find keys that do not rest, so each pool holds enough of
# them, all with the same secret.
KEYS_OF_A_CALL = 64
KEY_FAULTS = (401, 402, 403, 407, 429)
KEY_FAULT = re.compile(r"rate_limit|quota|RESOURCE_EXHAUSTED|authentication|UNAUTHENTICATED")


def adapter(upstream_url: str, targets: dict[str, Any], args: Any) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="tollgate-wire-"))
    served = Served(folder)
    try:
        served.start()
        key = served.configure(upstream_url, targets, keys_needed(targets, args))
    except BaseException:
        served.stop()
        raise
    return {
        "base_url": served.proxy,
        "client_key": key,
        "models": {name: target["alias"] for name, target in targets.items()},
        "upstream_models": {name: target["model"] for name, target in targets.items()},
        "upstream_keys": {dialect: f"upstream-key-{dialect}" for dialect in DIALECTS},
        "warning_header": "x-tollgate-dropped",
        "stop": served.stop,
    }


def keys_needed(targets: dict[str, Any], args: Any) -> dict[str, int]:
    """How many keys the upstream of each dialect will need: every step is run twice."""
    needed = dict.fromkeys(DIALECTS, 2 * KEYS_OF_A_CALL)
    for file in Path(args.cases).glob("*.json"):
        case = json.loads(file.read_text())
        for step in case.get("steps", []):
            answer = step.get("upstream_response") or {}
            if answer.get("status") in KEY_FAULTS or KEY_FAULT.search(json.dumps(answer)):
                dialect = targets[step.get("target") or case["target"]]["format"]
                needed[dialect] += 2 * KEYS_OF_A_CALL
    return needed


class Served:
    """Both planes in one process, in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.process: Process | None = None

    def start(self) -> None:
        flags = ["--proxy-addr", "127.0.0.1:0", "--management-addr", "127.0.0.1:0"]
        data = ["--data-dir", str(self.folder / "data"), "--log-format", "json"]
        env = {"TOLLGATE_ADMIN_PASSWORD": PASSWORD, "TOLLGATE_OUTBOUND__ALLOW": "127.0.0.0/8", "TOLLGATE_SHUTDOWN_DELAY": "0s"}
        self.process = Process(
            ["serve", *flags, *data],
            self.folder / "tollgate.log",
            env,
            os.environ.get("WIRE_BINARY") or str(ROOT / "target/debug/tollgate"),
        )
        self.proxy = self._address("data plane")
        self.management = self._address("management plane")
        for base in (self.proxy, self.management):
            until(f"{base} is ready", lambda: self._ready(base), START)

    def _address(self, plane: str) -> str:
        line = rf"the {plane} serves .*? on (http://127\.0\.0\.1:\d+)"
        return until(f"the {plane} is there", lambda: self.process.found(line), START)

    def _ready(self, base: str) -> bool:
        try:
            return ask(base, "GET", "/readyz").status == 200
        except OSError:
            self.process.found("$^")
            return False

    def configure(self, url: str, targets: dict[str, Any], keys: dict[str, int]) -> str:
        """Makes upstreams and routes, and gives a service key that may use them."""
        admin = Management(self.management)
        upstreams = {}
        for dialect in DIALECTS:
            models = {t["model"] for t in targets.values() if t["format"] == dialect}
            upstreams[dialect] = self._upstream(admin, dialect, url, models, keys[dialect])
        for target in targets.values():
            dialect = target["format"]
            told = {
                "upstream_id": upstreams[dialect],
                "model": target["model"],
                "dialect": DIALECTS[dialect],
                "profile": target["profile"],
            }
            admin.post("/api/admin/routes", {"name": target["alias"], "targets": [told]})
        key = admin.post("/api/admin/service-keys", {"name": "the cases"})["key"]
        aliases = {target["alias"] for target in targets.values()}
        until("all models are served", lambda: aliases <= self._models(key))
        return key

    @staticmethod
    def _upstream(admin: Management, dialect: str, url: str, models: set[str], keys: int) -> int:
        made = admin.post(
            "/api/admin/upstreams",
            {
                "name": dialect,
                # Both ways to write an address are understood: with the version and without.
                "base_url": f"{url}/v1" if dialect == "openai-chat" else url,
                "provider": PROVIDERS.get(dialect, "openai"),
                "dialects": [DIALECTS[dialect]],
                "models": sorted(models),
                "retry_count": 0,
                "ask_usage": False,
                # Cases of failures follow each other, and each is to be heard.
                "policy": {"breaker": {"enabled": False}},
                "enabled": False,
            },
        )
        for number in range(1, keys + 1):
            entered = {"upstream_id": made["id"], "name": f"Key {number}"}
            value = f"upstream-key-{dialect}-{number:04}"
            admin.post("/api/admin/keys", {**entered, "key_value": value})
        admin.patch(f"/api/admin/upstreams/{made['id']}", {"enabled": True})
        return made["id"]

    def _models(self, key: str) -> set[str]:
        answer = ask(self.proxy, "GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
        return {model["id"] for model in answer.json()["data"]} if answer.status == 200 else set()

    def stop(self) -> None:
        try:
            if self.process:
                self.process.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
