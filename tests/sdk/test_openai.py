"""The `openai` SDK: Chat Completions and everything beside it but the Responses."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

import openai
import pytest
from gateway import Gateway, Upstream, until
from openai import OpenAI
from samples import CITY, CLOCK, PIXEL, SAID, WEATHER, City

MODEL = "gpt-4o"
HI = [{"role": "user", "content": "hi"}]
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": WEATHER, "strict": True}},
    {"type": "function", "function": {"name": "clock", "parameters": CLOCK, "strict": True}},
]


def test_a_chat_is_answered(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(model=MODEL, messages=HI)

    assert answer.choices[0].message.content == SAID.format("hi")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL
    assert answer.usage and answer.usage.total_tokens > 0
    assert answer.usage.prompt_tokens_details.cached_tokens == answer.usage.prompt_tokens // 4


def test_several_choices_and_a_limit(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model=MODEL, messages=HI, n=2, max_completion_tokens=2
    )

    assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
    assert answer.choices[1].message.content == "You said "


def test_a_stream_arrives_whole_and_tells_no_usage_unasked(openai_client: OpenAI) -> None:
    chunks = list(openai_client.chat.completions.create(model=MODEL, messages=HI, stream=True))

    assert "".join(c.choices[0].delta.content or "" for c in chunks) == SAID.format("hi")
    assert chunks[-1].choices[0].finish_reason == "stop"
    # The gateway asks for usage on its own account; the client must not see it.
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_a_stream_tells_usage_when_asked(openai_client: OpenAI) -> None:
    chunks = list(
        openai_client.chat.completions.create(
            model=MODEL, messages=HI, stream=True, stream_options={"include_usage": True}
        )
    )

    *before, last = chunks
    assert last.usage and last.usage.total_tokens > 0 and last.choices == []
    assert all(chunk.usage is None for chunk in before)


def test_usage_is_entered_whether_the_client_asked_or_not(
    openai_client: OpenAI, gateway: Gateway
) -> None:
    create = openai_client.chat.completions.with_raw_response.create
    for options in ({}, {"stream_options": {"include_usage": True}}):
        raw = create(model=MODEL, messages=HI, stream=True, **options)
        assert list(raw.parse())
        entry = gateway.admin.entry(raw.headers["x-request-id"])
        assert entry["usage_source"] == "reported", entry
        assert entry["usage"]["input"] > 0 and entry["usage"]["output"] > 0, entry
        assert entry["streamed"] and entry["outcome"] == "completed", entry


def test_a_tool_is_called_and_its_result_used(openai_client: OpenAI) -> None:
    messages = list(HI)
    asked = openai_client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS[:1])
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    (call,) = message.tool_calls
    assert call.function.name == "weather" and CITY in call.function.arguments

    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "sunny ☀"}]
    answer = openai_client.chat.completions.create(
        model=MODEL, messages=messages, tools=TOOLS[:1]
    )
    assert answer.choices[0].message.content == "The tool says: sunny ☀ – done."


def test_parallel_tool_calls_stream_piece_by_piece(openai_client: OpenAI) -> None:
    with openai_client.chat.completions.stream(
        model=MODEL, messages=[{"role": "user", "content": "do both"}], tools=TOOLS
    ) as stream:
        kinds = [event.type for event in stream]
        calls = stream.get_final_completion().choices[0].message.tool_calls

    assert kinds.count("tool_calls.function.arguments.done") == 2
    assert [call.function.name for call in calls] == ["weather", "clock"]
    assert calls[0].function.parsed_arguments == {"city": CITY}
    assert calls[1].function.parsed_arguments == {"zone": "Asia/Tokyo"}


def test_an_answer_fits_its_schema(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.parse(
        model=MODEL, messages=HI, response_format=City
    )

    assert answer.choices[0].message.parsed == City(city=CITY, people=3)


def test_an_image_goes_along_inline(openai_client: OpenAI) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    content = [{"type": "text", "text": "what is this?"}, image]
    answer = openai_client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": content}]
    )

    assert answer.choices[0].message.content == SAID.format("what is this?")


def test_a_megabyte_of_prompt_goes_along(openai_client: OpenAI) -> None:
    messages = [{"role": "user", "content": "文" * 400_000}]
    answer = openai_client.chat.completions.create(model=MODEL, messages=messages)

    assert answer.usage.prompt_tokens > 250_000


def test_texts_become_vectors(openai_client: OpenAI) -> None:
    # The SDK asks for base64 on its own and unpacks it.
    made = openai_client.embeddings.create(
        model="text-embedding-3-small", input=["a", "b"], dimensions=16
    )
    plain = openai_client.embeddings.create(
        model="text-embedding-3-small", input="a", dimensions=16, encoding_format="float"
    )

    assert [len(item.embedding) for item in made.data] == [16, 16]
    assert made.data[0].embedding == plain.data[0].embedding
    assert made.usage.total_tokens > 0


def test_models_are_listed_and_found(openai_client: OpenAI) -> None:
    listed = {model.id for model in openai_client.models.list()}

    assert {"gpt-4o", "text-embedding-3-small", "claude-sonnet-5", "gemini-3-flash"} <= listed
    assert openai_client.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("nobody-serves-this")


def test_a_model_of_several_upstreams_is_found_by_its_whole_name(
    openai_client: OpenAI, upstream: Callable[..., Upstream]
) -> None:
    one = upstream("openai", "sk-one", models=["of-several"])
    two = upstream("openai", "sk-two", models=["of-several"])
    names = {f"{place.name}/of-several" for place in (one, two)}
    until("both are served", lambda: names <= {model.id for model in openai_client.models.list()})

    for name in names:
        # The SDK writes the slash as %2F.
        assert openai_client.models.retrieve(name).id == name
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.chat.completions.create(model="of-several", messages=HI)
    assert refused.value.code == "ambiguous_model" and one.name in str(refused.value)


def test_a_model_is_asked_for_under_its_upstream(openai_client: OpenAI, gateway: Gateway) -> None:
    raw = openai_client.chat.completions.with_raw_response.create(
        model="openai/gpt-4o-mini", messages=HI
    )

    assert raw.parse().model == "gpt-4o-mini"
    entry = gateway.admin.entry(raw.headers["x-request-id"])
    assert entry["model_asked"] == "openai/gpt-4o-mini" and entry["model_used"] == "gpt-4o-mini"
    assert (entry["upstream"], entry["dialect"]) == ("openai", "openai_chat")


def test_speech_comes_back_as_bytes(openai_client: OpenAI) -> None:
    wanted = {"model": "tts-1", "voice": "alloy", "input": "Hello"}
    whole = openai_client.audio.speech.create(**wanted).read()
    with openai_client.audio.speech.with_streaming_response.create(**wanted) as response:
        streamed = b"".join(response.iter_bytes())

    assert whole == streamed == bytes(range(256)) * 64


def test_speech_is_written_down(openai_client: OpenAI) -> None:
    sound = ("hello.mp3", bytes(range(256)) * 100, "audio/mpeg")
    written = openai_client.audio.transcriptions.create(model="gpt-4o", file=sound)
    text = openai_client.audio.transcriptions.create(
        model="gpt-4o", file=sound, response_format="text"
    )

    assert written.text == "Hello from the mock."
    assert text == "Hello from the mock.\n"


def test_files_go_up_and_down(openai_client: OpenAI) -> None:
    # Larger than what is held for another attempt: it streams through.
    content = b'{"line": 1}\n' * 400_000
    sent = openai_client.files.create(purpose="batch", file=("batch.jsonl", content))

    assert sent.bytes > len(content)
    assert openai_client.files.content("file-mock1").read() == b"the file's content\n"
    assert [file.id for file in openai_client.files.list()] == ["file-mock1", "file-mock2"]
    assert openai_client.files.delete("file-mock1").deleted


def test_images_are_made_and_changed(openai_client: OpenAI) -> None:
    made = openai_client.images.generate(model="gpt-image-1", prompt="a white pixel")
    changed = openai_client.images.edit(
        model="gpt-image-1", prompt="whiter", image=("pixel.png", b"\x89PNG", "image/png")
    )

    assert made.data[0].b64_json == changed.data[0].b64_json == PIXEL


def test_texts_are_moderated(openai_client: OpenAI) -> None:
    assert not openai_client.moderations.create(input="hi").results[0].flagged


def test_the_request_id_leads_to_the_log_entry(openai_client: OpenAI, gateway: Gateway) -> None:
    answer = openai_client.chat.completions.create(model=MODEL, messages=HI)

    entry = gateway.admin.entry(answer._request_id)
    assert entry["request_id"] == answer._request_id
    assert (entry["status"], entry["outcome"]) == (200, "completed")
    assert entry["model_used"] == MODEL and entry["provider_key"].startswith("Key ")
    assert entry["usage"]["input"] == answer.usage.prompt_tokens
    assert entry["usage"]["output"] == answer.usage.completion_tokens
    assert entry["service_key_name"] == "the SDK tests"


def test_calls_at_once_do_not_mix(openai_client: OpenAI) -> None:
    def ask(number: int) -> bool:
        messages = [{"role": "user", "content": f"call {number}"}]
        if number % 2:
            answer = openai_client.chat.completions.create(model=MODEL, messages=messages)
            return answer.choices[0].message.content == SAID.format(f"call {number}")
        chunks = openai_client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        return text == SAID.format(f"call {number}")

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(64)))


def test_the_async_client_works_as_well(gateway: Gateway, key: str) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{gateway.proxy}/v1", api_key=key) as client:

            async def one(number: int) -> str:
                messages = [{"role": "user", "content": f"call {number}"}]
                stream = await client.chat.completions.create(
                    model=MODEL, messages=messages, stream=True
                )
                return "".join([c.choices[0].delta.content or "" async for c in stream])

            return list(await asyncio.gather(*(one(number) for number in range(20))))

    assert asyncio.run(ask()) == [SAID.format(f"call {number}") for number in range(20)]


def test_the_same_sdk_works_through_the_opaque_door(gateway: Gateway, key: str) -> None:
    with OpenAI(base_url=f"{gateway.proxy}/proxy/openai/v1", api_key=key) as client:
        answer = client.chat.completions.create(model=MODEL, messages=HI)
        stream = client.chat.completions.create(
            model=MODEL, messages=HI, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)

    assert answer.choices[0].message.content == SAID.format("hi")
    assert chunks[-1].usage and chunks[-2].choices[0].finish_reason == "stop"
