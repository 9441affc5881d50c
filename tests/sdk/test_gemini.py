"""The official `google-genai` client. Gemini's paths name no upstream, so its models are plain or,
where several upstreams could answer, named as `upstream/model`."""

import pytest
from google import genai
from google.genai import errors, types

MODEL = "gemini/gemini-2.5-flash"


def test_content_is_generated_and_counted(gemini):
    done = gemini.models.generate_content(model=MODEL, contents="Say hello, 你好.")
    assert done.text
    assert done.usage_metadata.total_token_count > 0


def test_content_streams(gemini):
    chunks = list(gemini.models.generate_content_stream(model=MODEL, contents="Say hello"))
    assert "".join(chunk.text or "" for chunk in chunks)


def test_a_tool_is_called(gemini):
    declared = types.FunctionDeclaration(name="get_weather", parameters_json_schema={"type": "object"})
    tools = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    done = gemini.models.generate_content(model=MODEL, contents="weather?", config=tools)
    assert done.function_calls[0].name == "get_weather"


def test_tokens_are_counted_beforehand(gemini):
    assert gemini.models.count_tokens(model=MODEL, contents="hello").total_tokens > 0


def test_contents_are_embedded(gemini):
    done = gemini.models.embed_content(model="gemini/text-embedding-004", contents="hello")
    assert done.embeddings[0].values


def test_the_models_of_this_key_are_listed(gemini):
    assert list(gemini.models.list()) is not None


def test_a_limit_has_the_clients_own_class(gemini):
    with pytest.raises(errors.ClientError) as raised:
        gemini.models.generate_content(model="gemini-limited/gemini-2.5-flash", contents="hello")
    assert raised.value.code == 429


def test_a_wrong_key_is_a_client_error(gemini):
    stranger = genai.Client(
        api_key="nobody", http_options={"base_url": gemini._api_client._http_options.base_url}
    )
    with pytest.raises(errors.ClientError) as raised:
        stranger.models.generate_content(model=MODEL, contents="hello")
    assert raised.value.code in (400, 401, 403)
