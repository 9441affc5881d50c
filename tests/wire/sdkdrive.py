"""The vendors' own SDKs against a base URL: what the program of a client would see."""

from __future__ import annotations

import inspect
import json
import re
import warnings
from typing import Any, Dict, Optional, Tuple

from summary import summary

warnings.filterwarnings("ignore")


class SdkError(Exception):
    def __init__(
        self, kind: str, status: Optional[int], message: str, partial: Optional[dict] = None
    ):
        super().__init__(f"{kind} {status}: {message}")
        self.kind, self.status, self.message, self.partial = kind, status, message, partial


def _split_kwargs(func: Any, body: dict) -> Tuple[dict, dict]:
    names = set(inspect.signature(func).parameters)
    known = {k: v for k, v in body.items() if k in names}
    extra = {k: v for k, v in body.items() if k not in names}
    return known, extra


def call(
    fmt: str,
    base_url: str,
    key: str,
    path: str,
    query: Dict[str, str],
    headers: Dict[str, str],
    body: dict,
    timeout: float = 15.0,
) -> dict:
    """Returns a summary (see summary).  Raises SdkError."""
    drop = {"content-type", "authorization", "x-api-key", "x-goog-api-key", "content-length"}
    extra_headers = {k: v for k, v in headers.items() if k.lower() not in drop}
    try:
        if fmt == "openai-chat":
            return _chat(base_url, key, extra_headers, body, timeout)
        if fmt == "openai-responses":
            return _responses(base_url, key, extra_headers, body, timeout)
        if fmt == "anthropic":
            return _anthropic(base_url, key, extra_headers, body, timeout)
        return _gemini(base_url, key, path, extra_headers, body, timeout)
    except SdkError:
        raise
    except Exception as e:  # what no gateway may provoke: the library itself breaks
        raise SdkError("ClientCrash:" + type(e).__name__, None, str(e)) from None


def _openai(base_url: str, key: str, timeout: float) -> Any:
    import openai

    return openai.OpenAI(
        api_key=key, base_url=base_url.rstrip("/") + "/v1", max_retries=0, timeout=timeout
    )


def _chat(base_url: str, key: str, headers: dict, body: dict, timeout: float) -> dict:
    import openai
    from openai.lib.streaming.chat import ChatCompletionStreamState

    client = _openai(base_url, key, timeout)
    known, extra = _split_kwargs(client.chat.completions.create, body)
    try:
        if not body.get("stream"):
            obj = client.chat.completions.create(
                **known, extra_body=extra or None, extra_headers=headers
            )
            return summary("openai-chat", obj.to_dict())
        state = ChatCompletionStreamState()
        n = 0
        usage = None
        with client.chat.completions.create(
            **known, extra_body=extra or None, extra_headers=headers
        ) as stream:
            for chunk in stream:
                state.handle_chunk(chunk)
                n += 1
                if chunk.usage is not None:
                    usage = chunk.usage.to_dict()
        if n == 0:
            raise SdkError("EmptyStream", None, "no chunks")
        final = state.current_completion_snapshot.to_dict()
        if usage is not None and final.get("usage") is None:
            raise SdkError(
                "UsageLost",
                None,
                "the accumulator dropped usage because a chunk followed the usage chunk",
            )
        return summary("openai-chat", final)
    except openai.APIStatusError as e:
        raise SdkError(type(e).__name__, e.status_code, str(e.message)) from None
    except openai.APIError as e:
        raise SdkError(type(e).__name__, None, str(e.message)) from None
    finally:
        client.close()


def _responses(base_url: str, key: str, headers: dict, body: dict, timeout: float) -> dict:
    import openai
    from openai._types import omit
    from openai.lib.streaming.responses._responses import ResponseStreamState

    client = _openai(base_url, key, timeout)
    known, extra = _split_kwargs(client.responses.create, body)
    try:
        if not body.get("stream"):
            obj = client.responses.create(**known, extra_body=extra or None, extra_headers=headers)
            return summary("openai-responses", obj.to_dict())
        state = ResponseStreamState(input_tools=omit, text_format=omit)
        final = None
        with client.responses.create(
            **known, extra_body=extra or None, extra_headers=headers
        ) as stream:
            for ev in stream:
                if ev.type == "error":
                    raise SdkError("StreamErrorEvent", None, ev.message)
                state.handle_event(ev)
                if ev.type in ("response.completed", "response.incomplete", "response.failed"):
                    final = ev.response.to_dict()
        if final is None:
            raise SdkError("NoTerminalEvent", None, "stream closed before response.completed")
        if final.get("status") == "failed":
            err = final.get("error") or {}
            raise SdkError("ResponseFailed", None, str(err.get("message")))
        return summary("openai-responses", final)
    except openai.APIStatusError as e:
        raise SdkError(type(e).__name__, e.status_code, str(e.message)) from None
    except openai.APIError as e:
        raise SdkError(type(e).__name__, None, str(e.message)) from None
    finally:
        client.close()


