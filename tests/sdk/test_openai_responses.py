"""The `openai` SDK: the Responses."""

from __future__ import annotations

import asyncio
import json

import openai
from gateway import Gateway
from openai import OpenAI
from samples import CITY, CLOCK, PIXEL, SAID, WEATHER, City

MODEL = "gpt-4o"
TOOLS = [
    {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True},
    {"type": "function", "name": "clock", "parameters": CLOCK, "strict": True},
]


def test_a_response_is_made(openai_client: OpenAI, gateway: Gateway) -> None:
    answer = openai_client.responses.create(model=MODEL, input="hi", instructions="be brief")

    assert answer.output_text == SAID.format("hi")
    assert answer.status == "completed" and answer.usage.total_tokens > 0
    entry = gateway.admin.entry(answer._request_id)
    assert (entry["dialect"], entry["outcome"]) == ("openai_responses", "completed")
    assert entry["usage"]["output"] == answer.usage.output_tokens
    assert entry["usage"]["cached"] == answer.usage.input_tokens_details.cached_tokens


def test_a_response_streams_in_order(openai_client: OpenAI) -> None:
    with openai_client.responses.stream(model=MODEL, input="hi") as stream:
        events = list(stream)
        final = stream.get_final_response()

    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == final.output_text == SAID.format("hi")
    assert final.usage.output_tokens > 0


def test_a_stream_is_read_event_by_event(openai_client: OpenAI, gateway: Gateway) -> None:
    raw = openai_client.responses.with_raw_response.create(model=MODEL, input="hi", stream=True)
    last = list(raw.parse())[-1]

    assert last.type == "response.completed"
    entry = gateway.admin.entry(raw.headers["x-request-id"])
    assert entry["usage"]["output"] == last.response.usage.output_tokens


def test_tools_are_called_and_their_results_used(openai_client: OpenAI) -> None:
    items: list = [{"role": "user", "content": "do both"}]
    asked = openai_client.responses.create(model=MODEL, input=items, tools=TOOLS)
    calls = [item for item in asked.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["weather", "clock"]
    assert json.loads(calls[0].arguments) == {"city": CITY}

    items += asked.output
    for call, said in zip(calls, ["sunny", "noon"]):
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": said})
    answer = openai_client.responses.create(model=MODEL, input=items, tools=TOOLS)
    assert answer.output_text == "The tool says: sunny, noon – done."


def test_reasoning_is_kept_apart(openai_client: OpenAI) -> None:
    answer = openai_client.responses.create(
        model=MODEL, input="hi", reasoning={"effort": "low", "summary": "auto"}
    )

    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.output[0].summary[0].text == "Let me think – 让我想想."
    assert answer.usage.output_tokens_details.reasoning_tokens == 8


def test_an_answer_fits_its_schema(openai_client: OpenAI) -> None:
    answer = openai_client.responses.parse(model=MODEL, input="hi", text_format=City)

    assert answer.output_parsed == City(city=CITY, people=3)


def test_an_image_goes_along_inline(openai_client: OpenAI) -> None:
    content = [
        {"type": "input_text", "text": "what is this?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
    ]
    answer = openai_client.responses.create(
        model=MODEL, input=[{"role": "user", "content": content}]
    )

    assert answer.output_text == SAID.format("what is this?")


def test_tokens_are_counted_beforehand(openai_client: OpenAI) -> None:
    assert openai_client.responses.input_tokens.count(model=MODEL, input="hi").input_tokens > 0


def test_the_async_client_works_as_well(gateway: Gateway, key: str) -> None:
    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=f"{gateway.proxy}/v1", api_key=key) as client:
            async with client.responses.stream(model=MODEL, input="hi") as stream:
                async for _ in stream:
                    pass
                return (await stream.get_final_response()).output_text

    assert asyncio.run(ask()) == SAID.format("hi")
