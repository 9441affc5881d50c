"""The official `openai` client."""

import json

import openai
import pytest

HELLO = [{"role": "user", "content": "Say hello, 你好."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def test_a_chat_is_answered_and_counted(chat):
    done = chat.chat.completions.create(model="openai/gpt-4o-mini", messages=HELLO)
    assert done.choices[0].message.content
    assert done.usage.total_tokens > 0


def test_a_chat_streams_to_its_end_without_an_event_nobody_asked_for(chat):
    chunks = list(chat.chat.completions.create(model="openai/gpt-4o-mini", messages=HELLO, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(c.usage is None for c in chunks)


def test_usage_comes_when_it_is_asked_for(chat):
    options = {"include_usage": True}
    stream = chat.chat.completions.create(
        model="openai/gpt-4o-mini", messages=HELLO, stream=True, stream_options=options
    )
    assert list(stream)[-1].usage.total_tokens > 0


def test_a_tool_is_called(chat):
    done = chat.chat.completions.create(model="openai/gpt-4o-mini", messages=HELLO, tools=[WEATHER])
    call = done.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    json.loads(call.function.arguments)


def test_responses_are_answered_and_stream(chat):
    done = chat.responses.create(model="openai/gpt-4o-mini", input="Say hello")
    assert done.output_text
    assert done.usage.total_tokens > 0
    events = [e.type for e in chat.responses.create(model="openai/gpt-4o-mini", input="Hi", stream=True)]
    assert events[-1] == "response.completed"


def test_embeddings_come(chat):
    done = chat.embeddings.create(model="openai/text-embedding-3-small", input=["one", "two"])
    assert len(done.data) == 2
    assert done.data[0].embedding


def test_the_models_of_this_key_are_listed(chat):
    assert [model.id for model in chat.models.list()] is not None


@pytest.mark.parametrize(
    "model, error",
    [
        ("limited/gpt-4o-mini", openai.RateLimitError),
        ("broken/gpt-4o-mini", openai.InternalServerError),
        # Several upstreams take any model, so a plain name does not say which one is meant.
        ("gpt-4o-mini", openai.BadRequestError),
        # Several upstreams take any model, so a plain name does not say which one is meant.
        ("gpt-4o-mini", openai.BadRequestError),
    ],
)
def test_errors_have_the_clients_own_classes(chat, model, error):
    with pytest.raises(error) as raised:
        chat.chat.completions.create(model=model, messages=HELLO)
    assert raised.value.request_id


def test_a_wrong_key_is_an_authentication_error(chat):
    with pytest.raises(openai.AuthenticationError):
        chat.with_options(api_key="sk-nobody").chat.completions.create(
            model="openai/gpt-4o-mini", messages=HELLO
        )


def test_what_the_provider_refuses_is_a_bad_request(chat):
    with pytest.raises(openai.BadRequestError):
        chat.chat.completions.create(
            model="openai/gpt-4o-mini", messages=HELLO, extra_headers={"x-mock": "400"}
        )
