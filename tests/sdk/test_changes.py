"""What an administrator changes over HTTP, and how it reaches the callers: first the main job from
end to end (its fields are fixed, because people have scripts like it), then every later change."""

from __future__ import annotations

import time
from typing import Any, Iterator

import pytest
from gateway import Answer, Gateway, ask, until

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
# How long a change may take to the data plane; a busy machine may hold up any single one.
SOON = 1.0
TRIES = 10


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway on which nobody has done anything yet."""
    running = Gateway(tmp_path_factory.mktemp("fresh"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def walked(fresh: Gateway) -> dict[str, Any]:
    """The walk itself, once, with all its answers."""
    admin = fresh.admin
    upstream = admin.post(
        "/api/admin/upstreams",
        {"name": "openai", "base_url": fresh.providers, "timeout": 60, "retry_count": 2},
    )
    key = admin.post(
        "/api/admin/keys",
        {
            "upstream_id": 1,
            "name": "Key 1",
            "key_value": "sk-xxxxx",
            "enable_quota": True,
            "quota_total": 1000,
        },
    )
    service_key = admin.post("/api/admin/service-keys", {"name": "my app"})
    secret = service_key["key"]
    chat = until("the chat", lambda: _good(call(fresh, secret)))
    entry = admin.entry(chat.headers["x-request-id"])
    logs = admin.get("/api/admin/logs?limit=10")
    stats = admin.get("/api/admin/dashboard/stats")
    return locals()


def call(gateway: Gateway, key: str, upstream: str = "openai") -> Answer:
    headers = {"authorization": f"Bearer {key}"}
    path = f"/proxy/{upstream}/v1/chat/completions"
    return ask(gateway.proxy, "POST", path, CHAT, headers)


def _good(answer: Answer) -> Answer | None:
    return answer if answer.status == 200 else None


def test_an_upstream_is_made(walked: dict[str, Any]) -> None:
    upstream = walked["upstream"]
    assert (upstream["id"], upstream["name"]) == (1, "openai")
    assert (upstream["timeout"], upstream["retry_count"]) == (60, 2)


def test_a_key_is_entered_with_its_quota_and_shown_masked(
    walked: dict[str, Any], fresh: Gateway
) -> None:
    key = walked["key"]
    assert (key["id"], key["upstream_id"], key["name"]) == (1, 1, "Key 1")
    assert (key["enable_quota"], key["quota_total"]) == (True, 1000)
    for shown in (key, fresh.admin.get("/api/admin/keys/1"), fresh.admin.get("/api/admin/keys")):
        assert "sk-xxxxx" not in str(shown) and "key_value" not in str(shown)


def test_a_service_key_is_shown_once(walked: dict[str, Any], fresh: Gateway) -> None:
    made = walked["service_key"]
    assert made["id"] == 1 and made["key"].startswith("tg-")
    for path in ("/api/admin/service-keys", "/api/admin/service-keys/1"):
        assert made["key"] not in str(fresh.admin.get(path))


def test_a_chat_goes_through(walked: dict[str, Any]) -> None:
    answer = walked["chat"].json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"].startswith("You said “hi”.")


def test_the_log_has_the_call(walked: dict[str, Any]) -> None:
    assert set(walked["logs"]) == {"items", "next_cursor"}
    ids = [item["request_id"] for item in walked["logs"]["items"]]
    assert walked["chat"].headers["x-request-id"] in ids
    entry = walked["entry"]
    usage = walked["chat"].json()["usage"]
    assert (entry["status"], entry["method"]) == (200, "POST")
    assert entry["path"] == "/proxy/openai/v1/chat/completions"
    assert (entry["upstream"], entry["provider_key"]) == ("openai", "Key 1")
    assert entry["service_key_name"] == "my app"
    assert entry["usage"]["input"] == usage["prompt_tokens"], entry
    assert entry["usage"]["output"] == usage["completion_tokens"], entry


def test_the_dashboard_counts_it(walked: dict[str, Any]) -> None:
    stats = walked["stats"]
    assert stats["totals"]["requests"] >= 1
    assert stats["totals"]["output_tokens"] > 0
    assert stats["counts"]["upstreams"] == 1
    assert stats["live"]["revision"] > 0


def test_a_change_reaches_the_data_plane_in_less_than_a_second(
    walked: dict[str, Any], fresh: Gateway
) -> None:
    took = []
    for _ in range(TRIES):
        for change, status in (({"enabled": False}, 401), ({"enabled": True}, 200)):
            fresh.admin.patch("/api/admin/service-keys/1", change)
            begun = time.monotonic()
            until("the change is served", lambda: call(fresh, walked["secret"]).status == status)
            took.append(time.monotonic() - begun)
        if max(took[-2:]) < SOON:
            return
    raise AssertionError(f"each change took too long: {took}")


def test_the_exact_upstream_of_the_walk_is_taken(fresh: Gateway) -> None:
    made = fresh.admin.post(
        "/api/admin/upstreams",
        {
            "name": "openai-itself",
            "base_url": "https://api.openai.com",
            "timeout": 60,
            "retry_count": 2,
        },
    )
    assert made["provider"] == "openai"
    fresh.admin.delete(f"/api/admin/upstreams/{made['id']}")


def test_a_key_that_is_switched_off_is_used_no_more(
    walked: dict[str, Any], fresh: Gateway
) -> None:
    fresh.admin.patch("/api/admin/keys/1", {"state": "disabled_manual"})
    until("the key is off", lambda: call(fresh, walked["secret"]).status == 503)
    fresh.admin.patch("/api/admin/keys/1", {"state": "active"})
    until("the key is on", lambda: call(fresh, walked["secret"]).status == 200)


def test_a_key_that_is_replaced_is_used_at_once(walked: dict[str, Any], fresh: Gateway) -> None:
    def seen() -> str:
        headers = {"authorization": f"Bearer {walked['secret']}"}
        return ask(fresh.proxy, "GET", "/proxy/openai/echo", headers=headers).body.decode()

    assert "Bearer sk-xxxxx" in seen()
    fresh.admin.patch("/api/admin/keys/1", {"key_value": "sk-yyyyy"})
    until("the new secret goes out", lambda: "Bearer sk-yyyyy" in seen())


def test_a_deleted_key_leaves_its_pool(walked: dict[str, Any], fresh: Gateway) -> None:
    entered = {"upstream_id": 1, "name": "Key 2", "key_value": "sk-zzzzz"}
    second = fresh.admin.post("/api/admin/keys", entered)

    def keys_used() -> set[str]:
        headers = {"authorization": f"Bearer {walked['secret']}"}
        answers = [ask(fresh.proxy, "GET", "/proxy/openai/echo", headers=headers) for _ in range(4)]
        return {name for a in answers for name in ("sk-yyyyy", "sk-zzzzz") if name in str(a.body)}

    until("both take turns", lambda: keys_used() == {"sk-yyyyy", "sk-zzzzz"})
    fresh.admin.delete(f"/api/admin/keys/{second['id']}")
    until("one is left", lambda: keys_used() == {"sk-yyyyy"})


def test_a_service_key_ends_when_it_is_told_to(fresh: Gateway, walked: dict[str, Any]) -> None:
    made = fresh.service_key("short-lived")
    path = f"/api/admin/service-keys/{made['id']}"
    assert call(fresh, made["key"]).status == 200

    fresh.admin.patch(path, {"enabled": False})
    until("it is off", lambda: call(fresh, made["key"]).status == 401)
    fresh.admin.patch(path, {"enabled": True})
    until("it is on", lambda: call(fresh, made["key"]).status == 200)
    fresh.admin.patch(path, {"expires_at": "2020-01-01T00:00:00Z"})
    until("it has expired", lambda: call(fresh, made["key"]).status == 401)
    fresh.admin.patch(path, {"expires_at": None})
    until("it is back", lambda: call(fresh, made["key"]).status == 200)
    fresh.admin.delete(path)
    until("it is gone", lambda: call(fresh, made["key"]).status == 401)


def test_an_upstream_comes_changes_and_goes(fresh: Gateway, walked: dict[str, Any]) -> None:
    new = {"name": "second", "base_url": fresh.providers, "provider": "openai"}
    made = fresh.admin.post("/api/admin/upstreams", new)
    entered = {"upstream_id": made["id"], "name": "Key 1", "key_value": "sk-second"}
    fresh.admin.post("/api/admin/keys", entered)
    until("it serves", lambda: call(fresh, walked["secret"], "second").status == 200)

    path = f"/api/admin/upstreams/{made['id']}"
    fresh.admin.patch(path, {"name": "renamed"})
    until("under its new name", lambda: call(fresh, walked["secret"], "renamed").status == 200)
    assert call(fresh, walked["secret"], "second").status == 404
    fresh.admin.patch(path, {"enabled": False})
    until("it is off", lambda: call(fresh, walked["secret"], "renamed").status == 503)
    fresh.admin.delete(path)
    until("it is gone", lambda: call(fresh, walked["secret"], "renamed").status == 404)


def test_a_change_that_cannot_be_served_is_refused_with_its_fields(fresh: Gateway) -> None:
    before = fresh.admin.get("/api/admin/upstreams")["items"]
    bad = {"name": "Not a Name", "base_url": "ftp://nowhere", "retry_count": 2}
    answer = fresh.admin.call("POST", "/api/admin/upstreams", bad)

    assert answer.status in (400, 422), answer
    assert {"name", "base_url"} <= {f["field"] for f in answer.json()["error"]["fields"]}
    assert fresh.admin.get("/api/admin/upstreams")["items"] == before


def test_a_private_target_needs_the_configurations_leave(fresh: Gateway) -> None:
    inside = {"name": "inside", "base_url": "https://10.0.0.1"}
    answer = fresh.admin.call("POST", "/api/admin/upstreams", inside)

    assert answer.status in (400, 422), answer
    assert answer.json()["error"]["fields"][0]["field"] == "base_url"


def test_the_management_api_is_not_on_the_data_plane(fresh: Gateway) -> None:
    for path in ("/api", "/api/admin/upstreams", "/api/auth/login"):
        answer = ask(fresh.proxy, "GET", path)
        assert answer.status == 404
        assert answer.headers["content-type"].startswith("application/json")
        assert fresh.management.rsplit(":", 1)[1] in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_health_is_told_at_once_on_both_planes(fresh: Gateway, path: str) -> None:
    for base in (fresh.proxy, fresh.management):
        times = []
        for _ in range(20):
            begun = time.monotonic()
            assert ask(base, "GET", path).status == 200
            times.append(time.monotonic() - begun)
        # The best of them: a busy machine may hold up any single one.
        assert min(times) < 0.05, times


def test_everything_is_there_again_after_a_restart(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("restart")
    first = Gateway(folder)
    try:
        first.upstream("openai", ["sk-kept"], name="kept")
        secret = first.service_key("kept")["key"]
        before = until("the call", lambda: _good(call(first, secret, "kept")))
    finally:
        assert first.server.stop() == 0
        first.mock.stop()

    second = Gateway(folder)
    try:
        # The entry of the last call before the end is there, and the secret opens again; its
        # place is another one, as the mock has moved.
        assert second.admin.entry(before.headers["x-request-id"])["status"] == 200
        moved = {"base_url": second.providers, "clear_keys": True}
        second.admin.patch("/api/admin/upstreams/1", moved)
        entered = {"upstream_id": 1, "name": "Key 1", "key_value": "sk-new"}
        second.admin.post("/api/admin/keys", entered)
        until("the service key still works", lambda: call(second, secret, "kept").status == 200)
    finally:
        second.stop()
