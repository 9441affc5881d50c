"""A model's own proof of its thoughts travels through a client that cannot read it, and comes back
to the model as it was: these providers refuse a turn of tools without it."""

from __future__ import annotations

import pytest
from clients import Asked, Client
from test_matrix import TARGETS, whole_and_streamed


@whole_and_streamed
@pytest.mark.parametrize("target", TARGETS["sealed"])
def test_thoughts_come_back_with_their_proof(client: Client, target: str, stream: bool) -> None:
    if (client.name, target) == ("chat", "responses"):
        pytest.skip("Chat Completions have no place for the state of the Responses")
    said = 'call weather {"city": "a"} and clock {"zone": "UTC"} then weather {"city": "b"}'
    asked = Asked(said, tools=("weather", "clock"), think=True, stream=stream)
    told = client.loop(f"{target}.sealed", asked, lambda name, given: f"<{name}>")

    assert [len(turn.calls) for turn in told] == [2, 1, 0]
    assert told[-1].text.startswith("The tool says: ")
