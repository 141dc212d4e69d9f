"""Every address that a person can give reaches a server of one's own only when the setting allows it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from resources.errors import PermanentError
from tests.fakes._server import FakeService
from tests.pipeline.importing import Pipeline, assert_counted
from tests.pipeline.services import SERVICES

HOSTS = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "127.1", "0x7f000001")
"""Ways to write this machine."""


class Trap:
    """A listener on loopback that remembers who connected."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._peers: SimpleQueue[int] = SimpleQueue()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, address = self._socket.accept()
            except OSError:
                return
            self._peers.put(address[1])
            connection.close()

    def caught(self) -> int:
        """How many connected so far. Connections are accepted in order, so one of our own is the last to wait for."""
        with socket.create_connection(("127.0.0.1", self.port)) as own:
            mark = own.getsockname()[1]
            count = 0
            while self._peers.get(timeout=5) != mark:
                count += 1
        return count

    def close(self) -> None:
        # Closing alone does not wake the thread that waits in accept.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=5)


@pytest.fixture
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.close()


def _pointed_at(fake: FakeService, origin: str) -> dict[str, str]:
    return {name: value.replace(fake.origin, origin) for name, value in fake.environment().items()}


def test_the_trap_notices_a_connection(trap: Trap) -> None:
    for _ in range(3):
        socket.create_connection(("127.0.0.1", trap.port)).close()
    assert trap.caught() == 3


CASES = [
    # Every setting with the plain address, and every spelling with one of them; the long suite takes all.
    pytest.param(name, host, marks=() if host == HOSTS[0] or name == "ics" else pytest.mark.soak)
    for name in SERVICES
    for host in HOSTS
]


@pytest.mark.parametrize(("name", "host"), CASES)
def test_a_private_address_is_refused_in_words_and_never_called(
    name: str, host: str, trap: Trap, pipeline: Pipeline
) -> None:
    with SERVICES[name].make(5, 0, None) as fake:
        values = _pointed_at(fake, f"http://{host}:{trap.port}")
        assert any(str(trap.port) in value for value in values.values())
        with pytest.raises(PermanentError) as refused:
            pipeline.load(fake, extra={**values, "INGESTION_ALLOW_PRIVATE_ADDRESSES": "false"})
    if host in ("127.0.0.1", "localhost"):
        assert "set INGESTION_ALLOW_PRIVATE_ADDRESSES=true" in str(refused.value)
    else:
        assert "refused" in str(refused.value)
    assert trap.caught() == 0
    assert pipeline.job(fake.name)["status"] == "ERROR"
    assert "refused" in pipeline.job(fake.name)["error_text"]


@pytest.mark.parametrize("name", SERVICES)
def test_with_the_setting_a_server_of_ones_own_is_called(name: str, pipeline: Pipeline) -> None:
    service = SERVICES[name]
    with service.make(60, 2, None) as fake:
        pipeline.load(fake, extra={"INGESTION_ALLOW_PRIVATE_ADDRESSES": "true"})
        assert_counted(pipeline, service.source, fake.truth(1), service.days(fake))
