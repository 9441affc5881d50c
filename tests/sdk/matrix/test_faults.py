"""What goes wrong at a provider of any dialect is what each SDK raises for its own."""

from __future__ import annotations

import pytest
from clients import Asked, Client
from test_matrix import TARGETS, dialect, whole_and_streamed

on_every_dialect = pytest.mark.parametrize("target", TARGETS["failing"])

# The SDKs of one vendor call an overload like this, those of another like that; a provider's own
# number stays where nothing is converted.
STATUSES = {"refused": [400], "limited": [429], "broken": [500], "overloaded": [503, 529]}


def status(error: Exception) -> int:
    return getattr(error, "status_code", None) or getattr(error, "code")


def header(error: Exception, name: str) -> str | None:
    return error.response.headers.get(name)


@on_every_dialect
@whole_and_streamed
@pytest.mark.parametrize("fault", STATUSES)
def test_a_refusal_is_the_class_that_people_catch(
    client: Client, target: str, stream: bool, fault: str
) -> None:
    with pytest.raises(client.failures) as failed:
        client.ask(f"{target}.{fault}", Asked("hi", stream=stream))

    error = failed.value
    assert status(error) in STATUSES[fault], error
    assert isinstance(error, client.statuses.get(status(error), client.failures))
    if fault == "refused":
        assert "The mock does not like this request." in str(error)
    if fault == "limited":
        assert 1 <= int(header(error, "retry-after")) <= 7


@on_every_dialect
def test_an_error_in_the_middle_is_no_end(client: Client, target: str) -> None:
    with pytest.raises(client.failures) as failed:
        client.ask(f"{target}.told", Asked("hi", stream=True))
    assert "Overloaded in the middle of it" in str(failed.value)


@on_every_dialect
def test_a_stream_that_was_cut_is_no_end(client: Client, target: str) -> None:
    if dialect(target) == client.name:
        pytest.skip("what needs no conversion goes through as it came")
    with pytest.raises(client.failures):
        client.ask(f"{target}.cut", Asked("hi", stream=True))


@on_every_dialect
def test_who_leaves_takes_the_provider_along(client: Client, target: str) -> None:
    # Whether the provider was let go is looked at from its side: tests/front/matrix.rs.
    client.leave(f"{target}.slow")
