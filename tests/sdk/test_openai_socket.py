"""The `openai` SDK: the Responses over a WebSocket, whatever provider stands behind it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway import Gateway, until
from openai import AsyncOpenAI, OpenAI
from samples import SAID
from websockets.exceptions import ConnectionClosed

LAST = {"response.completed", "response.incomplete", "response.failed", "error"}


def ask(connection: Any, **request: Any) -> list[Any]:
    """Asks, and gives the events of the response."""
    connection.response.create(**request)
    events = []
    for event in connection:
        events.append(event)
        if event.type in LAST:
            return events
    raise AssertionError("the socket ended before the response did")


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-5", "gemini-3-flash"])
def test_responses_are_made_one_after_the_other(openai_client: OpenAI, model: str) -> None:
    with openai_client.responses.connect() as connection:
        first = ask(connection, model=model, input="hi", store=False)
        last = first[-1].response
        second = ask(
            connection, model=model, input="again", store=False, previous_response_id=last.id
        )

    assert first[0].type == "response.created" and first[-1].type == "response.completed"
    text = "".join(e.delta for e in first if e.type == "response.output_text.delta")
    assert text == SAID.format("hi")
    assert last.usage.output_tokens > 0
    text = "".join(e.delta for e in second if e.type == "response.output_text.delta")
    assert text == SAID.format("again")
    # The conversation so far went along.
    assert second[-1].response.usage.input_tokens > last.usage.input_tokens


def test_each_response_leaves_a_log_entry(openai_client: OpenAI, gateway: Gateway) -> None:
    def entries() -> list[dict[str, Any]]:
        found = gateway.admin.get("/api/admin/logs?model=gpt-4o-mini&limit=100")["items"]
        return [entry for entry in found if entry["path"] == "/v1/responses"]

    before = len(entries())
    with openai_client.responses.connect() as connection:
        for _ in range(2):
            assert ask(connection, model="gpt-4o-mini", input="hi")[-1].type == "response.completed"

    found = until("two entries", lambda: len(entries()) == before + 2 and entries())
    for entry in found[:2]:
        assert (entry["dialect"], entry["outcome"]) == ("openai_responses", "completed")
        assert entry["usage"]["output"] > 0


def test_a_refusal_is_an_error_event_and_the_socket_goes_on(openai_client: OpenAI) -> None:
    with openai_client.responses.connect() as connection:
        told = ask(connection, model="nobody/has-it", input="hi")[-1]
        assert (told.type, told.status) == ("error", 404)
        assert "nobody/has-it" in told.error.message
        assert ask(connection, model="gpt-4o", input="hi")[-1].type == "response.completed"


def test_two_lanes_share_a_socket(gateway: Gateway, key: str) -> None:
    async def run() -> dict[str, str]:
        texts = {"a": "", "b": ""}
        async with AsyncOpenAI(base_url=f"{gateway.proxy}/v1", api_key=key) as client:
            async with client.responses.connect() as connection:
                for lane in texts:
                    await connection.response.create(stream_id=lane, model="gpt-4o", input=lane)
                done = 0
                while done < len(texts):
                    event = await connection.recv()
                    if event.type == "response.output_text.delta":
                        texts[event.stream_id] += event.delta
                    done += event.type in LAST
        return texts

    assert asyncio.run(run()) == {lane: SAID.format(lane) for lane in ("a", "b")}


def test_a_socket_ends_with_its_service_key(gateway: Gateway) -> None:
    made = gateway.service_key("leaves soon")
    with OpenAI(base_url=f"{gateway.proxy}/v1", api_key=made["key"]) as client:
        with client.responses.connect() as connection:
            assert ask(connection, model="gpt-4o", input="hi")[-1].type == "response.completed"
            gateway.admin.delete(f"/api/admin/service-keys/{made['id']}")
            told = connection.recv()
            assert (told.type, told.status, told.error.code) == ("error", 401, "access_revoked")
            with pytest.raises(ConnectionClosed) as closed:
                connection.recv()

    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
    assert "deleted" in closed.value.rcvd.reason
