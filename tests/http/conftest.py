from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from resources import redaction
from resources.http import OutboundClient, OutboundPolicy
from tests.http.server import FakeTime, RawServer


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INGESTION_ALLOW_PRIVATE_ADDRESSES", raising=False)


@pytest.fixture(autouse=True)
def _no_known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test registers must not be what keeps another one clean."""
    monkeypatch.setattr(redaction, "_known", redaction._KnownSecrets())


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer().running() as running:
        yield running


@pytest.fixture
def fake_time(server: RawServer) -> FakeTime:
    fake = FakeTime()
    server.now = fake.clock
    return fake


@pytest.fixture
def build(fake_time: FakeTime) -> Iterator[Callable[..., OutboundClient]]:
    """Clients that may call loopback and never really sleep; arguments are the policy's, `client` the client's."""
    built: list[OutboundClient] = []

    def make(*, client: dict[str, Any] | None = None, **policy: Any) -> OutboundClient:
        options = {"allow_private": True, "clock": fake_time.clock, "sleep": fake_time.sleep} | (client or {})
        built.append(OutboundClient(OutboundPolicy(**({"name": "test"} | policy)), **options))
        return built[-1]

    yield make
    for each in built:
        each.close()
