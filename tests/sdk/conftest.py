"""One gateway for all tests, with an upstream of each provider and a service key for all three."""

from __future__ import annotations

from typing import Any, Callable, Iterator

import anthropic
import openai
import pytest
from gateway import Gateway, Upstream, until
from google import genai
from google.genai import types

OPENAI_MODELS = ["gpt-4o", "gpt-4o-mini", "text-embedding-3-small", "gpt-image-1", "tts-1"]
ANTHROPIC_MODELS = ["claude-sonnet-5", "claude-haiku-5"]
GEMINI_MODELS = ["gemini-3-flash", "gemini-embedding-001"]


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = Gateway(tmp_path_factory.mktemp("tollgate"))
    try:
        pools = {"openai": OPENAI_MODELS, "anthropic": ANTHROPIC_MODELS, "gemini": GEMINI_MODELS}
        for provider, models in pools.items():
            keys = [f"{provider}-secret-{number}" for number in range(1, 4)]
            running.upstream(provider, keys, models, name=provider)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def key(gateway: Gateway) -> str:
    """The service key of somebody who may use everything."""
    made = gateway.service_key("the SDK tests")["key"]
    all_models = {*OPENAI_MODELS, *ANTHROPIC_MODELS, *GEMINI_MODELS}

    def served() -> bool:
        return all_models <= {model["id"] for model in gateway.models(made).json()["data"]}

    until("all models are served", served)
    return made


@pytest.fixture
def upstream(gateway: Gateway, key: str) -> Iterator[Callable[..., Upstream]]:
    """Makes upstreams with pools of a test's own, and takes them away again."""
    made: list[Upstream] = []

    def make(provider: str, *keys: str, **more: Any) -> Upstream:
        new = gateway.upstream(provider, list(keys), **more)
        made.append(new)

        def served() -> bool:
            names = {model["id"] for model in gateway.models(key).json()["data"]}
            return bool({new.model, f"{new.name}/{new.model}"} & names)

        until(f"{new.model} is served", served)
        return new

    yield make
    for old in made:
        gateway.admin.delete(f"/api/admin/upstreams/{old.id}")


# The SDKs as anybody makes them: only the base URL and the key are other ones. The few tests that
# look at a single failure switch the SDK's own retries off, and say so.


@pytest.fixture(scope="session")
def openai_client(gateway: Gateway, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.proxy}/v1", api_key=key) as client:
        yield client


@pytest.fixture(scope="session")
def anthropic_client(gateway: Gateway, key: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.proxy, api_key=key) as client:
        yield client


@pytest.fixture(scope="session")
def gemini_client(gateway: Gateway, key: str) -> genai.Client:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=gateway.proxy))
