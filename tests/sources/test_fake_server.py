"""The fault-injecting server does on the wire what it says: tests of everything else lean on it."""

import socket
from http.client import HTTPConnection, IncompleteRead
from urllib.parse import urlsplit

import pytest

from tests.fakes._server import Answer, FakeService, Fault, FaultPlan, Request, json_answer


class Echo(FakeService):
    def answer(self, request: Request) -> Answer:
        return json_answer({"path": request.path, "query": request.query, "filler": "x" * 200})


def ask(service: FakeService, target: str = "/a?b=c") -> tuple[int, bytes, dict[str, str]]:
    connection = HTTPConnection(urlsplit(service.origin).netloc, timeout=5)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


def test_a_healthy_answer_arrives_whole_and_is_logged() -> None:
    with Echo() as service:
        status, body, _ = ask(service)
        assert status == 200
        assert b'"b": "c"' in body
        assert [(line.request.path, line.status, line.fault) for line in service.requests] == [("/a", 200, None)]


def test_a_truncated_answer_ends_before_its_declared_length() -> None:
    with Echo(faults=FaultPlan(truncated=1)) as service, pytest.raises(IncompleteRead):
        ask(service)


def test_a_reset_connection_gives_no_answer() -> None:
    with Echo(faults=FaultPlan(reset=1)) as service:
        address = urlsplit(service.origin)
        with socket.create_connection((address.hostname, address.port), timeout=5) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                raw.recv(100)
        assert service.requests[0].fault is Fault.RESET


def test_a_retry_before_the_named_time_is_noticed_and_one_after_it_is_not() -> None:
    with Echo(faults=FaultPlan(rate_limited=1, in_a_row=1)) as service:
        status, _, headers = ask(service)
        assert status == 429
        assert "Retry-After" in headers
        ask(service)
        assert len(service.early) == 1
        service.clock.sleep(10)
        ask(service)
        assert len(service.early) == 1


def test_the_usual_mix_faults_about_as_often_as_it_says_and_never_four_times_in_a_row() -> None:
    with Echo(faults=FaultPlan.usual()) as service:
        request = Request("GET", "/", {}, {}, b"")
        faults = [service.respond(request)[1] for _ in range(2_000)]
    share = sum(fault is not None for fault in faults) / len(faults)
    assert 0.38 < share < 0.48
    assert set(service.served) == set(Fault)
    row = longest = 0
    for fault in faults:
        row = row + 1 if fault else 0
        longest = max(longest, row)
    assert longest == 3
