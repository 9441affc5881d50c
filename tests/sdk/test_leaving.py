"""A client that leaves in the middle: the provider is let go, and the call is entered all the same."""

from __future__ import annotations

import asyncio
from typing import Callable

import anthropic
import openai
import pytest
from gateway import Gateway, Upstream
from google import genai
from google.genai import types

HI = [{"role": "user", "content": "hi"}]
# Ten seconds, of which nobody waits for more than the first moments.
SLOW = "pace=20.events=500"

Make = Callable[..., Upstream]


def left(gateway: Gateway, request_id: str) -> None:
    entry = gateway.admin.entry(request_id)
    assert entry["outcome"] == "client_gone", entry
    assert entry["status"] == 200 and entry["streamed"], entry
    assert 0 < entry["latency_ms"] < 10_000, entry
    assert entry["bytes_out"] > 0, entry


def test_openai(openai_client: openai.OpenAI, gateway: Gateway, upstream: Make) -> None:
    place = upstream("openai", f"openai.{SLOW}")
    raw = openai_client.chat.completions.with_raw_response.create(
        model=place.model, messages=HI, stream=True
    )
    stream = raw.parse()
    assert next(iter(stream)).choices
    stream.close()

    left(gateway, raw.headers["x-request-id"])


def test_openai_async(gateway: Gateway, key: str, upstream: Make) -> None:
    place = upstream("openai", f"openai.{SLOW}")

    async def leave() -> str:
        async with openai.AsyncOpenAI(base_url=f"{gateway.proxy}/v1", api_key=key) as client:
            stream = await client.responses.create(model=place.model, input="hi", stream=True)
            reading = asyncio.create_task(_drain(stream))
            await asyncio.wait([reading], timeout=0.3)
            assert reading.cancel()
            request_id = stream.response.headers["x-request-id"]
            await asyncio.gather(reading, return_exceptions=True)
            await stream.close()
            return request_id

    left(gateway, asyncio.run(leave()))


async def _drain(stream: openai.AsyncStream) -> None:
    async for _ in stream:
        pass


def test_anthropic(
    anthropic_client: anthropic.Anthropic, gateway: Gateway, upstream: Make
) -> None:
    place = upstream("anthropic", f"anthropic.{SLOW}")
    with anthropic_client.messages.stream(
        model=place.model, max_tokens=1000, messages=HI
    ) as stream:
        assert next(iter(stream.text_stream))
        request_id = stream.response.headers["x-request-id"]

    left(gateway, request_id)
    # What the provider had told by then is entered.
    assert gateway.admin.entry(request_id)["usage"]["input"] > 0


def test_gemini(gemini_client: genai.Client, gateway: Gateway, upstream: Make) -> None:
    place = upstream("gemini", f"gemini.{SLOW}")
    stream = gemini_client.models.generate_content_stream(model=place.model, contents="hi")
    first = next(stream)
    headers = {k.lower(): v for k, v in first.sdk_http_response.headers.items()}
    stream.close()

    left(gateway, headers["x-request-id"])


def test_a_client_that_gives_up_before_the_answer(
    gateway: Gateway, key: str, upstream: Make
) -> None:
    place = upstream("openai", "openai.hang")
    client = openai.OpenAI(base_url=f"{gateway.proxy}/v1", api_key=key, max_retries=0, timeout=3.0)
    with client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(
            model=place.model, messages=HI, extra_headers={"x-request-id": "gave-up-1"}
        )

    entry = gateway.admin.entry("gave-up-1")
    assert entry["outcome"] == "client_gone" and entry["attempts"], entry
