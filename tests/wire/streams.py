"""The bytes of an event stream, and what of its framing a client of that dialect may rely on."""

from __future__ import annotations

import json
import re
from typing import Any, List, Optional, Tuple


class Event:
    __slots__ = ("event", "data", "id", "fields")

    def __init__(self, event: Optional[str], data: str, id: Optional[str], fields: List[str]):
        self.event, self.data, self.id, self.fields = event, data, id, fields

    def json(self) -> Any:
        return json.loads(self.data)


def parse_sse(raw: bytes) -> Tuple[List[Event], List[str]]:
    """Parse a complete SSE body the way the WHATWG grammar says.  Returns (events, comments)."""
    text = raw.decode("utf-8")
    if text.startswith("\ufeff"):
        text = text[1:]
    events: List[Event] = []
    comments: List[str] = []
    name: Optional[str] = None
    data: List[str] = []
    ident: Optional[str] = None
    fields: List[str] = []
    for line in re.split(r"\r\n|\n|\r", text):
        if line == "":
            if data or name:
                events.append(Event(name, "\n".join(data), ident, fields))
            name, data, fields = None, [], []
            continue
        if line.startswith(":"):
            comments.append(line[1:])
            continue
        field, _, value = line.partition(":")
        if value.startswith(" "):
            value = value[1:]
        fields.append(field)
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            ident = value
    if data or name:
        events.append(Event(name, "\n".join(data), ident, fields + ["<unterminated>"]))
    return events, comments


def events_from_bytes(fmt: str, raw: bytes) -> Tuple[List[Any], List[str]]:
    """Parse what a client received; also checks the framing rules of that client format."""
    bad: List[str] = []
    events, comments = parse_sse(raw)
    out: List[Any] = []
    for n, ev in enumerate(events):
        if "<unterminated>" in ev.fields:
            bad.append("the last event is not terminated by an empty line")
        if raw[:3] == b"\xef\xbb\xbf":
            bad.append("the stream starts with a byte order mark")
        if fmt == "gemini":
            if (
                ev.fields.count("data") != 1
                or len([f for f in ev.fields if not f.startswith("<")]) != 1
            ):
                bad.append(
                    f"event {n}: a Gemini event is exactly one data line, got fields {ev.fields}"
                )
        if ev.data == "[DONE]":
            out.append("[DONE]")
            continue
        if fmt in ("anthropic", "openai-responses") and ev.event is None:
            bad.append(f"event {n}: no event name")
        if fmt == "openai-chat" and ev.data == "":
            bad.append(f"event {n}: empty data (the OpenAI client fails on it)")
            continue
        if fmt == "openai-chat" and ev.id is not None:
            bad.append(f"event {n}: id field (makes the OpenAI client choke on later comments)")
        if fmt == "anthropic" and ev.event == "ping":
            continue
        try:
            obj = ev.json()
        except ValueError:
            bad.append(f"event {n}: data is not JSON: {ev.data[:80]!r}")
            continue
        if (
            fmt in ("anthropic", "openai-responses")
            and isinstance(obj, dict)
            and ev.event != obj.get("type")
        ):
            bad.append(f"event {n}: event name {ev.event!r} but type {obj.get('type')!r}")
        out.append(obj)
    if fmt == "gemini" and comments:
        bad.append("comment lines in a Gemini stream (the Python client fails on them)")
    if fmt == "gemini" and re.search(rb"(?m)^data:[^ ]", raw):
        bad.append("Gemini events need 'data: ' with the space")
    return out, bad
