#!/usr/bin/env bash
# Which event streams google-genai for Python reads: only lines that begin with `data: `, one a message.
#
# Version: google-genai 3.6.1 (PyPI), Python 3.11.
# Input:   the same two answers as an event stream of the WHATWG HTML standard, written in the forms that it allows:
#          a comment (`: text`), an `event:` line, `data:` without the space.
# Seen:    each of these raises in the middle of the stream; `data:` spread over several lines is read.
# Follows: a proxy cannot keep a Gemini stream alive with comments, as is usual for the other providers' streams.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q --disable-pip-version-check install google-genai==3.6.1
cat > "$work/run.py" <<'PY'
import http.server
import json
import threading

from google import genai
from google.genai import types


def answer(text):
    return json.dumps({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}]})


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = self.server.stream.encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
options = types.HttpOptions(base_url=f"http://127.0.0.1:{server.server_port}")
client = genai.Client(api_key="k", http_options=options)


def read(stream):
    server.stream = stream
    text = ""
    try:
        for chunk in client.models.generate_content_stream(model="gemini-2.5-flash", contents="hello"):
            text += chunk.text or ""
    except Exception as error:  # what is raised is what is asked here
        return f"{text!r}, then {type(error).__name__}"
    return repr(text)


one, two = answer("one "), answer("two")
spread = "\ndata: ".join(json.dumps(json.loads(two), indent=1).split("\n"))
rows = [
    ("plain", f"data: {one}\n\ndata: {two}\n\n"),
    ("a comment between", f"data: {one}\n\n: alive\n\ndata: {two}\n\n"),
    ("an event line", f"data: {one}\n\nevent: message\ndata: {two}\n\n"),
    ("no space after data:", f"data: {one}\n\ndata:{two}\n\n"),
    ("data over several lines", f"data: {one}\n\ndata: {spread}\n\n"),
]
expected = json.loads(open(__file__.replace("run.py", "expected.json")).read())
changed = 0
for name, stream in rows:
    got = read(stream)
    print(f"{name}: {got}")
    if got != expected[name]:
        changed += 1
        print(f"  changed: was {expected[name]}")
raise SystemExit(changed)
PY
cat > "$work/expected.json" <<'JSON'
{"plain": "'one two'",
 "a comment between": "'one ', then UnknownApiResponseError",
 "an event line": "'one ', then UnknownApiResponseError",
 "no space after data:": "'one ', then UnknownApiResponseError",
 "data over several lines": "'one two'"}
JSON
"$work/venv/bin/python" "$work/run.py"
