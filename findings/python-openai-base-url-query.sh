#!/usr/bin/env bash
# Where openai for Python sends a call when the base URL has a query, as Azure's addresses do (`?api-version=…`).
#
# Version: openai 3.57.0 (PyPI), Python 3.11.
# Input:   base_url="http://host/v1?api-version=2026-01-01".
# Seen:    the path is glued to the query: `/v1/?api-version=2026-01-01chat/completions`.
#          `default_query` is the way that works.
# Follows: a gateway gets a request for `/v1/` with a broken query, and its 404 is all that the user sees.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q --disable-pip-version-check install openai==3.57.0
cat > "$work/run.py" <<'PY'
import http.server
import threading

import openai

asked = []


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        asked.append(self.path)
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
host = f"http://127.0.0.1:{server.server_port}"


def path(**options):
    asked.clear()
    try:
        openai.OpenAI(api_key="k", max_retries=0, **options).chat.completions.create(model="m", messages=[])
    except openai.NotFoundError:
        pass
    return asked[0]


rows = [
    ({"base_url": host + "/v1?api-version=2026-01-01"}, "/v1/?api-version=2026-01-01chat/completions"),
    ({"base_url": host + "/v1", "default_query": {"api-version": "2026-01-01"}}, "/v1/chat/completions?api-version=2026-01-01"),
]
changed = 0
for options, expected in rows:
    got = path(**options)
    print(f"{options}: POST {got}".replace(host, "http://host"))
    if got != expected:
        changed += 1
        print(f"  changed: was {expected}")
raise SystemExit(changed)
PY
"$work/venv/bin/python" "$work/run.py"
