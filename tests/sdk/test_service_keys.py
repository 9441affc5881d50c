"""Every place in which a service key may stand, and what the provider sees of it: nothing."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from gateway import Gateway, ask


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def parted(key: str) -> tuple[str, str]:
    """A service key as id and secret."""
    _, public_id, secret = key.split("-", 2)
    return public_id, secret


CARRIERS = {
    "bearer": lambda key: ({"authorization": f"Bearer {key}"}, ""),
    "bearer in any case": lambda key: ({"authorization": f"bearer {key}"}, ""),
    "x-api-key": lambda key: ({"x-api-key": key}, ""),
    "api-key": lambda key: ({"api-key": key}, ""),
    "x-goog-api-key": lambda key: ({"x-goog-api-key": key}, ""),
    "query": lambda key: ({}, f"key={key}"),
    "query among others": lambda key: ({}, f"alt=sse&key={key}&x=%20y"),
    "basic, as the password": lambda key: ({"authorization": basic("me", key)}, ""),
    "basic, as the user": lambda key: ({"authorization": basic(key, "")}, ""),
    "basic, id and secret": lambda key: ({"authorization": basic(*parted(key))}, ""),
    "with a provider's dummy beside it": lambda key: (
        {"authorization": "Bearer sk-dummy", "x-api-key": key},
        "",
    ),
    "the same one twice": lambda key: ({"authorization": f"Bearer {key}", "x-api-key": key}, ""),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_service_key_is_accepted_and_goes_no_further(
    gateway: Gateway, key: str, carrier: str
) -> None:
    headers, query = CARRIERS[carrier](key)
    path = f"/proxy/openai/echo/here?{query}" if query else "/proxy/openai/echo/here"
    answer = ask(gateway.proxy, "GET", path, headers=headers)

    assert answer.status == 200, answer
    secret = parted(key)[1]
    assert secret not in answer.body.decode()
    seen: dict[str, Any] = answer.json()
    names = {name.lower(): value for name, value in seen["headers"]}
    assert names["authorization"].startswith("Bearer openai-secret-")
    assert not {"x-api-key", "api-key", "x-goog-api-key"} & names.keys()
    rest = "&".join(field for field in query.split("&") if field and not field.startswith("key="))
    assert seen["target"] == "/echo/here" + (f"?{rest}" if rest else "")

    entry = gateway.admin.entry(answer.headers["x-request-id"])
    assert secret not in str(entry), entry
    assert secret not in gateway.server.output()


@pytest.mark.parametrize("carrier", [name for name in CARRIERS if "basic" not in name])
def test_a_key_works_in_each_place_on_model_routes_too(
    gateway: Gateway, key: str, carrier: str
) -> None:
    headers, query = CARRIERS[carrier](key)
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    answer = ask(gateway.proxy, "POST", f"/v1/chat/completions?{query}", body, headers)

    assert answer.status == 200, answer


def test_a_key_in_googles_header_does_not_make_a_call_googles(gateway: Gateway, key: str) -> None:
    body = {"model": "text-embedding-3-small", "input": "hi"}
    answer = ask(gateway.proxy, "POST", "/v1/embeddings", body, {"x-goog-api-key": key})

    assert answer.status == 200, answer
    assert answer.json()["object"] == "list"


def test_no_key_is_refused_before_the_body_is_read(gateway: Gateway) -> None:
    answer = ask(gateway.proxy, "POST", "/v1/chat/completions", b"{not json")

    assert answer.status == 401
    assert answer.json()["error"]["code"] == "missing_service_key"


def test_two_different_keys_are_refused(gateway: Gateway, key: str) -> None:
    other = gateway.service_key("another")["key"]
    headers = {"authorization": f"Bearer {key}", "x-api-key": other}
    answer = ask(gateway.proxy, "GET", "/v1/models", headers=headers)

    assert answer.status == 400
    assert answer.json()["error"]["code"] == "ambiguous_service_key"


def test_a_provider_key_and_its_kin_never_come_back(gateway: Gateway, key: str) -> None:
    headers = {"authorization": f"Bearer {key}", "cookie": "session=1", "x-forwarded-for": "9.9.9.9"}
    wanted = "set-cookie:a=b", "openai-organization:ours", "x-kept:yes"
    query = "&".join(f"header={pair}" for pair in wanted)
    answer = ask(gateway.proxy, "GET", f"/proxy/openai/echo/here?{query}", headers=headers)

    assert answer.headers["x-kept"] == "yes"
    assert not {"set-cookie", "openai-organization"} & answer.headers.keys()
    seen = {name.lower() for name, _ in answer.json()["headers"]}
    assert not {"cookie", "x-forwarded-for", "x-real-ip", "via"} & seen
