"""The official `anthropic` client."""

import anthropic
import pytest

MODEL = "anthropic/claude-sonnet-4-5"
HELLO = [{"role": "user", "content": "Say hello, 你好."}]


def test_a_message_is_answered_and_counted(claude):
    done = claude.messages.create(model=MODEL, max_tokens=64, messages=HELLO)
    assert done.content[0].text
    assert done.usage.output_tokens > 0


def test_a_message_streams_to_its_end(claude):
    with claude.messages.stream(model=MODEL, max_tokens=64, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        done = stream.get_final_message()
    assert text
    assert done.stop_reason == "end_turn"
    assert done.usage.output_tokens > 0


def test_a_tool_is_called(claude):
    tool = {"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}
    done = claude.messages.create(model=MODEL, max_tokens=64, messages=HELLO, tools=[tool])
    assert any(block.type == "tool_use" and block.name == "get_weather" for block in done.content)


def test_tokens_are_counted_beforehand(claude):
    assert claude.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens > 0


def test_the_models_of_this_key_are_listed(claude):
    assert list(claude.models.list()) is not None


def test_a_limit_has_the_clients_own_class(claude):
    with pytest.raises(anthropic.RateLimitError) as raised:
        claude.messages.create(model="claude-limited/claude-sonnet-4-5", max_tokens=9, messages=HELLO)
    assert raised.value.response.headers["retry-after"]


def test_a_wrong_key_is_an_authentication_error(claude):
    with pytest.raises(anthropic.AuthenticationError):
        claude.with_options(api_key="nobody").messages.create(model=MODEL, max_tokens=9, messages=HELLO)
