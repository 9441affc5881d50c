"""Where the gateway is: whoever runs these tests has started it (`tests/front/matrix.rs`)."""

from __future__ import annotations

import os

import pytest
from clients import CLIENTS, Client


def told(name: str) -> str:
    if value := os.environ.get(name):
        return value
    raise pytest.UsageError(f"{name} is not set: run `cargo test --test front matrix`")


@pytest.fixture(scope="session")
def clients() -> dict[str, Client]:
    proxy, key = told("TOLLGATE_PROXY"), told("TOLLGATE_KEY")
    return {name: make(proxy, key) for name, make in CLIENTS.items()}


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest, clients: dict[str, Client]) -> Client:
    return clients[request.param]
