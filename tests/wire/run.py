"""Runs the golden cases of crates/dialect/golden through the whole gateway.

    make wire                                        all cases, with the binary just built
    .venv/bin/python tests/wire/run.py --only REGEX  some of them

Every step runs twice: once as raw bytes (what the upstream got, status, headers, framing, grammar,
content) and once through the vendor's own SDK, which must see the same. Only loopback is used.
Exit status 0 when everything passed.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import urlencode, urlsplit

from canonical import canonical
from cases import chunk_bytes, load_cases, load_json, substitute
from matching import match, normalise_upstream_body
from streams import events_from_bytes
from summary import summary, summary_from_stream
from upstream import Upstream

ROOT = Path(__file__).resolve().parents[2]

# An adapter knows how a gateway is configured. It is a function of the upstream's URL, the models
# of targets.json and the arguments of this program, and returns:
#   base_url        where clients connect
#   client_key      a key that the gateway accepts
#   models          target name -> model name that clients use   (default: its "alias")
#   upstream_models target name -> model name at the upstream    (default: its "model")
#   upstream_keys   upstream format -> provider key that the gateway was given
#   warning_header  the header that lists what was left out; None to skip that check
#   before          is called before each step, where there is something to prepare
#   stop            ends it
# Before the run the gateway needs an upstream for each format at the same URL (all paths are served
# there), its provider keys, and the models by their aliases with their profiles.


def raw_call(
    base_url: str,
    method: str,
    path: str,
    query: Dict[str, str],
    headers: Dict[str, str],
    body: Optional[bytes],
    timeout: float,
    abort_after: Optional[int] = None,
) -> dict:
    u = urlsplit(base_url)
    conn = http.client.HTTPConnection(u.hostname, u.port, timeout=timeout)
    target = path + ("?" + urlencode(query) if query else "")
    t0 = time.monotonic()
    conn.request(method, target, body=body, headers=headers)
    resp = conn.getresponse()
    hd = {k.lower(): v for k, v in resp.getheaders()}
    out: dict = {
        "status": resp.status,
        "headers": hd,
        "first": None,
        "first_at": None,
        "complete": True,
        "marks": [],
    }
    data = b""
    try:
        while True:
            piece = resp.read1(65536)
            if not piece:
                break
            data += piece
            out["marks"].append((time.monotonic() - t0, len(data)))
            if abort_after is not None and len(data) >= abort_after:
                out["aborted_at"] = time.monotonic()
                conn.sock and conn.sock.close()
                conn.close()
                break
    except (http.client.HTTPException, OSError) as e:
        out["complete"] = False
        out["read_error"] = repr(e)
        if isinstance(e, http.client.IncompleteRead):
            data += e.partial
    conn.close()
    if hd.get("content-encoding", "").lower() == "gzip":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError):
            out["complete"] = False
    out["data"] = data
    return out


def strip_ids(v: Any) -> Any:
    if isinstance(v, dict):
        return {
            k: strip_ids(x)
            for k, x in v.items()
            if k not in ("id", "call_id", "encrypted_content", "signature")
        }
    if isinstance(v, list):
        return [strip_ids(x) for x in v]
    return v


class Runner:
    def __init__(self, gw: dict, up: Upstream, targets: dict, args: argparse.Namespace) -> None:
        self.gw, self.up, self.targets, self.args = gw, up, targets, args
        self.raw_ok = self.raw_bad = self.sdk_ok = self.sdk_bad = 0

    def variables(self, target: str) -> Dict[str, str]:
        t = self.targets[target]
        return {
            "MODEL": self.gw.get("models", {}).get(target, t["alias"]),
            "UPSTREAM_MODEL": self.gw.get("upstream_models", {}).get(target, t["model"]),
            "CLIENT_KEY": self.gw["client_key"],
            "UPSTREAM_KEY": self.gw["upstream_keys"].get(t["format"], ""),
        }

    def run_case(self, case: dict) -> Tuple[List[str], List[str]]:
        raw_errs: List[str] = []
        sdk_errs: List[str] = []
        binds: Dict[str, str] = {}
        for n, step in enumerate(case["steps"]):
            tgt = step.get("target") or case["target"]
            var = self.variables(tgt)
            sub = lambda o: substitute(o, var, binds)
            request = sub(step["request"])
            errs, view = self.raw_step(case, step, tgt, request, sub, binds)
            raw_errs += [f"step {n}: {e}" for e in errs]
            if step.get("sdk", True) and not self.args.no_sdk:
                sdk_errs += [
                    f"step {n}: {e}" for e in self.sdk_step(case, step, request, sub, view)
                ]
            if errs:
                break
        return raw_errs, sdk_errs

    def raw_step(
        self, case: dict, step: dict, tgt: str, request: dict, sub: Any, binds: Dict[str, str]
    ) -> Tuple[List[str], Optional[dict]]:
        cfmt = case["client"]
        ufmt = self.targets[tgt]["format"]
        exp = sub(step["client_response"])
        answer = sub(step["upstream_response"]) if step.get("upstream_response") else None
        if self.gw.get("before"):
            self.gw["before"](case, step, request, answer, sub, binds)
        self.up.program([answer] if answer else [])
        headers = dict(request.get("headers") or {})
        if "raw_body" in request:
            body: Optional[bytes] = request["raw_body"].encode("utf-8")
            if headers.get("content-encoding") == "gzip":
                body = gzip.compress(body)
        elif "body" in request:
            body = json.dumps(request["body"], ensure_ascii=False).encode("utf-8")
        else:
            body = None
        try:
            got = raw_call(
                self.gw["base_url"],
                request["method"],
                request["path"],
                request.get("query") or {},
                headers,
                body,
                self.args.timeout,
                exp.get("client_aborts_after_bytes"),
            )
        except OSError as e:
            return [f"no answer from the gateway: {e!r}"], None
        errs: List[str] = []
        posts = [r for r in self.up.requests if r["method"] not in ("GET", "HEAD", "OPTIONS")]

        if "client_aborts_after_bytes" in exp:
            within = exp["upstream_sees_disconnect_within_ms"] / 1000.0 + 0.2
            if not self.up.disconnected.wait(within):
                errs.append("the upstream request was not cancelled when the client left")
            return errs, None

        # what the upstream got
        want_up = step.get("upstream_request")
        if want_up is None:
            if posts:
                errs.append(f"upstream was called although it must not be: {posts[0]['path']}")
        elif not posts:
            errs.append("upstream was never called")
        else:
            errs += self.check_upstream(sub(want_up), posts[0], ufmt, binds)

        # what the client got ("or" lists other answers that are just as good)
        best: Optional[List[str]] = None
        view: Optional[dict] = None
        for want in [exp] + exp.get("or", []):
            trial = dict(binds)
            errs2, view2 = self.check_client(cfmt, want, got, answer, trial)
            if best is None or not errs2:
                best, view = errs2, view2
            if not errs2:
                binds.update(trial)
                break
        return errs + (best or []), view

    def check_client(
        self, cfmt: str, exp: dict, got: dict, answer: Optional[dict], binds: Dict[str, str]
    ) -> Tuple[List[str], Optional[dict]]:
        errs: List[str] = []
        want_status = exp["status"]
        errs += match(want_status, got["status"], binds, "status")
        for name, want in (exp.get("headers") or {}).items():
            errs += match(want, got["headers"].get(name.lower()), binds, f"header {name}")
        view: Optional[dict] = None
        if exp.get("raw_equals_upstream"):
            sent = (
                b"".join(chunk_bytes(c) for c in answer["chunks"])
                if "chunks" in answer
                else json.dumps(answer["body"], ensure_ascii=False).encode()
            )
            if got["data"] != sent:
                errs.append(f"not the upstream's bytes: {got['data'][:120]!r} != {sent[:120]!r}")
        elif "events" in exp:
            ctype = got["headers"].get("content-type", "")
            if "text/event-stream" not in ctype:
                errs.append(f"content-type {ctype!r}: {got['data'][:160]!r}")
            else:
                if not got["complete"]:
                    errs.append(f"the response body was cut: {got.get('read_error')}")
                try:
                    events, bad = events_from_bytes(cfmt, got["data"])
                except UnicodeDecodeError as e:
                    events, bad = [], [f"the stream is not UTF-8: {e}"]
                items, bad2 = canonical(cfmt, events)
                errs += bad + bad2
                want_items, _ = canonical(cfmt, exp["events"])
                if (
                    any(i["kind"] == "error" for i in want_items)
                    and cfmt == "anthropic"
                    and len(want_items) == 2
                    and items
                    and items[0]["kind"] == "error"
                ):
                    want_items = want_items[
                        1:
                    ]  # message_start before an immediate error is optional
                errs += match(want_items, items, binds, "stream")
                view = summary_from_stream(cfmt, items)
        elif "json_array" in exp:
            try:
                arr = json.loads(got["data"])
                items, bad = canonical(cfmt, arr)
                errs += bad + match(canonical(cfmt, exp["json_array"])[0], items, binds, "array")
            except ValueError as e:
                errs.append(f"not a JSON array: {e}: {got['data'][:120]!r}")
        elif "model_list" in exp:
            errs += self.check_models(exp["model_list"], got)
        elif "body" in exp:
            try:
                parsed = json.loads(got["data"])
            except ValueError:
                parsed = None
                errs.append(f"answer is not JSON: {got['data'][:160]!r}")
            if parsed is not None:
                errs += match(exp["body"], parsed, binds, "body")
                if got["status"] == 200 and isinstance(parsed, dict):
                    view = summary(cfmt, parsed)
        if exp.get("warnings") and self.gw.get("warning_header"):
            value = got["headers"].get(self.gw["warning_header"].lower(), "")
            listed = {x.strip().split(";")[0].lower() for x in value.split(",")}
            for w in exp["warnings"]:
                if w.lower() not in listed and w.split(".")[-1].lower() not in listed:
                    errs.append(f"{self.gw['warning_header']} does not name {w} (got {value!r})")
        if "first_bytes_within_ms" in exp:
            marker = exp["first_bytes_contain"].encode()
            at = next((t for t, n in got["marks"] if marker in got["data"][:n]), None)
            if at is None or at * 1000 > exp["first_bytes_within_ms"]:
                errs.append(
                    f"the first token came after {at if at is None else round(at * 1000)} ms"
                )
        return errs, view

    def check_upstream(self, want: dict, got: dict, ufmt: str, binds: Dict[str, str]) -> List[str]:
        errs = match(want["method"], got["method"], binds, "upstream method")
        errs += match(want["path"], got["path"], binds, "upstream path")
        if "query" in want:
            errs += match({**want["query"], "$closed": True}, got["query"], binds, "upstream query")
        elif "key" in got["query"]:
            errs.append("upstream query carries a key")
        for name, w in (want.get("headers") or {}).items():
            value = got["headers"].get(name.lower())
            if isinstance(w, dict) and w.get("$absent"):
                if value is not None:
                    errs.append(f"upstream header {name} must not be sent (got {value!r})")
            else:
                errs += match(w, value, binds, f"upstream header {name}")
        for name, value in got["headers"].items():
            if self.gw["client_key"] and self.gw["client_key"] in value:
                errs.append(f"the client's key leaked upstream in header {name}")
        if "raw_body" in want:
            w = want["raw_body"].encode("utf-8")
            if got["body"] != w:
                i = next(
                    (k for k, (a, b) in enumerate(zip(got["body"], w)) if a != b),
                    min(len(w), len(got["body"])),
                )

                def near(text: bytes) -> str:
                    return repr(text[max(0, i - 20) : i + 40])

                errs.append(
                    f"upstream body differs at byte {i}: got ...{near(got['body'])}, "
                    f"expected ...{near(w)}"
                )
        elif "body" in want:
            try:
                parsed = json.loads(got["body"])
            except ValueError:
                return errs + [f"upstream body is not JSON: {got['body'][:160]!r}"]
            parsed = normalise_upstream_body(ufmt, parsed)
            errs += match(want["body"], parsed, binds, "upstream body", open_objects=False)
        return errs

    def check_models(self, want: dict, got: dict) -> List[str]:
        try:
            body = json.loads(got["data"])
        except ValueError:
            return [f"model list is not JSON: {got['data'][:120]!r}"]
        style = want["style"]
        if style == "gemini":
            names = [m.get("name") for m in body.get("models") or []]
            if "models/" + want["contains"] not in names:
                return [f"models/{want['contains']} not in {names[:6]}"]
            return []
        data = body.get("data") or []
        ids = [m.get("id") for m in data]
        errs = [] if want["contains"] in ids else [f"{want['contains']} not in {ids[:6]}"]
        if style == "openai":
            errs += [] if body.get("object") == "list" else ["object is not list"]
            errs += [
                f"model entry lacks {k}"
                for k in ("object", "created", "owned_by")
                if data and k not in data[0]
            ]
        else:
            errs += (
                []
                if body.get("has_more") is False and "first_id" in body and "last_id" in body
                else ["no has_more/first_id/last_id"]
            )
            errs += [
                f"model entry lacks {k}"
                for k in ("type", "display_name", "created_at")
                if data and k not in data[0]
            ]
        return errs

    def sdk_step(
        self, case: dict, step: dict, request: dict, sub: Any, view: Optional[dict]
    ) -> List[str]:
        import sdkdrive

        exp = sub(step["client_response"])
        if "body" not in request or exp.get("raw_equals_upstream"):
            return []
        answer = sub(step["upstream_response"]) if step.get("upstream_response") else None
        self.up.program([answer] if answer else [])
        want_error = not isinstance(exp["status"], int) or exp["status"] != 200
        if "events" in exp:
            items, _ = canonical(case["client"], exp["events"])
            want_error = any(
                i["kind"] == "error" or (i["kind"] == "final" and i.get("status") == "failed")
                for i in items
            )
        try:
            got = sdkdrive.call(
                case["client"],
                self.gw["base_url"],
                self.gw["client_key"],
                request["path"],
                request.get("query") or {},
                request.get("headers") or {},
                request["body"],
                self.args.timeout,
            )
        except sdkdrive.SdkError as e:
            if not want_error:
                return [f"the SDK raised {e}"]
            if e.kind.startswith("ClientCrash"):
                return [f"the SDK crashed: {e}"]
            errs = []
            if (
                "body" in exp
                and "or" not in exp
                and isinstance(exp["status"], int)
                and e.status != exp["status"]
            ):
                errs.append(f"SDK error status {e.status}, expected {exp['status']}")
            msg = (step.get("sdk_error") or {}).get("message")
            if msg and msg.lower() not in e.message.lower():
                errs.append(f"SDK error message {e.message!r} lacks {msg!r}")
            return errs
        if want_error:
            return ["the SDK saw no error"]
        if view is not None:
            return [
                f"SDK and raw view differ: {e}" for e in match(strip_ids(view), strip_ids(got), {})
            ]
        return []


def arguments() -> argparse.Namespace:
    ap = argparse.ArgumentParser()
    ap.add_argument("--adapter", default="tollgate:adapter", help="module:function")
    ap.add_argument("--cases", default=str(ROOT / "crates/dialect/golden"))
    ap.add_argument("--only", help="a regular expression on the names of cases")
    ap.add_argument("--no-sdk", action="store_true")
    ap.add_argument("--timeout", type=float, default=30.0)
    ap.add_argument("--json", help="write the full result here")
    ap.add_argument("-v", action="store_true")
    return ap.parse_args()


def main() -> int:
    args = arguments()
    targets = load_json(os.path.join(args.cases, "targets.json"))
    targets = {k: v for k, v in targets.items() if not k.startswith("_")}
    up = Upstream().start()
    name, _, func = args.adapter.partition(":")
    make = getattr(importlib.import_module(name), func or "adapter")
    gw = make(up.url, targets, args)
    result: Dict[str, Any] = {}
    try:
        runner = Runner(gw, up, targets, args)
        for case in load_cases(args.cases, args.only):
            raw, sdk = runner.run_case(case)
            ok = not raw and not sdk
            result[case["name"]] = {"ok": ok, "raw": raw, "sdk": sdk, "rules": case["rules"]}
            report(case, raw, sdk, args.v)
    finally:
        gw.get("stop", lambda: None)()
        up.stop()
    passed = sum(r["ok"] for r in result.values())
    raw_pass = sum(not r["raw"] for r in result.values())
    sdk_pass = sum(not r["sdk"] for r in result.values())
    print(f"{passed} of {len(result)} cases passed (raw {raw_pass}, sdk {sdk_pass})")
    if args.json:
        Path(args.json).write_text(json.dumps(result, ensure_ascii=False, indent=1))
    return 0 if result and passed == len(result) else 1


def report(case: dict, raw: List[str], sdk: List[str], verbose: bool) -> None:
    if raw or sdk:
        print(f"FAIL {case['name']}: {case['title']}")
        for kind, errs in (("raw", raw), ("sdk", sdk)):
            for e in errs:
                print(f"       {kind}: {e[:600]}")
    elif verbose:
        print(f"ok   {case['name']}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
