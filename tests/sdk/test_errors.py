"""Every way in which a call fails is the error class that the SDK's users catch."""

from __future__ import annotations

import time
from typing import Callable

import anthropic
import openai
import pytest
from gateway import Gateway, Upstream
from google import genai
from google.genai import errors, types

HI = [{"role": "user", "content": "hi"}]
GOOD_MODELS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-5", "gemini": "gemini-3-flash"}
# The right form and checksum are not enough, and neither is a provider's key.
BAD_KEYS = ["tg-00000000-0000000000000000000000000000000000000000000-0000", "sk-proj-123", "AIza123"]

Make = Callable[..., Upstream]


class Failed(Exception):
    """What three SDKs tell of a failure, in one shape."""

    def __init__(self, error: Exception, status: int, code: str | None, headers: dict):
        super().__init__(str(error))
        self.error, self.status, self.code = error, status, code
        self.headers = {name.lower(): value for name, value in headers.items()}


class Caller:
    """One SDK, without its own retries, so that each failure is seen once."""

    def __init__(self, provider: str, gateway: Gateway, key: str):
        self.provider = provider
        self.model = GOOD_MODELS[provider]
        if provider == "openai":
            self.client = openai.OpenAI(base_url=f"{gateway.proxy}/v1", api_key=key, max_retries=0)
        elif provider == "anthropic":
            self.client = anthropic.Anthropic(base_url=gateway.proxy, api_key=key, max_retries=0)
        else:
            options = types.HttpOptions(base_url=gateway.proxy)
            self.client = genai.Client(api_key=key, http_options=options)

    def chat(self, model: str, stream: bool = False) -> str:
        """The text of the answer; a refusal becomes [`Failed`]."""
        try:
            return getattr(self, f"_{self.provider}")(model, stream)
        except openai.APIStatusError as e:
            raise Failed(e, e.status_code, e.code, e.response.headers) from e
        except anthropic.APIStatusError as e:
            raise Failed(e, e.status_code, e.type, e.response.headers) from e
        except errors.APIError as e:
            headers = e.response.headers if e.response is not None else {}
            raise Failed(e, e.code, e.status, headers) from e

    def _openai(self, model: str, stream: bool) -> str:
        create = self.client.chat.completions.create
        if not stream:
            return create(model=model, messages=HI).choices[0].message.content
        chunks = create(model=model, messages=HI, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    def _anthropic(self, model: str, stream: bool) -> str:
        asked = {"model": model, "max_tokens": 100, "messages": HI}
        if not stream:
            return self.client.messages.create(**asked).content[0].text
        with self.client.messages.stream(**asked) as events:
            return events.get_final_text()

    def _gemini(self, model: str, stream: bool) -> str:
        if not stream:
            return self.client.models.generate_content(model=model, contents="hi").text
        pieces = self.client.models.generate_content_stream(model=model, contents="hi")
        return "".join(piece.text for piece in pieces)


@pytest.fixture(params=["openai", "anthropic", "gemini"])
def caller(request: pytest.FixtureRequest, gateway: Gateway, key: str) -> Caller:
    return Caller(request.param, gateway, key)


# How each SDK calls a status.
CLASSES = {
    ("openai", 400): openai.BadRequestError,
    ("openai", 401): openai.AuthenticationError,
    ("openai", 403): openai.PermissionDeniedError,
    ("openai", 404): openai.NotFoundError,
    ("openai", 429): openai.RateLimitError,
    ("openai", 500): openai.InternalServerError,
    ("openai", 502): openai.InternalServerError,
    ("openai", 504): openai.InternalServerError,
    ("openai", 529): openai.InternalServerError,
    ("anthropic", 400): anthropic.BadRequestError,
    ("anthropic", 401): anthropic.AuthenticationError,
    ("anthropic", 403): anthropic.PermissionDeniedError,
    ("anthropic", 404): anthropic.NotFoundError,
    ("anthropic", 429): anthropic.RateLimitError,
    ("anthropic", 500): anthropic.InternalServerError,
    ("anthropic", 502): anthropic.InternalServerError,
    ("anthropic", 504): anthropic.InternalServerError,
    ("anthropic", 529): anthropic.InternalServerError,
}


def fails(caller: Caller, status: int, model: str | None = None, stream: bool = False) -> Failed:
    """Calls, and expects the SDK's own class for that status."""
    with pytest.raises(Failed) as failed:
        caller.chat(model or caller.model, stream)
    usual = errors.ClientError if status < 500 else errors.ServerError
    assert failed.value.status == status, failed.value
    assert isinstance(failed.value.error, CLASSES.get((caller.provider, status), usual))
    return failed.value


@pytest.mark.parametrize("bad", BAD_KEYS)
def test_a_wrong_service_key_is_an_authentication_error(
    caller: Caller, gateway: Gateway, bad: str
) -> None:
    stranger = Caller(caller.provider, gateway, bad)
    failed = fails(stranger, 401)

    expected = {
        "openai": "invalid_service_key",
        "anthropic": "authentication_error",
        "gemini": "UNAUTHENTICATED",
    }
    assert failed.code == expected[caller.provider]
    assert failed.headers["x-request-id"]
    assert bad not in str(failed)
    assert fails(stranger, 401, stream=True)


def test_a_model_that_nobody_serves_is_not_found(caller: Caller) -> None:
    assert "nobody-serves-this" in str(fails(caller, 404, "nobody-serves-this"))
    fails(caller, 404, "nobody-serves-this", stream=True)


def test_a_model_that_the_provider_does_not_know_is_not_found(
    caller: Caller, gateway: Gateway
) -> None:
    failed = fails(caller, 404, f"{caller.provider}/no-such-model")

    entry = gateway.admin.entry(failed.headers["x-request-id"])
    assert entry["status"] == 404
    # A client's own fault is never tried again.
    assert [attempt["status"] for attempt in entry["attempts"]] == [404]


def test_a_forbidden_model_is_a_permission_error(caller: Caller, gateway: Gateway) -> None:
    made = gateway.service_key(f"only one model, {caller.provider}", allowed_models=["other"])
    fails(Caller(caller.provider, gateway, made["key"]), 403)


def test_a_bad_request_is_the_callers_own(caller: Caller, upstream: Make, gateway: Gateway) -> None:
    place = upstream(caller.provider, f"{caller.provider}.400", "well-1")
    seen = {caller_status(caller, place.model) for _ in range(4)}

    # Both keys took their turn: the refusals counted against nobody.
    assert seen == {200, 400}
    failed = next_failure(caller, place.model)
    entry = gateway.admin.entry(failed.headers["x-request-id"])
    assert entry["status"] == 400 and len(entry["attempts"]) == 1, entry


def caller_status(caller: Caller, model: str) -> int:
    try:
        caller.chat(model)
    except Failed as failed:
        return failed.status
    return 200


def next_failure(caller: Caller, model: str) -> Failed:
    for _ in range(3):
        try:
            caller.chat(model)
        except Failed as failed:
            return failed
    raise AssertionError("no failure came")


def test_a_limit_of_the_provider_is_a_rate_limit_error(caller: Caller, upstream: Make) -> None:
    place = upstream(caller.provider, f"{caller.provider}.429=30", retry_count=0)
    first = fails(caller, 429, place.model)
    second = fails(caller, 429, place.model, stream=True)

    assert 1 <= int(first.headers["retry-after"]) <= 30
    # The key rests: nobody asks the provider again, and the caller is told how long.
    assert 1 <= int(second.headers["retry-after"]) <= 30


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_an_sdk_waits_as_long_as_retry_after_says(
    provider: str, gateway: Gateway, key: str, upstream: Make
) -> None:
    place = upstream(provider, f"{provider}.429=1.calls=1", retry_count=0)
    begun = time.monotonic()
    if provider == "openai":
        with openai.OpenAI(base_url=f"{gateway.proxy}/v1", api_key=key) as client:
            raw = client.chat.completions.with_raw_response.create(model=place.model, messages=HI)
    else:
        with anthropic.Anthropic(base_url=gateway.proxy, api_key=key) as client:
            raw = client.messages.with_raw_response.create(
                model=place.model, max_tokens=100, messages=HI
            )

    assert raw.retries_taken == 1
    assert time.monotonic() - begun >= 1.0


@pytest.mark.parametrize("status", [500, 529])
def test_a_providers_failure_is_a_server_error(
    caller: Caller, upstream: Make, status: int
) -> None:
    place = upstream(caller.provider, f"{caller.provider}.{status}", retry_count=0)
    fails(caller, status, place.model)
    fails(caller, status, place.model, stream=True)


def test_overload_is_an_overload_for_anthropic(gateway: Gateway, key: str, upstream: Make) -> None:
    place = upstream("anthropic", "anthropic.529", retry_count=0)
    failed = fails(Caller("anthropic", gateway, key), 529, place.model)

    assert isinstance(failed.error, anthropic._exceptions.OverloadedError)
    assert failed.code == "overloaded_error"


def test_a_dead_provider_key_is_not_the_callers_fault(caller: Caller, upstream: Make) -> None:
    place = upstream(caller.provider, f"{caller.provider}.401", retry_count=0)
    failed = fails(caller, 502, place.model)

    # The provider's words name its own key.
    assert "sk-mock" not in str(failed)


def test_a_page_of_html_does_not_confuse_anybody(caller: Caller, upstream: Make) -> None:
    place = upstream(caller.provider, f"{caller.provider}.html", retry_count=0)
    fails(caller, 502, place.model)


def test_a_provider_that_hangs_is_a_gateway_timeout(caller: Caller, upstream: Make) -> None:
    place = upstream(caller.provider, f"{caller.provider}.hang", retry_count=0, timeout=0.3)
    fails(caller, 504, place.model)


def test_an_error_event_in_place_of_an_answer_is_an_error(caller: Caller, upstream: Make) -> None:
    place = upstream(caller.provider, f"{caller.provider}.error-event", retry_count=0)
    fails(caller, 529, place.model, stream=True)


@pytest.mark.parametrize("stream", [False, True])
def test_a_pool_answers_as_long_as_one_key_is_well(
    caller: Caller, upstream: Make, stream: bool
) -> None:
    bad = [f"{caller.provider}.{how}" for how in ("401", "429=60", "500", "empty", "drop")]
    place = upstream(caller.provider, *bad, "the-well-one", retry_count=5)

    for _ in range(6):
        assert caller.chat(place.model, stream).startswith("You said")


@pytest.mark.parametrize("how", ["error-event=4", "reset=4", "close=4"])
def test_what_breaks_in_mid_stream_is_never_taken_for_an_end(
    caller: Caller, upstream: Make, how: str
) -> None:
    place = upstream(caller.provider, f"{caller.provider}.pace=5.{how}")

    # Which class it is differs between SDKs and their versions; that there is one does not.
    with pytest.raises(Exception) as broken:
        caller.chat(place.model, stream=True)
    error = broken.value.error if isinstance(broken.value, Failed) else broken.value
    assert isinstance(error, (openai.APIError, anthropic.APIError, errors.APIError)), error


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_clients_own_timeout_is_its_timeout_error(
    provider: str, gateway: Gateway, key: str, upstream: Make
) -> None:
    place = upstream(provider, f"{provider}.hang")
    caller = Caller(provider, gateway, key)
    impatient = caller.client.with_options(timeout=0.5)
    expected = {"openai": openai.APITimeoutError, "anthropic": anthropic.APITimeoutError}
    with pytest.raises(expected[provider]):
        if provider == "openai":
            impatient.chat.completions.create(model=place.model, messages=HI)
        else:
            impatient.messages.create(model=place.model, max_tokens=100, messages=HI)
