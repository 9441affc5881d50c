"""What two equivalent streams have in common, and what breaks the grammar of a dialect."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Tuple


def canonical(fmt: str, events: List[Any]) -> Tuple[List[dict], List[str]]:
    """Of parsed events and the literal "[DONE]": items, and violations of the grammar."""
    return {
        "openai-chat": _canon_chat,
        "openai-responses": _canon_responses,
        "anthropic": _canon_anthropic,
        "gemini": _canon_gemini,
    }[fmt](events)


def _merge_text(items: List[dict], kind: str, key: Any, text: str) -> None:
    if items and items[-1]["kind"] == kind and items[-1].get("key") == key:
        items[-1]["text"] += text
    else:
        items.append({"kind": kind, "key": key, "text": text})


def _canon_chat(events: List[Any]) -> Tuple[List[dict], List[str]]:
    items: List[dict] = []
    bad: List[str] = []
    tools: Dict[Tuple[int, int], dict] = {}
    finished: Dict[int, str] = {}
    ids = set()
    saw_usage = saw_done = saw_error = False
    first: Dict[int, bool] = {}
    for n, ev in enumerate(events):
        if ev == "[DONE]":
            saw_done = True
            if not saw_error:
                items.append({"kind": "done"})
            continue
        if saw_done:
            bad.append(f"event {n} after [DONE]")
        if isinstance(ev, dict) and ev.get("error"):
            saw_error = True
            err = ev["error"]
            items.append(
                {
                    "kind": "error",
                    "error": {
                        k: err.get(k) for k in ("message", "type", "code") if err.get(k) is not None
                    },
                }
            )
            continue
        if not isinstance(ev, dict) or ev.get("object") != "chat.completion.chunk":
            bad.append(f"event {n}: object is {ev.get('object') if isinstance(ev, dict) else ev!r}")
            continue
        if isinstance(ev.get("id"), str):
            ids.add(ev["id"])
        choices = ev.get("choices")
        if not isinstance(choices, list):
            bad.append(f"event {n}: choices is not an array")
            choices = []
        for ch in choices:
            idx = ch.get("index", 0)
            delta = ch.get("delta") or {}
            if idx not in first:
                first[idx] = True
                if delta.get("role") != "assistant":
                    bad.append(f"event {n}: first delta of choice {idx} has no role")
            body = [
                k for k in ("content", "reasoning_content", "refusal", "tool_calls") if delta.get(k)
            ]
            if idx in finished and body:
                bad.append(f"event {n}: content after finish_reason on choice {idx}")
            if delta.get("reasoning_content"):
                _merge_text(items, "reasoning", idx, delta["reasoning_content"])
            if delta.get("content"):
                _merge_text(items, "text", idx, delta["content"])
            if delta.get("refusal"):
                _merge_text(items, "refusal", idx, delta["refusal"])
            for tc in delta.get("tool_calls") or []:
                ti = tc.get("index")
                slot = tools.get((idx, ti))
                fn = tc.get("function") or {}
                if slot is None:
                    want = len([1 for k in tools if k[0] == idx])
                    if ti != want:
                        bad.append(f"event {n}: tool_calls index {ti}, expected {want}")
                    if not tc.get("id") or not fn.get("name"):
                        bad.append(f"event {n}: first delta of tool call {ti} lacks id or name")
                    slot = {
                        "kind": "tool",
                        "choice": idx,
                        "index": ti,
                        "id": tc.get("id"),
                        "name": fn.get("name"),
                        "arguments": "",
                    }
                    sig = ((tc.get("extra_content") or {}).get("google") or {}).get(
                        "thought_signature"
                    )
                    if sig is not None:
                        slot["signature"] = sig
                    tools[(idx, ti)] = slot
                    items.append(slot)
                else:
                    if tc.get("id"):
                        bad.append(
                            f"event {n}: call {ti} repeats its id (accumulators concatenate it)"
                        )
                    if fn.get("name"):
                        bad.append(
                            f"event {n}: call {ti} repeats its name (accumulators concatenate it)"
                        )
                slot["arguments"] += fn.get("arguments") or ""
            if ch.get("finish_reason"):
                if idx in finished:
                    bad.append(f"event {n}: second finish_reason on choice {idx}")
                finished[idx] = ch["finish_reason"]
                items.append({"kind": "finish", "choice": idx, "reason": ch["finish_reason"]})
        if ev.get("usage") is not None:
            if saw_usage:
                bad.append(f"event {n}: second usage")
            saw_usage = True
            if choices:
                bad.append(f"event {n}: the usage chunk must have an empty choices array")
            items.append({"kind": "usage", "usage": ev["usage"]})
    if len(ids) > 1:
        bad.append(f"{len(ids)} different chunk ids")
    if not saw_done and not saw_error:
        bad.append("no [DONE]")
    for t in tools.values():
        t["arguments"] = maybe_json(t["arguments"])
    return items, bad


def maybe_json(text: str) -> Any:
    try:
        return {"json": json.loads(text)}
    except ValueError:
        return {"text": text}


_ANTHROPIC_DELTA_FOR = {
    "text_delta": "text",
    "citations_delta": "text",
    "input_json_delta": "tool_use",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
}


def _canon_anthropic(events: List[Any]) -> Tuple[List[dict], List[str]]:
    items: List[dict] = []
    bad: List[str] = []
    open_block: Optional[dict] = None
    started = stopped = errored = False
    count = deltas = 0
    for n, ev in enumerate(events):
        kind = ev.get("type") if isinstance(ev, dict) else None
        if kind == "ping":
            continue
        if kind == "error":
            errored = True
            err = ev.get("error") or {}
            items.append(
                {
                    "kind": "error",
                    "error": {k: err.get(k) for k in ("type", "message") if err.get(k) is not None},
                }
            )
            continue
        if stopped or errored:
            bad.append(f"event {n}: {kind} after the end of the stream")
        if kind == "message_start":
            if started:
                bad.append(f"event {n}: second message_start")
            started = True
            msg = ev.get("message") or {}
            if msg.get("content"):
                bad.append("message_start.message.content must be empty")
            if msg.get("stop_reason") is not None:
                bad.append("message_start.message.stop_reason must be null")
            if not isinstance(msg.get("usage"), dict):
                bad.append("message_start.message.usage is missing")
            items.append(
                {
                    "kind": "start",
                    "role": msg.get("role"),
                    "model": msg.get("model"),
                    "id": msg.get("id"),
                }
            )
            continue
        if not started:
            bad.append(f"event {n}: {kind} before message_start")
        if kind == "content_block_start":
            if open_block is not None:
                bad.append(
                    f"event {n}: block {ev.get('index')} starts inside of {open_block['index']}"
                )
            if ev.get("index") != count:
                bad.append(f"event {n}: block index {ev.get('index')}, expected {count}")
            count += 1
            block = dict(ev.get("content_block") or {})
            open_block = {"kind": "block", "index": ev.get("index"), "type": block.get("type")}
            if block.get("type") == "tool_use":
                open_block.update(id=block.get("id"), name=block.get("name"), input="")
            elif block.get("type") == "thinking":
                open_block.update(
                    thinking=block.get("thinking") or "", signature=block.get("signature") or ""
                )
            elif block.get("type") == "text":
                open_block.update(text=block.get("text") or "")
                if block.get("citations"):
                    open_block["citations"] = list(block["citations"])
            else:
                open_block.update({k: v for k, v in block.items() if k != "type"})
            items.append(open_block)
        elif kind == "content_block_delta":
            delta = ev.get("delta") or {}
            if open_block is None or ev.get("index") != open_block["index"]:
                bad.append(f"event {n}: delta for block {ev.get('index')} which is not open")
                continue
            want = _ANTHROPIC_DELTA_FOR.get(delta.get("type"))
            if (
                want
                and want != open_block["type"]
                and not (want == "tool_use" and "tool_use" in str(open_block["type"]))
            ):
                bad.append(f"event {n}: {delta.get('type')} inside a {open_block['type']} block")
                continue
            if delta.get("type") == "text_delta":
                open_block["text"] += delta.get("text") or ""
            elif delta.get("type") == "input_json_delta":
                open_block["input"] += delta.get("partial_json") or ""
            elif delta.get("type") == "thinking_delta":
                open_block["thinking"] += delta.get("thinking") or ""
            elif delta.get("type") == "signature_delta":
                sig = delta.get("signature")
                open_block["signature"] = (
                    sig if not open_block["signature"] else str(open_block["signature"]) + str(sig)
                )
            elif delta.get("type") == "citations_delta":
                open_block.setdefault("citations", []).append(delta.get("citation"))
        elif kind == "content_block_stop":
            if open_block is None or ev.get("index") != open_block["index"]:
                bad.append(f"event {n}: stop for block {ev.get('index')} which is not open")
            else:
                if open_block["type"] == "tool_use":
                    open_block["input"] = maybe_json(open_block["input"] or "{}")
                open_block = None
        elif kind == "message_delta":
            if open_block is not None:
                bad.append(f"event {n}: message_delta while block {open_block['index']} is open")
            deltas += 1
            delta = ev.get("delta") or {}
            if not isinstance(ev.get("usage"), dict) or ev["usage"].get("output_tokens") is None:
                bad.append(f"event {n}: message_delta without usage.output_tokens")
            item = {
                "kind": "delta",
                "stop_reason": delta.get("stop_reason"),
                "stop_sequence": delta.get("stop_sequence"),
                "usage": ev.get("usage"),
            }
            items.append(item)
        elif kind == "message_stop":
            stopped = True
            items.append({"kind": "stop"})
        else:
            bad.append(f"event {n}: unknown type {kind}")
    if open_block is not None and not errored:
        bad.append(f"block {open_block['index']} never stopped")
    if (
        open_block is not None
        and open_block.get("type") == "tool_use"
        and isinstance(open_block.get("input"), str)
    ):
        open_block["input"] = maybe_json(open_block["input"] or "{}")
    if started and not stopped and not errored:
        bad.append("no message_stop")
    if not started and not errored:
        bad.append("no message_start")
    if deltas != 1 and not errored:
        bad.append(f"{deltas} message_delta events")
    return items, bad


def canon_item(item: dict) -> dict:
    kind = item.get("type")
    if kind == "message":
        out = {"kind": "message", "role": item.get("role"), "content": []}
        for part in item.get("content") or []:
            if part.get("type") == "output_text":
                entry = {"type": "output_text", "text": part.get("text")}
                if part.get("annotations"):
                    entry["annotations"] = part["annotations"]
                out["content"].append(entry)
            elif part.get("type") == "refusal":
                out["content"].append({"type": "refusal", "refusal": part.get("refusal")})
            else:
                out["content"].append(part)
        return out
    if kind == "function_call":
        args = item.get("arguments")
        return {
            "kind": "function_call",
            "call_id": item.get("call_id"),
            "name": item.get("name"),
            "arguments": maybe_json(args) if isinstance(args, str) else args,
        }
    if kind == "custom_tool_call":
        return {
            "kind": "custom_tool_call",
            "call_id": item.get("call_id"),
            "name": item.get("name"),
            "input": item.get("input"),
        }
    if kind == "reasoning":
        out = {"kind": "reasoning", "summary": [s.get("text") for s in item.get("summary") or []]}
        if item.get("encrypted_content") is not None:
            out["encrypted_content"] = item["encrypted_content"]
        if item.get("content"):
            out["content"] = [c.get("text") for c in item["content"]]
        return out
    return dict(item, kind=kind)


def canonical_response_body(body: dict) -> List[dict]:
    items = [canon_item(i) for i in body.get("output") or []]
    items.append(
        {
            "kind": "final",
            "status": body.get("status"),
            "incomplete_details": body.get("incomplete_details"),
            "error": body.get("error"),
            "usage": body.get("usage"),
            "model": body.get("model"),
        }
    )
    return items


def _canon_responses(events: List[Any]) -> Tuple[List[dict], List[str]]:
    items: List[dict] = []
    bad: List[str] = []
    live: Dict[int, dict] = {}
    done: Dict[int, dict] = {}
    last_seq: Optional[int] = None
    response_ids = set()
    terminal = None
    text: Dict[Tuple[int, Any], str] = {}
    for n, ev in enumerate(events):
        if ev == "[DONE]":
            continue
        kind = ev.get("type")
        seq = ev.get("sequence_number")
        if not isinstance(seq, int):
            bad.append(f"event {n} ({kind}): no sequence_number")
        else:
            if last_seq is not None and seq <= last_seq:
                bad.append(f"event {n}: sequence_number {seq} after {last_seq}")
            last_seq = seq
        if terminal is not None:
            bad.append(f"event {n}: {kind} after {terminal}")
        if n == 0 and kind not in ("response.created", "error"):
            bad.append(f"first event is {kind}")
        if kind in ("response.created", "response.in_progress", "response.queued"):
            response_ids.add(str((ev.get("response") or {}).get("id")))
        elif kind == "response.output_item.added":
            oi = ev.get("output_index")
            if oi in live:
                bad.append(f"event {n}: output_index {oi} added twice")
            if oi != len(live):
                bad.append(f"event {n}: output_index {oi}, expected {len(live)}")
            live[oi] = dict(ev.get("item") or {}, _parts=0)
        elif kind == "response.output_item.done":
            oi = ev.get("output_index")
            item = ev.get("item") or {}
            if oi not in live:
                bad.append(f"event {n}: output_item.done for unopened index {oi}")
            else:
                for key in ("id", "type", "call_id"):
                    if live[oi].get(key) != item.get(key):
                        bad.append(f"event {n}: item {oi} changed its {key}")
                acc = text.get((oi, "args"))
                if (
                    item.get("type") == "function_call"
                    and acc is not None
                    and acc != item.get("arguments")
                ):
                    bad.append(f"event {n}: arguments deltas do not add up to the finished item")
                if (
                    item.get("type") == "function_call"
                    and acc is None
                    and item.get("arguments") not in ("", None)
                ):
                    bad.append(f"event {n}: function_call arguments never streamed")
            done[oi] = item
            items.append(canon_item(item))
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            terminal = kind
            resp = ev.get("response") or {}
            response_ids.add(str(resp.get("id")))
            want = {
                "response.completed": "completed",
                "response.incomplete": "incomplete",
                "response.failed": "failed",
            }[kind]
            if resp.get("status") != want:
                bad.append(f"{kind} carries status {resp.get('status')}")
            if kind != "response.failed":
                got = [canon_item(i) for i in resp.get("output") or []]
                if json.dumps(got, sort_keys=True, default=str) != json.dumps(
                    [canon_item(done[i]) for i in sorted(done)], sort_keys=True, default=str
                ):
                    bad.append(f"{kind}: response.output differs from the finished items")
                if set(live) != set(done):
                    bad.append(f"{kind}: unfinished output items")
            items.append(canonical_response_body(dict(resp, output=[]))[-1])
        elif kind == "error":
            terminal = "error"
            items.append(
                {
                    "kind": "error",
                    "error": {k: ev.get(k) for k in ("code", "message") if ev.get(k) is not None},
                }
            )
        elif kind and kind.startswith("response."):
            oi = ev.get("output_index")
            if oi is not None:
                if oi not in live or oi in done:
                    bad.append(f"event {n}: {kind} for output_index {oi} which is not open")
                elif ev.get("item_id") != live[oi].get("id"):
                    bad.append(
                        f"event {n}: {kind} names {ev.get('item_id')}, not {live[oi].get('id')}"
                    )
            ci = ev.get("content_index", ev.get("summary_index"))
            if kind == "response.content_part.added":
                text[(oi, ci)] = ""
            elif kind == "response.reasoning_summary_part.added":
                text[(oi, "s", ci)] = ""  # type: ignore[index]
            elif kind in (
                "response.output_text.delta",
                "response.refusal.delta",
                "response.reasoning_text.delta",
            ):
                if (oi, ci) not in text:
                    bad.append(f"event {n}: {kind} before content_part.added")
                text[(oi, ci)] = text.get((oi, ci), "") + (ev.get("delta") or "")
            elif kind == "response.output_text.done":
                if text.get((oi, ci)) != ev.get("text"):
                    bad.append(f"event {n}: output_text.done does not equal its deltas")
            elif kind == "response.reasoning_summary_text.delta":
                if (oi, "s", ci) not in text:  # type: ignore[comparison-overlap]
                    bad.append(f"event {n}: summary delta before reasoning_summary_part.added")
                text[(oi, "s", ci)] = text.get((oi, "s", ci), "") + (ev.get("delta") or "")  # type: ignore[index]
            elif kind in (
                "response.function_call_arguments.delta",
                "response.custom_tool_call_input.delta",
            ):
                text[(oi, "args")] = text.get((oi, "args"), "") + (ev.get("delta") or "")
            elif kind == "response.function_call_arguments.done":
                if (oi, "args") in text and text[(oi, "args")] != ev.get("arguments"):
                    bad.append(f"event {n}: arguments.done does not equal its deltas")
                text.setdefault((oi, "args"), ev.get("arguments") or "")
    if terminal is None:
        bad.append("no terminal event")
    if len(response_ids) > 1:
        bad.append("the response id changed during the stream")
    return items, bad


def _canon_gemini(events: List[Any]) -> Tuple[List[dict], List[str]]:
    items: List[dict] = []
    bad: List[str] = []
    finish: Dict[int, str] = {}
    usage = None
    feedback = None
    errored = False
    for n, ev in enumerate(events):
        if ev == "[DONE]":
            bad.append("Gemini streams have no [DONE]")
            continue
        if isinstance(ev, dict) and "error" in ev:
            if next(iter(ev)) != "error":
                bad.append("error must be the first key of the frame")
            err = ev["error"]
            errored = True
            items.append(
                {
                    "kind": "error",
                    "error": {
                        k: err.get(k)
                        for k in ("code", "status", "message")
                        if err.get(k) is not None
                    },
                }
            )
            continue
        for cand in ev.get("candidates") or []:
            idx = cand.get("index", 0)
            for part in (cand.get("content") or {}).get("parts") or []:
                if idx in finish and (part.get("text") or "functionCall" in part):
                    bad.append(f"event {n}: content after finishReason")
                extra = {k: v for k, v in part.items() if k not in ("text", "thought")}
                if "text" in part and not extra:
                    if part["text"] == "":
                        continue
                    _merge_text(
                        items, "thought" if part.get("thought") else "text", idx, part["text"]
                    )
                else:
                    items.append({"kind": "part", "choice": idx, "part": part})
            if cand.get("finishReason"):
                if idx in finish:
                    bad.append(f"event {n}: second finishReason on candidate {idx}")
                finish[idx] = cand["finishReason"]
                items.append({"kind": "finish", "choice": idx, "reason": cand["finishReason"]})
        if ev.get("promptFeedback"):
            feedback = ev["promptFeedback"]
        if ev.get("usageMetadata"):
            usage = ev["usageMetadata"]
    if feedback is not None:
        items.append({"kind": "feedback", "feedback": feedback})
    if usage is not None:
        items.append({"kind": "usage", "usage": usage})
    if not finish and feedback is None and not errored:
        bad.append("no finishReason: client libraries treat the stream as cut off")
    return items, bad
