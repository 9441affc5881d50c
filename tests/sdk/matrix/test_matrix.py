"""Every SDK before every dialect of an upstream: the same conversations, whatever is in between.

The providers refuse what the real ones would (see `crates/mock`), so that an answer at all already
says that the request was well said in the provider's dialect.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from clients import Asked, Client
from samples import CITY, SAID, City

TARGETS = json.loads((Path(__file__).parents[2] / "targets.json").read_text())
# Where the providers are a mock of somebody else, it plays only some of the targets.
FOREIGN = "TOLLGATE_ONLY" in os.environ
ALL = os.environ.get("TOLLGATE_ONLY", " ".join(TARGETS["targets"])).split()
NATURAL = {"chat": "stop", "responses": "completed", "anthropic": "end_turn", "gemini": "STOP"}
CALLED = {**NATURAL, "chat": "tool_calls", "anthropic": "tool_use"}
CUT = {
    "chat": "length",
    "responses": "max_output_tokens",
    "anthropic": "max_tokens",
    "gemini": "MAX_TOKENS",
}
THOUGHT = "Let me think – 让我想想."
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen"

on_every_target = pytest.mark.parametrize("target", ALL)
not_by_others = pytest.mark.skipif(FOREIGN, reason="a mock of somebody else does not play this")
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def dialect(name: str) -> str:
    """Whose client a target would need no conversion for."""
    spoken = TARGETS["targets"][name]["dialect"]
    return {"openai_chat": "chat", "openai_responses": "responses", "anthropic_messages": "anthropic"}.get(
        spoken, "gemini"
    )


@pytest.fixture(autouse=True)
def converted(request: pytest.FixtureRequest, client: Client) -> None:
    target = request.node.callspec.params["target"]
    if FOREIGN and dialect(target) == client.name:
        pytest.skip("what is not converted shows only what that mock can do")


@on_every_target
@whole_and_streamed
def test_a_question_is_answered(client: Client, target: str, stream: bool) -> None:
    told = client.ask(target, Asked("hi", system="be brief", stream=stream))

    assert told.text == SAID.format("hi")
    assert told.finish == NATURAL[client.name]
    assert told.input > 10 and told.output > 5
    same = dialect(target) == client.name
    assert told.model == (TARGETS["targets"][target]["model"] if same else target)


@not_by_others
@on_every_target
@whole_and_streamed
def test_an_answer_is_cut_at_its_limit(client: Client, target: str, stream: bool) -> None:
    told = client.ask(target, Asked(LONG, limit=16, stream=stream))

    assert told.text and SAID.format(LONG).startswith(told.text)
    assert told.finish == CUT[client.name]


@on_every_target
@whole_and_streamed
@pytest.mark.parametrize("think", [False, True], ids=["", "thinking"])
def test_tools_are_called_turn_after_turn(
    client: Client, target: str, stream: bool, think: bool
) -> None:
    if think and target == client.name == "chat":
        pytest.skip("a model that does not reason says so, where nothing is converted")
    said = 'call weather {"city": "Kyōto"} then clock {"zone": "UTC"} then weather {"city": "奈良"}'
    asked = Asked(said, tools=("weather", "clock"), stream=stream, think=think)
    told = client.loop(target, asked, lambda name, given: f"{name} of {[*given.values()][0]} ☀")

    assert [turn.calls for turn in told] == [
        [("weather", {"city": "Kyōto"})],
        [("clock", {"zone": "UTC"})],
        [("weather", {"city": "奈良"})],
        [],
    ]
    assert {turn.finish for turn in told[:-1]} == {CALLED[client.name]}
    for result in ("weather of Kyōto ☀", "clock of UTC ☀", "weather of 奈良 ☀"):
        assert result in told[-1].text
    assert told[-1].finish == NATURAL[client.name]


@on_every_target
@whole_and_streamed
def test_tools_are_called_at_once(client: Client, target: str, stream: bool) -> None:
    said = 'call weather {"city": "a"} and weather {"city": "b"} and clock {"zone": "UTC"}'
    asked = Asked(said, tools=("weather", "clock"), stream=stream)
    told = client.loop(target, asked, lambda name, given: f"<{name} {[*given.values()][0]}>")

    assert [turn.calls for turn in told] == [
        [("weather", {"city": "a"}), ("weather", {"city": "b"}), ("clock", {"zone": "UTC"})],
        [],
    ]
    places = [told[-1].text.index(said) for said in ("<weather a>", "<weather b>", "<clock UTC>")]
    assert places == sorted(places)


@not_by_others
@on_every_target
@whole_and_streamed
def test_a_tool_is_named_or_forbidden(client: Client, target: str, stream: bool) -> None:
    asked = Asked("hi", tools=("weather", "clock"), choice="clock", stream=stream)
    if TARGETS["targets"][target]["profile"].get("forced_tool_choice", True):
        assert [name for name, _ in client.ask(target, asked).calls] == ["clock"]
    asked.choice = "none"
    told = client.ask(target, asked)
    assert not told.calls and told.text == SAID.format("hi")


@on_every_target
@whole_and_streamed
def test_an_image_goes_along(client: Client, target: str, stream: bool) -> None:
    told = client.ask(target, Asked("what is this?", image=True, stream=stream))

    assert told.text == SAID.format("what is this?")


@on_every_target
def test_an_answer_fits_its_schema(client: Client, target: str) -> None:
    told = client.ask(target, Asked("A city, please.", schema=City))

    assert told.parsed == City(city=CITY, people=3)
    streamed = client.ask(target, Asked("A city, please.", schema=City, stream=True))
    assert City.model_validate_json(streamed.text) == told.parsed


@on_every_target
@whole_and_streamed
def test_thinking_is_kept_apart(client: Client, target: str, stream: bool) -> None:
    asked = Asked("hi", think=True, stream=stream)
    if target == client.name == "chat":
        # Nothing is left out of a request that needs no conversion.
        with pytest.raises(client.statuses[400]):
            client.ask(target, asked)
        return
    told = client.ask(target, asked)

    assert told.text == SAID.format("hi")
    if target == "chat":
        assert not told.thought
        assert told.headers["x-tollgate-dropped"]
        return
    # OpenAI does not tell its thoughts in Chat Completions.
    assert told.thought == ("" if target == "chat-reasoning" else THOUGHT)
    assert FOREIGN or told.reasoning == 8


@not_by_others
@on_every_target
def test_tokens_are_counted(client: Client, target: str) -> None:
    if client.name == "chat":
        pytest.skip("Chat Completions count nothing")
    assert client.count(target, "How many tokens are there in this?") > 5
