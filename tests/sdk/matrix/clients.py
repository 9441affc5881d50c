"""The four kinds of clients behind one face, so that one scenario tries them all.

Each speaks only through its provider's own SDK, with the methods that people use: what the SDK
cannot read is a failure of the test.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Callable

import anthropic
import openai
from google import genai
from google.genai import errors, types
from pydantic import BaseModel
from samples import CLOCK, PIXEL, WEATHER

DECLARED = {
    "weather": ("The weather of a city.", WEATHER),
    "clock": ("The time in a zone.", CLOCK),
}


@dataclass
class Told:
    """What came back, in words that all of them share."""

    text: str = ""
    thought: str = ""
    calls: list[tuple[str, dict]] = field(default_factory=list)
    finish: str = ""
    input: int = 0
    output: int = 0
    reasoning: int = 0
    model: str = ""
    parsed: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """What is to be said, in words that all of them share."""

    text: str
    system: str | None = None
    image: bool = False
    schema: type[BaseModel] | None = None
    think: bool = False
    limit: int = 4000
    tools: tuple[str, ...] = ()
    choice: str | None = None
    stream: bool = False


Answer = Callable[[str, dict], str]


class Client:
    """A conversation is opened with [`Asked`] and goes on as long as tools are called."""

    name: str
    failures: tuple[type[Exception], ...]
    statuses: dict[int, type[Exception]]

    def ask(self, model: str, asked: Asked) -> Told:
        return self.turn(model, asked, self.opening(asked))

    def loop(self, model: str, asked: Asked, answer: Answer) -> list[Told]:
        """Answers every call until the model has no more."""
        history = self.opening(asked)
        told = [self.turn(model, asked, history)]
        while told[-1].calls:
            self.answered(history, [answer(*call) for call in told[-1].calls])
            told.append(self.turn(model, asked, history))
            assert len(told) < 8, "the model calls for ever"
        return told

    def opening(self, asked: Asked) -> list:
        raise NotImplementedError

    def turn(self, model: str, asked: Asked, history: list) -> Told:
        """Asks, and adds the answer to the history as the SDK gives it."""
        raise NotImplementedError

    def answered(self, history: list, results: list[str]) -> None:
        raise NotImplementedError

    def count(self, model: str, text: str) -> int:
        raise NotImplementedError

    def leave(self, model: str) -> None:
        """Goes in the middle of a stream."""
        raise NotImplementedError


OPENAI_STATUSES = {
    400: openai.BadRequestError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
}


class Chat(Client):
    name = "chat"
    failures = (openai.APIError,)
    statuses = OPENAI_STATUSES

    def __init__(self, proxy: str, key: str):
        self.client = openai.OpenAI(base_url=f"{proxy}/v1", api_key=key, max_retries=0)

    def opening(self, asked: Asked) -> list:
        content: Any = asked.text
        if asked.image:
            url = {"url": f"data:image/png;base64,{PIXEL}"}
            content = [{"type": "text", "text": asked.text}, {"type": "image_url", "image_url": url}]
        system = [{"role": "system", "content": asked.system}] if asked.system else []
        return [*system, {"role": "user", "content": content}]

    def turn(self, model: str, asked: Asked, history: list) -> Told:
        given: dict[str, Any] = {"max_completion_tokens": asked.limit}
        if asked.tools:
            given["tools"] = [
                {
                    "type": "function",
                    "function": {"name": name, "description": about, "parameters": schema},
                }
                for name, (about, schema) in ((tool, DECLARED[tool]) for tool in asked.tools)
            ]
        if asked.choice:
            named = {"type": "function", "function": {"name": asked.choice}}
            given["tool_choice"] = "none" if asked.choice == "none" else named
        if asked.think:
            given["reasoning_effort"] = "low"
        if asked.schema:
            given["response_format"] = asked.schema
        completions = self.client.chat.completions
        headers: dict[str, str] = {}
        if asked.stream:
            options = {"include_usage": True}
            with completions.stream(
                model=model, messages=history, stream_options=options, **given
            ) as stream:
                headers = dict(stream._response.headers)
                try:
                    for _ in stream:
                        pass
                    answer = stream.get_final_completion()
                except openai.LengthFinishReasonError as cut:
                    answer = cut.completion
        else:
            # What parse() does beside it wants tools to be strict.
            make = completions.with_raw_response
            raw = (make.parse if asked.schema else make.create)(
                model=model, messages=history, **given
            )
            headers, answer = dict(raw.headers), raw.parse()
        (choice,) = answer.choices
        message = choice.message
        history.append(message)
        return Told(
            text=message.content or "",
            thought=getattr(message, "reasoning_content", None) or "",
            calls=[
                (call.function.name, json.loads(call.function.arguments))
                for call in message.tool_calls or []
            ],
            finish=choice.finish_reason,
            input=answer.usage.prompt_tokens,
            output=answer.usage.completion_tokens,
            reasoning=_reasoning(answer.usage.completion_tokens_details),
            model=answer.model,
            parsed=getattr(message, "parsed", None),
            headers=headers,
        )

    def answered(self, history: list, results: list[str]) -> None:
        calls = history[-1].tool_calls
        for call, result in zip(calls, results, strict=True):
            history.append({"role": "tool", "tool_call_id": call.id, "content": result})

    def leave(self, model: str) -> None:
        messages = self.opening(Asked("hi"))
        create = self.client.chat.completions.create
        with create(model=model, messages=messages, stream=True) as stream:
            assert next(iter(stream)).choices


def raw_request(stream: Any) -> Any:
    return stream._response.request


def _reasoning(details: Any) -> int:
    return (details.reasoning_tokens or 0) if details else 0


class Responses(Client):
    name = "responses"
    failures = (openai.APIError,)
    statuses = OPENAI_STATUSES

    def __init__(self, proxy: str, key: str):
        self.client = openai.OpenAI(base_url=f"{proxy}/v1", api_key=key, max_retries=0)

    def opening(self, asked: Asked) -> list:
        content: Any = asked.text
        if asked.image:
            image = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
            text = {"type": "input_text", "text": asked.text}
            content = [text, {**image, "detail": "auto"}]
        return [{"role": "user", "content": content}]

    def turn(self, model: str, asked: Asked, history: list) -> Told:
        given: dict[str, Any] = {"max_output_tokens": asked.limit, "store": False}
        if asked.system:
            given["instructions"] = asked.system
        if asked.tools:
            given["tools"] = [
                {
                    "type": "function",
                    "name": tool,
                    "description": DECLARED[tool][0],
                    "parameters": DECLARED[tool][1],
                    "strict": True,
                }
                for tool in asked.tools
            ]
        if asked.choice:
            named = {"type": "function", "name": asked.choice}
            given["tool_choice"] = "none" if asked.choice == "none" else named
        if asked.think:
            given["reasoning"] = {"effort": "low", "summary": "auto"}
            given["include"] = ["reasoning.encrypted_content"]
        if asked.schema:
            given["text_format"] = asked.schema
        responses = self.client.responses
        headers: dict[str, str] = {}
        if asked.stream:
            with responses.stream(model=model, input=history, **given) as stream:
                headers = dict(stream._response.headers)
                events = list(stream)
            if events[-1].type in ("error", "response.failed"):
                # This SDK hands these out like any other event.
                raise openai.APIError(str(events[-1]), raw_request(stream), body=None)
            assert [event.sequence_number for event in events] == list(range(len(events)))
            answer = events[-1].response
        else:
            make = responses.with_raw_response
            raw = (make.parse if asked.schema else make.create)(
                model=model, input=history, **given
            )
            headers, answer = dict(raw.headers), raw.parse()
        history += answer.output
        finish = answer.status
        if answer.incomplete_details:
            finish = answer.incomplete_details.reason
        return Told(
            text=answer.output_text,
            thought="".join(
                part.text for item in answer.output if item.type == "reasoning" for part in item.summary
            ),
            calls=[
                (item.name, json.loads(item.arguments))
                for item in answer.output
                if item.type == "function_call"
            ],
            finish=finish,
            input=answer.usage.input_tokens,
            output=answer.usage.output_tokens,
            reasoning=_reasoning(answer.usage.output_tokens_details),
            model=answer.model,
            parsed=getattr(answer, "output_parsed", None),
            headers=headers,
        )

    def answered(self, history: list, results: list[str]) -> None:
        done = {item["call_id"] for item in history if isinstance(item, dict) and "call_id" in item}
        calls = [item for item in history if getattr(item, "type", "") == "function_call"]
        calls = [call for call in calls if call.call_id not in done]
        for call, result in zip(calls, results, strict=True):
            output = {"type": "function_call_output", "call_id": call.call_id, "output": result}
            history.append(output)

    def count(self, model: str, text: str) -> int:
        return self.client.responses.input_tokens.count(model=model, input=text).input_tokens

    def leave(self, model: str) -> None:
        with self.client.responses.create(model=model, input="hi", stream=True) as stream:
            assert next(iter(stream)).type == "response.created"


class Anthropic(Client):
    name = "anthropic"
    failures = (anthropic.APIError,)
    statuses = {
        400: anthropic.BadRequestError,
        429: anthropic.RateLimitError,
        500: anthropic.InternalServerError,
        529: anthropic.InternalServerError,
    }

    def __init__(self, proxy: str, key: str):
        self.client = anthropic.Anthropic(base_url=proxy, api_key=key, max_retries=0)

    def opening(self, asked: Asked) -> list:
        content: Any = asked.text
        if asked.image:
            source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
            content = [{"type": "image", "source": source}, {"type": "text", "text": asked.text}]
        return [{"role": "user", "content": content}]

    def turn(self, model: str, asked: Asked, history: list) -> Told:
        given: dict[str, Any] = {"max_tokens": asked.limit}
        if asked.system:
            cached = {"type": "ephemeral"}
            given["system"] = [{"type": "text", "text": asked.system, "cache_control": cached}]
        if asked.tools:
            given["tools"] = [
                {"name": tool, "description": DECLARED[tool][0], "input_schema": DECLARED[tool][1]}
                for tool in asked.tools
            ]
        if asked.choice:
            named = {"type": "tool", "name": asked.choice}
            given["tool_choice"] = {"type": "none"} if asked.choice == "none" else named
        if asked.think:
            given |= self.thinking(model)
        if asked.schema:
            given["output_format"] = asked.schema
        messages = self.client.messages
        if asked.stream:
            with messages.stream(model=model, messages=history, **given) as stream:
                for _ in stream:
                    pass
                headers = dict(stream.response.headers)
                answer = stream.get_final_message()
        elif asked.schema:
            answer = messages.parse(model=model, messages=history, **given)
            headers = {}
        else:
            raw = messages.with_raw_response.create(model=model, messages=history, **given)
            headers, answer = dict(raw.headers), raw.parse()
        history.append({"role": "assistant", "content": answer.content})
        usage = answer.usage
        details = getattr(usage, "output_tokens_details", None)
        return Told(
            text="".join(block.text for block in answer.content if block.type == "text"),
            thought="".join(b.thinking for b in answer.content if b.type == "thinking"),
            calls=[(b.name, b.input) for b in answer.content if b.type == "tool_use"],
            finish=answer.stop_reason,
            input=usage.input_tokens
            + (usage.cache_read_input_tokens or 0)
            + (usage.cache_creation_input_tokens or 0),
            output=usage.output_tokens,
            reasoning=(details.thinking_tokens or 0) if details else 0,
            model=answer.model,
            parsed=getattr(answer, "parsed_output", None),
            headers=headers,
        )

    @staticmethod
    def thinking(model: str) -> dict[str, Any]:
        """As one asks Anthropic's own models of two generations."""
        if model.startswith("anthropic-older"):
            return {"thinking": {"type": "enabled", "budget_tokens": 2048}}
        thinking = {"type": "adaptive", "display": "summarized"}
        return {"thinking": thinking, "output_config": {"effort": "low"}}

    def answered(self, history: list, results: list[str]) -> None:
        calls = [block for block in history[-1]["content"] if block.type == "tool_use"]
        history.append(
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": call.id, "content": result}
                    for call, result in zip(calls, results, strict=True)
                ],
            }
        )

    def count(self, model: str, text: str) -> int:
        messages = [{"role": "user", "content": text}]
        return self.client.messages.count_tokens(model=model, messages=messages).input_tokens

    def leave(self, model: str) -> None:
        messages = self.opening(Asked("hi"))
        with self.client.messages.stream(model=model, max_tokens=99, messages=messages) as stream:
            assert next(iter(stream.text_stream))


