"""What a client's program sees of an answer, whichever way it read it."""

from __future__ import annotations

from typing import Any, Dict, List

from canonical import canon_item, maybe_json


def summary(fmt: str, body: dict) -> dict:
    if fmt == "openai-chat":
        out = []
        for ch in body.get("choices") or []:
            msg = ch.get("message") or {}
            out.append(
                {
                    "text": msg.get("content") or "",
                    "refusal": msg.get("refusal") or "",
                    "tools": [
                        {
                            "id": t.get("id"),
                            "name": (t.get("function") or {}).get("name"),
                            "args": maybe_json((t.get("function") or {}).get("arguments") or "{}"),
                        }
                        for t in msg.get("tool_calls") or []
                    ],
                    "finish": ch.get("finish_reason"),
                }
            )
        u = body.get("usage") or {}
        return {"choices": out, "in": u.get("prompt_tokens"), "out": u.get("completion_tokens")}
    if fmt == "anthropic":
        u = body.get("usage") or {}
        blocks = body.get("content") or []
        return {
            "text": "".join(b.get("text") or "" for b in blocks if b.get("type") == "text"),
            "thinking": "".join(
                b.get("thinking") or "" for b in blocks if b.get("type") == "thinking"
            ),
            "tools": [
                {"id": b.get("id"), "name": b.get("name"), "args": {"json": b.get("input")}}
                for b in blocks
                if b.get("type") == "tool_use"
            ],
            "order": [b.get("type") for b in blocks],
            "finish": body.get("stop_reason"),
            "in": u.get("input_tokens"),
            "out": u.get("output_tokens"),
        }
    if fmt == "openai-responses":
        u = body.get("usage") or {}
        return {
            "items": [canon_item(i) for i in body.get("output") or []],
            "status": body.get("status"),
            "in": u.get("input_tokens"),
            "out": u.get("output_tokens"),
        }
    out = []
    for cand in body.get("candidates") or []:
        parts = (cand.get("content") or {}).get("parts") or []
        out.append(
            {
                "text": "".join(p.get("text") or "" for p in parts if not p.get("thought")),
                "tools": [
                    {
                        "name": p["functionCall"].get("name"),
                        "args": p["functionCall"].get("args") or {},
                    }
                    for p in parts
                    if p.get("functionCall")
                ],
                "finish": cand.get("finishReason"),
            }
        )
    u = body.get("usageMetadata") or {}
    return {
        "candidates": out,
        "in": u.get("promptTokenCount"),
        "out": u.get("candidatesTokenCount"),
    }


def summary_from_stream(fmt: str, items: List[dict]) -> dict:
    """The same summary, folded from canonical stream items."""
    if fmt == "openai-chat":
        choices: Dict[int, dict] = {}
        usage: dict = {}

        def slot(i: int) -> dict:
            return choices.setdefault(i, {"text": "", "refusal": "", "tools": [], "finish": None})

        for it in items:
            if it["kind"] in ("text", "refusal"):
                slot(it["key"])[it["kind"]] += it["text"]
            elif it["kind"] == "tool":
                args = it["arguments"]
                slot(it["choice"])["tools"].append(
                    {
                        "id": it["id"],
                        "name": it["name"],
                        "args": args if args != {"text": ""} else {"json": {}},
                    }
                )
            elif it["kind"] == "finish":
                slot(it["choice"])["finish"] = it["reason"]
            elif it["kind"] == "usage":
                usage = it["usage"]
        return {
            "choices": [choices[i] for i in sorted(choices)],
            "in": usage.get("prompt_tokens"),
            "out": usage.get("completion_tokens"),
        }
    if fmt == "anthropic":
        out: Dict[str, Any] = {
            "text": "",
            "thinking": "",
            "tools": [],
            "order": [],
            "finish": None,
            "in": None,
            "out": None,
        }
        for it in items:
            if it["kind"] == "block":
                out["order"].append(it["type"])
                if it["type"] == "text":
                    out["text"] += it["text"]
                elif it["type"] == "thinking":
                    out["thinking"] += it["thinking"]
                elif it["type"] == "tool_use":
                    out["tools"].append({"id": it["id"], "name": it["name"], "args": it["input"]})
            elif it["kind"] == "delta":
                out["finish"] = it["stop_reason"]
                out["in"] = (it["usage"] or {}).get("input_tokens")
                out["out"] = (it["usage"] or {}).get("output_tokens")
        return out
    if fmt == "openai-responses":
        final = next((i for i in items if i["kind"] == "final"), {})
        u = final.get("usage") or {}
        return {
            "items": [i for i in items if i["kind"] not in ("final", "error")],
            "status": final.get("status"),
            "in": u.get("input_tokens"),
            "out": u.get("output_tokens"),
        }
    cands: Dict[int, dict] = {}
    usage = {}

    def cslot(i: int) -> dict:
        return cands.setdefault(i, {"text": "", "tools": [], "finish": None})

    for it in items:
        if it["kind"] == "text":
            cslot(it["key"])["text"] += it["text"]
        elif it["kind"] == "thought":
            cslot(it["key"])
        elif it["kind"] == "part":
            part = it["part"]
            if part.get("functionCall"):
                cslot(it["choice"])["tools"].append(
                    {
                        "name": part["functionCall"].get("name"),
                        "args": part["functionCall"].get("args") or {},
                    }
                )
            elif part.get("text") and not part.get("thought"):
                cslot(it["choice"])["text"] += part["text"]
        elif it["kind"] == "finish":
            cslot(it["choice"])["finish"] = it["reason"]
        elif it["kind"] == "usage":
            usage = it["usage"]
    return {
        "candidates": [cands[i] for i in sorted(cands)],
        "in": usage.get("promptTokenCount"),
        "out": usage.get("candidatesTokenCount"),
    }
