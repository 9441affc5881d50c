"""The `google-genai` SDK."""

from __future__ import annotations

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor

import pytest
from gateway import Gateway
from google import genai
from google.genai import errors, types
from samples import CITY, CLOCK, PIXEL, SAID, WEATHER, City

MODEL = "gemini-3-flash"
NO_AUTO = types.AutomaticFunctionCallingConfig(disable=True)
TOOLS = [
    types.Tool(
        function_declarations=[
            types.FunctionDeclaration(name="weather", parameters_json_schema=WEATHER),
            types.FunctionDeclaration(name="clock", parameters_json_schema=CLOCK),
        ]
    )
]


def request_id(answer: object) -> str:
    """The `x-request-id` of an answer, or of the last piece of a stream."""
    headers = {k.lower(): v for k, v in answer.sdk_http_response.headers.items()}
    return headers["x-request-id"]


def test_content_is_generated(gemini_client: genai.Client, gateway: Gateway) -> None:
    answer = gemini_client.models.generate_content(model=MODEL, contents="hi")

    assert answer.text == SAID.format("hi")
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    entry = gateway.admin.entry(request_id(answer))
    assert (entry["dialect"], entry["upstream"]) == ("gemini", "gemini")
    assert entry["model_used"] == MODEL and entry["outcome"] == "completed"
    assert entry["usage"]["input"] == answer.usage_metadata.prompt_token_count
    assert entry["usage"]["output"] == answer.usage_metadata.candidates_token_count


def test_a_stream_arrives_whole(gemini_client: genai.Client, gateway: Gateway) -> None:
    pieces = list(gemini_client.models.generate_content_stream(model=MODEL, contents="hi"))

    assert "".join(piece.text for piece in pieces) == SAID.format("hi")
    assert pieces[-1].candidates[0].finish_reason == types.FinishReason.STOP
    entry = gateway.admin.entry(request_id(pieces[-1]))
    assert entry["streamed"] and entry["outcome"] == "completed"
    assert entry["usage"]["output"] == pieces[-1].usage_metadata.candidates_token_count


def test_a_tool_is_called_and_its_result_used(gemini_client: genai.Client) -> None:
    config = types.GenerateContentConfig(tools=TOOLS, automatic_function_calling=NO_AUTO)
    said = types.Content(role="user", parts=[types.Part(text="hi")])
    asked = gemini_client.models.generate_content(model=MODEL, contents=[said], config=config)
    (call,) = asked.function_calls
    assert (call.name, call.args) == ("weather", {"city": CITY})

    result = types.Part.from_function_response(name="weather", response={"sky": "sunny ☀"})
    contents = [
        said,
        asked.candidates[0].content,
        types.Content(role="user", parts=[result]),
    ]
    answer = gemini_client.models.generate_content(model=MODEL, contents=contents, config=config)
    assert answer.text == 'The tool says: {"sky":"sunny ☀"} – done.'


def test_parallel_tool_calls_stream(gemini_client: genai.Client) -> None:
    config = types.GenerateContentConfig(tools=TOOLS, automatic_function_calling=NO_AUTO)
    stream = gemini_client.models.generate_content_stream(
        model=MODEL, contents="do both", config=config
    )
    calls = [call for piece in stream for call in piece.function_calls or []]

    assert [(call.name, call.args) for call in calls] == [
        ("weather", {"city": CITY}),
        ("clock", {"zone": "Asia/Tokyo"}),
    ]


def test_functions_are_called_by_the_sdk_itself(gemini_client: genai.Client) -> None:
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"sunny in {city}"

    chat = gemini_client.chats.create(
        model=MODEL, config=types.GenerateContentConfig(tools=[weather])
    )
    assert chat.send_message("hi").text == (
        f'The tool says: {{"result":"sunny in {CITY}"}} – done.'
    )