class Gemini(Client):
    name = "gemini"
    failures = (errors.APIError,)
    statuses = {
        400: errors.ClientError,
        429: errors.ClientError,
        500: errors.ServerError,
        503: errors.ServerError,
    }

    def __init__(self, proxy: str, key: str):
        self.client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=proxy))

    def opening(self, asked: Asked) -> list:
        parts = [types.Part(text=asked.text)]
        if asked.image:
            data = base64.b64decode(PIXEL)
            parts.append(types.Part.from_bytes(data=data, mime_type="image/png"))
        return [types.Content(role="user", parts=parts)]

    def turn(self, model: str, asked: Asked, history: list) -> Told:
        config = types.GenerateContentConfig(max_output_tokens=asked.limit)
        config.system_instruction = asked.system
        config.automatic_function_calling = types.AutomaticFunctionCallingConfig(disable=True)
        if asked.tools:
            config.tools = [types.Tool(function_declarations=[self.declared(model, tool) for tool in asked.tools])]
        if asked.choice:
            calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=[asked.choice])
            if asked.choice == "none":
                calling = types.FunctionCallingConfig(mode="NONE")
            config.tool_config = types.ToolConfig(function_calling_config=calling)
        if asked.think:
            config.thinking_config = types.ThinkingConfig(include_thoughts=True, thinking_budget=2048)
            if not model.startswith("gemini-older"):
                config.thinking_config = types.ThinkingConfig(
                    include_thoughts=True, thinking_level="low"
                )
        if asked.schema:
            config.response_mime_type = "application/json"
            config.response_schema = asked.schema
        models = self.client.models
        if asked.stream:
            pieces = list(
                models.generate_content_stream(model=model, contents=history, config=config)
            )
        else:
            pieces = [models.generate_content(model=model, contents=history, config=config)]
        last = pieces[-1]
        reasons = [piece.candidates[0].finish_reason for piece in pieces]
        assert not any(reasons[:-1]), reasons
        parts = [part for piece in pieces for part in piece.candidates[0].content.parts or []]
        history.append(types.Content(role="model", parts=parts))
        usage = last.usage_metadata
        return Told(
            text="".join(part.text or "" for part in parts if not part.thought),
            thought="".join(part.text or "" for part in parts if part.thought),
            calls=[(p.function_call.name, p.function_call.args) for p in parts if p.function_call],
            finish=reasons[-1].value,
            input=usage.prompt_token_count,
            output=(usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
            reasoning=usage.thoughts_token_count or 0,
            model=last.model_version,
            parsed=last.parsed if not asked.stream else None,
            headers=dict(last.sdk_http_response.headers or {}),
        )

    @staticmethod
    def declared(model: str, tool: str) -> types.FunctionDeclaration:
        about, schema = DECLARED[tool]
        if model.startswith("gemini-older"):
            own = {k: v for k, v in schema.items() if k != "additionalProperties"}
            return types.FunctionDeclaration(
                name=tool, description=about, parameters=types.Schema.model_validate(own)
            )
        return types.FunctionDeclaration(
            name=tool, description=about, parameters_json_schema=schema
        )

    def answered(self, history: list, results: list[str]) -> None:
        calls = [part.function_call for part in history[-1].parts if part.function_call]
        responses = [
            types.FunctionResponse(id=call.id, name=call.name, response={"output": result})
            for call, result in zip(calls, results, strict=True)
        ]
        parts = [types.Part(function_response=response) for response in responses]
        history.append(types.Content(role="user", parts=parts))

    def count(self, model: str, text: str) -> int:
        return self.client.models.count_tokens(model=model, contents=text).total_tokens

    def leave(self, model: str) -> None:
        stream = self.client.models.generate_content_stream(model=model, contents="hi")
        assert next(stream).candidates
        stream.close()


CLIENTS: dict[str, type[Client]] = {c.name: c for c in (Chat, Responses, Anthropic, Gemini)}
