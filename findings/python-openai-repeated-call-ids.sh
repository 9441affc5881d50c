#!/usr/bin/env bash
# What the streaming helper of openai for Python makes of a tool call whose `id` and `name` stand in every piece.
#
# Version: openai 3.57.0 (PyPI), Python 3.11.
# Input:   a stream of Chat Completions in which each delta of one tool call repeats `id`, `type` and the function's
#          name, as several OpenAI-compatible servers write it. Each chunk is valid by the published schema.
# Seen:    the helper joins the texts: the call's id becomes `call_acall_a`; `type` is not joined.
# Follows: who passes such a stream on must take the repetitions out, else the result of the call goes to an
#          id that the model never made.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q --disable-pip-version-check install openai==3.57.0
cat > "$work/run.py" <<'PY'
import http.server
import json
import threading

import openai


def chunk(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def call(arguments):
    function = {"name": "look", "arguments": arguments}
    return {"tool_calls": [{"index": 0, "id": "call_a", "type": "function", "function": function}]}


chunks = [chunk({"role": "assistant", "content": None}), chunk(call('{"q":')), chunk(call('"x"}')), chunk({}, "tool_calls")]
stream = "".join(f"data: {json.dumps(part)}\n\n" for part in chunks) + "data: [DONE]\n\n"


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(stream)))
        self.end_headers()
        self.wfile.write(stream.encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = openai.OpenAI(api_key="k", base_url=f"http://127.0.0.1:{server.server_port}/v1")
with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "hello"}]) as events:
    for event in events:
        pass
    got = events.get_final_completion().choices[0].message.tool_calls[0]
got = (got.id, got.type, got.function.name, got.function.arguments)
print(got)
raise SystemExit(got != ("call_acall_a", "function", "looklook", '{"q":"x"}'))
PY
"$work/venv/bin/python" "$work/run.py"
