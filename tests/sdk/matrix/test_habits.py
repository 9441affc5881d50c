"""What people's programs do beside the usual, each with the SDK in which they do it, before every
model."""

from __future__ import annotations

import base64
import json
from typing import Any, Literal

import anthropic
import openai
import pytest
from clients import Asked, Client
from google import genai
from google.genai import types
from pydantic import BaseModel
from samples import CITY, PIXEL, SAID
from test_matrix import TARGETS, dialect, on_every_target, whole_and_streamed

PDF = base64.b64encode(b"%PDF-1.4 a page of nothing").decode()
HI = [{"role": "user", "content": "hi"}]


class Place(BaseModel):
    """A schema with all that vendors stumble over: references, nulls, choices, defaults."""

    class Spot(BaseModel):
        latitude: float
        longitude: float | None = None

    name: str
    kind: Literal["town", "village"] = "town"
    spot: Spot
    others: list[Spot] = []
    note: str | int | None = None


@pytest.fixture
def openai_client(clients: dict[str, Client]) -> openai.OpenAI:
    return clients["chat"].client


@pytest.fixture
def anthropic_client(clients: dict[str, Client]) -> anthropic.Anthropic:
    return clients["anthropic"].client


@pytest.fixture
def gemini_client(clients: dict[str, Client]) -> genai.Client:
    return clients["gemini"].client


@on_every_target
def test_a_tool_answers_with_an_image_or_an_error(
    anthropic_client: anthropic.Anthropic, target: str
) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    image = {"type": "image", "source": source}
    calls = [
        {"type": "tool_use", "id": f"toolu_{n}", "name": "look", "input": {"at": n}}
        for n in range(3)
    ]
    results = [
        {"tool_use_id": "toolu_0", "content": [{"type": "text", "text": "a pixel"}, image]},
        {"tool_use_id": "toolu_1", "content": "no such place", "is_error": True},
        {"tool_use_id": "toolu_2"},
    ]
    messages = [
        *HI,
        {"role": "assistant", "content": [{"type": "text", "text": "Let me look."}, *calls]},
        {
            "role": "user",
            "content": [
                *({"type": "tool_result", **result} for result in results),
                {"type": "text", "text": "<system-reminder>be quick</system-reminder>"},
            ],
        },
    ]
    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    answer = anthropic_client.messages.create(
        model=target, max_tokens=4000, messages=messages, tools=tools
    )

    assert "a pixel" in answer.content[-1].text and "no such place" in answer.content[-1].text


@on_every_target
def test_instructions_come_in_the_middle(openai_client: openai.OpenAI, target: str) -> None:
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "system", "content": [{"type": "text", "text": "be kind"}]},
        {"role": "user", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "two"}]},
        {"role": "assistant", "content": ""},
        {"role": "system", "content": "be honest"},
        {"role": "assistant", "content": "three"},
        {"role": "developer", "content": "be quick"},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "be brave"},
    ]
    answer = openai_client.chat.completions.create(model=target, messages=messages)
    assert answer.choices[0].message.content == SAID.format("hi")

    roles = {"model": "assistant"}
    items: list[Any] = [{**m, "role": roles.get(m["role"], m["role"])} for m in messages]
    items = [{"role": item["role"], "content": flat(item["content"])} for item in items]
    response = openai_client.responses.create(model=target, input=items, instructions="be good")
    assert response.output_text == SAID.format("hi")


def flat(content: Any) -> str:
    return content if isinstance(content, str) else content[0]["text"]


@on_every_target
@whole_and_streamed
def test_names_may_be_as_long_and_odd_as_the_client_allows(
    clients: dict[str, Client], target: str, stream: bool
) -> None:
    long = "mcp__a-server-with-a-long-name__" + "and_a_tool_with_a_name_that_is_longer_still_" * 2
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    if dialect(target) != "anthropic":
        create = clients["anthropic"].client.messages.create
        answer = create(
            model=target,
            max_tokens=4000,
            messages=HI,
            tools=[{"name": long, "input_schema": schema}],
            tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        )
        (call,) = [block for block in answer.content if block.type == "tool_use"]
        assert call.name == long
    if dialect(target) == "gemini":
        return
    declared = [types.FunctionDeclaration(name="home.lights:off", parameters_json_schema=schema)]
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=declared)],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    models = clients["gemini"].client.models
    given = {"model": target, "contents": "hi", "config": config}
    pieces = models.generate_content_stream(**given) if stream else [models.generate_content(**given)]
    names = [call.name for piece in pieces for call in piece.function_calls or []]
    assert names == ["home.lights:off"]


FREE = 'free "text"\nfor the tool'


@on_every_target
@whole_and_streamed
def test_a_tool_takes_any_text(openai_client: openai.OpenAI, target: str, stream: bool) -> None:
    said = f"call write {json.dumps({'input': FREE})} then write {json.dumps({'input': 'x'})}"
    history: list[Any] = [{"role": "user", "content": said}]
    tools = [{"type": "custom", "name": "write", "description": "Takes any text."}]
    inputs: list[str] = []
    while len(inputs) < 5:
        given = {"model": target, "input": history, "tools": tools}
        if stream:
            with openai_client.responses.stream(**given) as events:
                pieces = [e for e in events if e.type == "response.custom_tool_call_input.delta"]
                answer = events.get_final_response()
        else:
            pieces, answer = [], openai_client.responses.create(**given)
        calls = [item for item in answer.output if item.type == "custom_tool_call"]
        if not calls:
            break
        inputs += [call.input for call in calls]
        if stream:
            assert "".join(piece.delta for piece in pieces) == calls[0].input
        history += answer.output
        for call in calls:
            output = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "done"}
            history.append(output)

    assert inputs == [FREE, "x"]
    assert answer.output_text.count("done") == 3