def _anthropic(base_url: str, key: str, headers: dict, body: dict, timeout: float) -> dict:
    import anthropic
    from anthropic.lib.streaming._messages import accumulate_event

    client = anthropic.Anthropic(api_key=key, base_url=base_url, max_retries=0, timeout=timeout)
    known, extra = _split_kwargs(client.messages.create, body)
    try:
        if not body.get("stream"):
            obj = client.messages.create(**known, extra_body=extra or None, extra_headers=headers)
            return summary("anthropic", obj.to_dict())
        snapshot = None
        json_bufs: dict = {}
        last = None
        with client.messages.create(
            **known, extra_body=extra or None, extra_headers=headers
        ) as stream:
            for ev in stream:
                snapshot = accumulate_event(
                    event=ev, current_snapshot=snapshot, json_bufs=json_bufs
                )
                last = ev.type
        if last != "message_stop":
            raise SdkError("Truncated", None, f"last event was {last}")
        return summary("anthropic", snapshot.to_dict())
    except anthropic.APIStatusError as e:
        raise SdkError(type(e).__name__, e.status_code, str(e.api_message or e.message)) from None
    except anthropic.APIError as e:
        raise SdkError(type(e).__name__, None, str(e.message)) from None
    finally:
        client.close()


def gemini_args(body: dict) -> Tuple[list, dict]:
    """Turn a generateContent JSON body into (contents, config kwargs) for the SDK."""
    from google.genai import types

    def pick(*names: str) -> Any:
        for n in names:
            if n in body:
                return body[n]
        return None

    cfg: Dict[str, Any] = dict(pick("generationConfig", "generation_config") or {})
    si = pick("systemInstruction", "system_instruction")
    if si is not None:
        cfg["system_instruction"] = types.Content.model_validate(si)
    tools = pick("tools")
    if tools is not None:
        cfg["tools"] = [types.Tool.model_validate(t) for t in tools]
        cfg["automatic_function_calling"] = {"disable": True}
    for src, dst in (
        (("toolConfig", "tool_config"), "tool_config"),
        (("safetySettings", "safety_settings"), "safety_settings"),
        (("cachedContent", "cached_content"), "cached_content"),
    ):
        v = pick(*src)
        if v is not None:
            cfg[dst] = v
    contents = [types.Content.model_validate(c) for c in body.get("contents") or []]
    return contents, cfg


def _gemini(base_url: str, key: str, path: str, headers: dict, body: dict, timeout: float) -> dict:
    from google import genai
    from google.genai import errors, types

    m = re.match(r"^/(v1[a-z0-9]*)/models/([^:]+):(\w+)$", path)
    if not m:
        raise SdkError("BadPath", None, path)
    version, model, method = m.groups()
    client = genai.Client(
        api_key=key,
        http_options=types.HttpOptions(
            base_url=base_url,
            api_version=version,
            headers=headers or None,
            timeout=int(timeout * 1000),
        ),
    )
    contents, cfg = gemini_args(body)
    config = types.GenerateContentConfig.model_validate(cfg)
    try:
        if method == "generateContent":
            obj = client.models.generate_content(model=model, contents=contents, config=config)
            return summary("gemini", _gemini_dict(obj))
        merged: Dict[int, dict] = {}
        usage: dict = {}
        feedback = False
        for chunk in client.models.generate_content_stream(
            model=model, contents=contents, config=config
        ):
            d = _gemini_dict(chunk)
            for cand in d.get("candidates") or []:
                slot = merged.setdefault(cand.get("index") or 0, {"content": {"parts": []}})
                slot["content"]["parts"] += (cand.get("content") or {}).get("parts") or []
                if cand.get("finishReason"):
                    slot["finishReason"] = cand["finishReason"]
            if d.get("usageMetadata"):
                usage = d["usageMetadata"]
            feedback = feedback or bool(d.get("promptFeedback"))
        if not feedback and not any(c.get("finishReason") for c in merged.values()):
            raise SdkError("Truncated", None, "no finishReason")
        return summary(
            "gemini", {"candidates": [merged[i] for i in sorted(merged)], "usageMetadata": usage}
        )
    except errors.APIError as e:
        raise SdkError(type(e).__name__, e.code, str(e.message)) from None
    except errors.UnknownApiResponseError as e:
        raise SdkError(type(e).__name__, None, str(e)) from None
    finally:
        client.close()


def _gemini_dict(obj: Any) -> dict:
    return json.loads(
        obj.model_dump_json(
            by_alias=True,
            exclude_none=True,
            exclude={"sdk_http_response", "parsed", "automatic_function_calling_history"},
        )
    )
