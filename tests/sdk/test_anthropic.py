"""The `anthropic` SDK."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import anthropic
import pytest
from anthropic import Anthropic
from gateway import Gateway
from samples import CITY, CLOCK, PIXEL, SAID, WEATHER, City

MODEL = "claude-sonnet-5"
HI = [{"role": "user", "content": "hi"}]
ASKED = {"model": MODEL, "max_tokens": 200, "messages": HI}
TOOLS = [
    {"name": "weather", "description": "The weather of a city.", "input_schema": WEATHER},
    {"name": "clock", "description": "The time in a zone.", "input_schema": CLOCK},
]


def test_a_message_is_answered(anthropic_client: Anthropic) -> None:
    answer = anthropic_client.messages.create(**ASKED, system="be brief")

    assert answer.content[0].text == SAID.format("hi")
    assert (answer.stop_reason, answer.model) == ("end_turn", MODEL)
    assert answer.usage.output_tokens > 0


def test_an_answer_is_cut_at_its_limit(anthropic_client: Anthropic) -> None:
    answer = anthropic_client.messages.create(**{**ASKED, "max_tokens": 2})

    assert (answer.stop_reason, answer.content[0].text) == ("max_tokens", "You said ")


def test_a_stream_arrives_whole(anthropic_client: Anthropic) -> None:
    with anthropic_client.messages.stream(**ASKED) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert text == final.content[0].text == SAID.format("hi")
    assert final.stop_reason == "end_turn" and final.usage.output_tokens > 1


def test_a_stream_is_read_event_by_event(anthropic_client: Anthropic, gateway: Gateway) -> None:
    raw = anthropic_client.messages.with_raw_response.create(**ASKED, stream=True)
    events = list(raw.parse())

    assert events[0].type == "message_start" and events[-1].type == "message_stop"
    entry = gateway.admin.entry(raw.headers["x-request-id"])
    assert (entry["dialect"], entry["outcome"]) == ("anthropic_messages", "completed")
    usage = events[0].message.usage
    cached = usage.cache_read_input_tokens
    written = usage.cache_creation_input_tokens
    assert entry["usage"]["input"] == usage.input_tokens + cached + written, entry
    assert (entry["usage"]["cached"], entry["usage"]["cache_written"]) == (cached, written)
    assert entry["usage"]["output"] == events[-2].usage.output_tokens


def test_a_tool_is_called_and_its_result_used(anthropic_client: Anthropic) -> None:
    messages: list = list(HI)
    asked = anthropic_client.messages.create(**ASKED, tools=TOOLS[:1])
    assert asked.stop_reason == "tool_use"
    (call,) = asked.content
    assert (call.name, call.input) == ("weather", {"city": CITY})

    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny ☀"}
    messages += [
        {"role": "assistant", "content": asked.content},
        {"role": "user", "content": [result]},
    ]
    answer = anthropic_client.messages.create(
        **{**ASKED, "messages": messages}, tools=TOOLS[:1]
    )
    assert answer.content[0].text == "The tool says: sunny ☀ – done."


def test_parallel_tool_calls_stream_piece_by_piece(anthropic_client: Anthropic) -> None:
    both = {**ASKED, "messages": [{"role": "user", "content": "do both"}]}
    with anthropic_client.messages.stream(**both, tools=TOOLS) as stream:
        pieces = sum(event.type == "input_json" for event in stream)
        calls = stream.get_final_message().content

    assert pieces > 2
    assert [(call.name, call.input) for call in calls] == [
        ("weather", {"city": CITY}),
        ("clock", {"zone": "Asia/Tokyo"}),
    ]


def test_the_tool_runner_goes_to_the_end(anthropic_client: Anthropic) -> None:
    @anthropic.beta_tool
    def weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: Its name.
        """
        return f"sunny in {city}"

    runner = anthropic_client.beta.messages.tool_runner(**ASKED, tools=[weather])
    assert runner.until_done().content[0].text == f"The tool says: sunny in {CITY} – done."


def test_an_answer_fits_its_schema(anthropic_client: Anthropic) -> None:
    answer = anthropic_client.messages.parse(**ASKED, output_format=City)

    assert answer.parsed_output == City(city=CITY, people=3)


def test_thinking_is_kept_apart(anthropic_client: Anthropic) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    asked = {**ASKED, "max_tokens": 2048, "thinking": thinking}
    with anthropic_client.messages.stream(**asked) as stream:
        blocks = stream.get_final_message().content

    assert [block.type for block in blocks] == ["thinking", "text"]
    assert blocks[0].thinking == "Let me think – 让我想想." and blocks[0].signature


def test_an_image_goes_along_inline(anthropic_client: Anthropic) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "what is this?"}]
    asked = {**ASKED, "messages": [{"role": "user", "content": content}]}

    answer = anthropic_client.messages.create(**asked)
    assert answer.content[0].text == SAID.format("what is this?")


def test_tokens_are_counted_beforehand(anthropic_client: Anthropic) -> None:
    assert anthropic_client.messages.count_tokens(model=MODEL, messages=HI).input_tokens > 0


def test_models_are_listed_and_found(anthropic_client: Anthropic) -> None:
    listed = [model.id for model in anthropic_client.models.list()]

    assert {"claude-sonnet-5", "claude-haiku-5"} <= set(listed)
    assert anthropic_client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(anthropic.NotFoundError):
        anthropic_client.models.retrieve("nobody-serves-this")


def test_the_request_id_leads_to_the_log_entry(
    anthropic_client: Anthropic, gateway: Gateway
) -> None:
    raw = anthropic_client.messages.with_raw_response.create(**ASKED)

    # This SDK looks for its own provider's name of the header.
    assert raw.headers["request-id"] == raw.headers["x-request-id"]
    assert raw.parse()._request_id == raw.headers["x-request-id"]
    entry = gateway.admin.entry(raw.headers["x-request-id"])
    assert (entry["status"], entry["upstream"]) == (200, "anthropic")
    assert entry["usage"]["output"] == raw.parse().usage.output_tokens


def test_the_key_may_also_be_an_auth_token(gateway: Gateway, key: str) -> None:
    with Anthropic(base_url=gateway.proxy, auth_token=key) as client:
        assert client.messages.create(**ASKED).content[0].text == SAID.format("hi")


def test_calls_at_once_do_not_mix(anthropic_client: Anthropic) -> None:
    def ask(number: int) -> bool:
        said = f"call {number}"
        asked = {**ASKED, "messages": [{"role": "user", "content": said}]}
        with anthropic_client.messages.stream(**asked) as stream:
            return stream.get_final_text() == SAID.format(said)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(48)))


def test_the_async_client_works_as_well(gateway: Gateway, key: str) -> None:
    async def ask() -> list[str]:
        async with anthropic.AsyncAnthropic(base_url=gateway.proxy, api_key=key) as client:

            async def one(number: int) -> str:
                asked = {**ASKED, "messages": [{"role": "user", "content": f"call {number}"}]}
                async with client.messages.stream(**asked) as stream:
                    return await stream.get_final_text()

            return list(await asyncio.gather(*(one(number) for number in range(20))))

    assert asyncio.run(ask()) == [SAID.format(f"call {number}") for number in range(20)]