def test_a_chat_goes_on(gemini_client: genai.Client) -> None:
    chat = gemini_client.chats.create(model=MODEL)
    chat.send_message("one")
    assert chat.send_message("two").text == SAID.format("two")
    assert "".join(p.text for p in chat.send_message_stream("three")) == SAID.format("three")


def test_an_answer_fits_its_schema(gemini_client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=City
    )
    answer = gemini_client.models.generate_content(model=MODEL, contents="hi", config=config)

    assert answer.parsed == City(city=CITY, people=3)


def test_thinking_is_kept_apart(gemini_client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True)
    )
    answer = gemini_client.models.generate_content(model=MODEL, contents="hi", config=config)

    first, second = answer.candidates[0].content.parts
    assert first.thought and first.text == "Let me think – 让我想想."
    assert second.text == SAID.format("hi")
    assert answer.usage_metadata.thoughts_token_count == 8


def test_an_image_goes_along_inline(gemini_client: genai.Client) -> None:
    image = types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png")
    answer = gemini_client.models.generate_content(
        model=MODEL, contents=[image, "what is this?"]
    )

    assert answer.text == SAID.format("what is this?")


def test_tokens_are_counted_beforehand(gemini_client: genai.Client) -> None:
    assert gemini_client.models.count_tokens(model=MODEL, contents="hi").total_tokens > 0


def test_texts_become_vectors(gemini_client: genai.Client) -> None:
    made = gemini_client.models.embed_content(
        model="gemini-embedding-001",
        contents=["a", "b"],
        config=types.EmbedContentConfig(output_dimensionality=16),
    )

    assert [len(vector.values) for vector in made.embeddings] == [16, 16]


def test_models_are_listed_and_found(gemini_client: genai.Client) -> None:
    listed = {model.name for model in gemini_client.models.list()}

    assert {"models/gemini-3-flash", "models/gemini-embedding-001"} <= listed
    assert gemini_client.models.get(model=MODEL).name == f"models/{MODEL}"
    with pytest.raises(errors.ClientError) as refused:
        gemini_client.models.get(model="nobody-serves-this")
    assert refused.value.code == 404


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_both_versions_of_the_api_are_served(gateway: Gateway, key: str, version: str) -> None:
    options = types.HttpOptions(base_url=gateway.proxy, api_version=version)
    client = genai.Client(api_key=key, http_options=options)

    assert client.models.generate_content(model=MODEL, contents="hi").text == SAID.format("hi")
    assert client.models.count_tokens(model=MODEL, contents="hi").total_tokens > 0
    assert client.models.get(model=MODEL).name == f"models/{MODEL}"
    assert f"models/{MODEL}" in [model.name for model in client.models.list()]


def test_a_model_is_asked_for_under_its_upstream(
    gemini_client: genai.Client, gateway: Gateway
) -> None:
    answer = gemini_client.models.generate_content(
        model=f"models/gemini/{MODEL}", contents="hi"
    )

    assert answer.model_version == MODEL
    assert gateway.admin.entry(request_id(answer))["model_used"] == MODEL


def test_calls_at_once_do_not_mix(gemini_client: genai.Client) -> None:
    def ask(number: int) -> bool:
        said = f"call {number}"
        stream = gemini_client.models.generate_content_stream(model=MODEL, contents=said)
        return "".join(piece.text for piece in stream) == SAID.format(said)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(48)))


def test_the_async_client_works_as_well(gateway: Gateway, key: str) -> None:
    async def ask() -> list[str]:
        options = types.HttpOptions(base_url=gateway.proxy)
        async with genai.Client(api_key=key, http_options=options).aio as client:

            async def one(number: int) -> str:
                stream = await client.models.generate_content_stream(
                    model=MODEL, contents=f"call {number}"
                )
                return "".join([piece.text async for piece in stream])

            return list(await asyncio.gather(*(one(number) for number in range(20))))

    assert asyncio.run(ask()) == [SAID.format(f"call {number}") for number in range(20)]