@on_every_target
def test_a_document_goes_along(clients: dict[str, Client], target: str) -> None:
    url = f"data:application/pdf;base64,{PDF}"
    file = {"type": "file", "file": {"file_data": url, "filename": "page.pdf"}}
    content = [{"type": "text", "text": "what is this?"}, file]
    client = clients["chat"].client
    chat = client.chat.completions.create(
        model=target, messages=[{"role": "user", "content": content}]
    )
    input_file = {"type": "input_file", "file_data": url, "filename": "page.pdf"}
    content = [{"type": "input_text", "text": "what is this?"}, input_file]
    response = client.responses.create(model=target, input=[{"role": "user", "content": content}])
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    document = {"type": "document", "source": source, "title": "page.pdf"}
    content = [document, {"type": "text", "text": "what is this?"}]
    message = clients["anthropic"].client.messages.create(
        model=target, max_tokens=4000, messages=[{"role": "user", "content": content}]
    )
    part = types.Part.from_bytes(data=base64.b64decode(PDF), mime_type="application/pdf")
    generated = clients["gemini"].client.models.generate_content(
        model=target, contents=[part, "what is this?"]
    )

    said = SAID.format("what is this?")
    assert chat.choices[0].message.content == response.output_text == said
    assert message.content[-1].text == generated.text == said


@on_every_target
def test_any_schema_that_people_derive_is_understood(
    clients: dict[str, Client], target: str
) -> None:
    schema = Place.model_json_schema()
    chat = clients["chat"].client.chat.completions.create(
        model=target,
        messages=HI,
        tools=[{"type": "function", "function": {"name": "visit", "parameters": schema}}],
    )
    (call,) = chat.choices[0].message.tool_calls
    assert Place.model_validate_json(call.function.arguments).kind == "town"
    message = clients["anthropic"].client.messages.create(
        model=target,
        max_tokens=4000,
        messages=HI,
        tools=[{"name": "visit", "input_schema": schema}],
    )
    assert Place.model_validate(message.content[-1].input).spot
    if dialect(target) != "gemini":
        config = types.GenerateContentConfig(
            response_mime_type="application/json", response_json_schema=schema
        )
        answer = clients["gemini"].client.models.generate_content(
            model=target, contents="hi", config=config
        )
        assert Place.model_validate_json(answer.text).name


@on_every_target
def test_what_a_model_does_not_take_is_left_out_and_named(
    clients: dict[str, Client], target: str
) -> None:
    if dialect(target) == "chat":
        pytest.skip("nothing is left out where nothing is converted")
    raw = clients["chat"].client.chat.completions.with_raw_response.create(
        model=target,
        messages=HI,
        temperature=0.2,
        top_p=0.9,
        seed=7,
        presence_penalty=0.1,
        logit_bias={"1": 1},
        stop=["END"],
        user="someone",
        metadata={"a": "b"},
        store=False,
        n=1,
        parallel_tool_calls=True,
        extra_body={"top_k": 4, "something_new": {"a": 1}},
    )

    assert raw.parse().choices[0].message.content == SAID.format("hi")
    dropped = raw.headers["x-tollgate-dropped"].split(", ")
    assert {"logit_bias", "something_new"} <= set(dropped)
    assert not {"user", "metadata", "store", "n", "parallel_tool_calls"} & set(dropped)
    sampled = TARGETS["targets"][target]["profile"].get("sampling_params", True)
    assert ("temperature" in dropped) != sampled


@on_every_target
def test_the_sdk_calls_functions_by_itself(clients: dict[str, Client], target: str) -> None:
    def weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: Its name.
        """
        return f"sunny in {city}"

    if dialect(target) == "gemini" and target.endswith("older"):
        pytest.skip("its SDK sends schemas that this model is said not to take")
    chat = clients["gemini"].client.chats.create(
        model=target, config=types.GenerateContentConfig(tools=[weather])
    )
    assert f"sunny in {CITY}" in chat.send_message("hi").text
    assert chat.send_message("thank you").text
    if dialect(target) == "anthropic":
        return
    # It would leave the conversation with Anthropic, and takes no for an answer.
    runner = clients["anthropic"].client.beta.messages.tool_runner(
        model=target, max_tokens=4000, messages=HI, tools=[anthropic.beta_tool(weather)]
    )
    assert f"sunny in {CITY}" in runner.until_done().content[-1].text


@on_every_target
def test_a_talk_goes_on(client: Client, target: str) -> None:
    if client.name == "gemini":
        chat = client.client.chats.create(model=target)
        assert chat.send_message("one").text == SAID.format("one")
        assert chat.send_message("two").text == SAID.format("two")
        assert "".join(p.text or "" for p in chat.send_message_stream("three")) == SAID.format("three")
        return
    history = client.opening(Asked("one"))
    for text in ("two", "three"):
        client.turn(target, Asked("", think=target != "chat"), history)
        history += client.opening(Asked(text))
    assert client.turn(target, Asked("", stream=True), history).text == SAID.format("three")


@on_every_target
def test_a_long_input_of_a_tool_comes_whole(client: Client, target: str) -> None:
    long = "“x” \\ 🚀\n" * 300
    asked = Asked(f'call weather {json.dumps({"city": long})}', tools=("weather",), stream=True)
    told = client.ask(target, asked)

    assert told.calls == [("weather", {"city": long})]
