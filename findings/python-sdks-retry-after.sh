#!/usr/bin/env bash
# How long the Python SDKs of OpenAI and Anthropic sleep when a 429 names a wait.
#
# Versions: openai 3.57.0, anthropic 2.14.0 (PyPI), Python 3.11.
# Input:    429 with `Retry-After: N`, a number of seconds (RFC 9110, section 10.2.3), default client options.
# Seen:     anthropic sleeps for as long as the header says, without a cap: 119,688 s asked, 119,688 s slept.
#           openai sleeps for 120 s at most; a longer wait is not shortened: the call fails after one request.
# Follows:  a server that tells the honest end of a used-up period hangs an anthropic client until then.
#           `x-should-retry: false` ends both at once.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q --disable-pip-version-check install openai==3.57.0 anthropic==2.14.0
cat > "$work/run.py" <<'PY'
import http.server
import threading
import time
from unittest import mock

import anthropic
import openai

asked = []


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        asked.append(self.path)
        self.send_response(429)
        for name, value in self.server.fields.items():
            self.send_header(name, value)
        body = b'{"type":"error","error":{"type":"rate_limit_error","message":"wait"}}'
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
message = [{"role": "user", "content": "hello"}]


def with_openai():
    openai.OpenAI(api_key="k", base_url=base + "/v1").chat.completions.create(model="m", messages=message)


def with_anthropic():
    anthropic.Anthropic(api_key="k", base_url=base).messages.create(model="m", max_tokens=8, messages=message)


def seen(call, **fields):
    """Requests sent and seconds slept until the SDK gives up; the sleep itself is taken out."""
    asked.clear()
    server.fields = {name.replace("_", "-"): value for name, value in fields.items()}
    slept = []
    with mock.patch.object(time, "sleep", slept.append):
        try:
            call()
        except (openai.RateLimitError, anthropic.RateLimitError):
            pass
    return len(asked), slept


rows = [
    ("anthropic", with_anthropic, {"retry_after": "119688"}, (3, [119688.0, 119688.0])),
    ("openai", with_openai, {"retry_after": "61"}, (3, [61.0, 61.0])),
    ("openai", with_openai, {"retry_after": "121"}, (1, [])),
    ("anthropic", with_anthropic, {"retry_after": "119688", "x_should_retry": "false"}, (1, [])),
    ("openai", with_openai, {"retry_after": "61", "x_should_retry": "false"}, (1, [])),
]
changed = 0
for name, call, fields, expected in rows:
    got = seen(call, **fields)
    print(f"{name} {fields}: {got[0]} requests, slept {got[1]} s")
    if got != expected:
        changed += 1
        print(f"  changed: was {expected}")
raise SystemExit(changed)
PY
"$work/venv/bin/python" "$work/run.py"
