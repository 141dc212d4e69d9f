from __future__ import annotations

import pickle
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest

from resources.errors import PermanentError, TransientError
from resources.http import BodyError, HttpStatusError, NestingError, OutboundClient, OutboundFailure, Reply
from resources.http.reply import Headers
from resources.http.retry import named_wait
from tests.http.server import Exchange, FakeTime, RawServer, Route

Build = Callable[..., OutboundClient]


def good(exchange: Exchange) -> None:
    exchange.send(200, b'{"ok": true}', Content_Type="application/json")


def status(code: int, body: bytes = b"", **headers: str) -> Route:
    return lambda exchange: exchange.send(code, body, **headers)


def short_body(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n" + b'{"ok": true}')
    exchange.hang_up()


def short_chunks(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n" + b'{"ok": true}' + b"\r\n")
    exchange.hang_up()


FAULTS = {
    "408": status(408),
    "425": status(425),
    "429": status(429),
    "500": status(500),
    "502 with a page": status(502, b"<html>bad gateway</html>", Content_Type="text/html"),
    "503": status(503),
    "a status nobody knows": status(599),
    "an unreadable error body": status(503, b"??", Content_Encoding="br"),
    "a reset": Exchange.reset,
    "an answer that is not HTTP": lambda it: (it.raw(b"SSH-2.0-OpenSSH_9\r\n"), it.hang_up()),
    "silence, then closed": Exchange.hang_up,
    "a body shorter than its length": short_body,
    "chunks without an end": short_chunks,
    "a page instead of JSON": status(200, b"<!doctype html><p>maintenance", Content_Type="text/html"),
    "a page called JSON": status(200, b"\n <html></html>", Content_Type="application/json"),
    "half a JSON": status(200, b'{"ok": tr', Content_Type="application/json"),
    "no JSON at all": status(200, b""),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_passing_fault_is_repeated_with_waits_and_then_succeeds(
    server: RawServer, build: Build, fake_time: FakeTime, fault: Route
) -> None:
    server.routes["/"] = [fault, fault, good]
    client = build()
    assert client.get(server.url("/"), expect_json=True).json() == {"ok": True}
    assert len(server.seen) == 3
    assert client.stats.retries == 2
    assert 0 < client.stats.waited_seconds == pytest.approx(sum(fake_time.sleeps))
    assert fake_time.sleeps[0] <= 0.5
    assert fake_time.sleeps[1] <= 1.0


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_lasting_fault_is_given_up_after_the_attempts(server: RawServer, build: Build, fault: Route) -> None:
    server.routes["/"] = fault
    with pytest.raises(OutboundFailure, match="given up after 3 of 3 attempts"):
        build(attempts=3).get(server.url("/"), expect_json=True)
    assert len(server.seen) == 3


def test_a_post_is_repeated_with_its_body(server: RawServer, build: Build) -> None:
    server.routes["/gql"] = [Exchange.reset, status(503), good]
    assert build().post(server.url("/gql"), json={"query": "{x}"}, expect_json=True).json() == {"ok": True}
    assert [seen.body for seen in server.seen] == [b'{"query":"{x}"}'] * 3


def test_a_form_is_sent_as_one(server: RawServer, build: Build) -> None:
    server.routes["/token"] = good
    build().post(server.url("/token"), form={"grant_type": "client credentials", "n": 1})
    assert server.seen[0].body == b"grant_type=client+credentials&n=1"
    assert server.seen[0].headers["content-type"] == "application/x-www-form-urlencoded"


def test_a_port_nobody_listens_on_is_transient(build: Build) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    client = build(attempts=3)
    with pytest.raises(OutboundFailure, match="ConnectError"):
        client.get(url)
    assert client.stats.transport_errors == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 409, 410, 422, 300, 304])
def test_other_statuses_are_permanent_and_keep_their_reply(server: RawServer, build: Build, code: int) -> None:
    server.routes["/"] = status(code, b"" if code == 304 else b'{"fault": "why"}')
    with pytest.raises(HttpStatusError) as caught:
        build().get(server.url("/"))
    assert (caught.value.status, len(server.seen)) == (code, 1)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.status, again.reply.body, str(again)) == (code, caught.value.reply.body, str(caught.value))


def test_json_too_deep_to_parse_is_not_asked_for_again(server: RawServer, build: Build) -> None:
    server.routes["/"] = status(200, b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(NestingError):
        build().get(server.url("/"), expect_json=True)
    assert len(server.seen) == 1


def test_no_retry_comes_before_the_time_the_server_named(server: RawServer, build: Build, fake_time: FakeTime) -> None:
    """100 waits as seconds and as dates, by servers whose clocks are up to a day wrong."""
    random = Random(7)
    client = build(total_timeout=10_000, client={"wall_clock": lambda: 1_800_000_000 + fake_time.now})
    for _ in range(100):
        wait = random.randint(0, 600)
        skewed = datetime.fromtimestamp(1_800_000_000 + fake_time.now, UTC) + timedelta(
            seconds=random.randint(-86_400, 86_400)
        )
        named = random.choice([str(wait), format_datetime(skewed + timedelta(seconds=wait), usegmt=True)])
        refusal = status(
            random.choice([429, 503]),
            Retry_After=named,
            Date=format_datetime(skewed.replace(microsecond=0), usegmt=True),
        )
        server.routes["/"] = [refusal, good]
        server.seen.clear()
        client.get(server.url("/"))
        first, second = server.seen
        assert wait <= second.at - first.at < wait + 1


@pytest.mark.parametrize("named", ["0", "1", "Mon, 01 Jan 2001 00:00:00 GMT"])
def test_a_server_that_names_a_short_wait_gets_as_much_time_as_one_that_names_none(
    server: RawServer, build: Build, fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setattr("random.uniform", max)  # the longest wait of each range
    server.routes["/"] = [*[status(503, Retry_After=named)] * 7, good]
    build().get(server.url("/"))
    assert len(server.seen) == 8
    assert fake_time.now - 1000 >= 0.5 + 1 + 2 + 4 + 8 + 16 + 30


def test_a_named_wait_that_does_not_fit_ends_the_call_at_once(
    server: RawServer, build: Build, fake_time: FakeTime
) -> None:
    server.routes["/"] = status(429, b"slow down", Retry_After="301")
    with pytest.raises(OutboundFailure, match="asked to wait 301 s") as caught:
        build(total_timeout=300).get(server.url("/"))
    assert caught.value.retry_after == 301
    assert caught.value.reply is not None
    assert caught.value.reply.body == b"slow down"
    assert (len(server.seen), fake_time.sleeps) == (1, [])


@pytest.mark.parametrize("digits", [12, 13, 40, 400])
def test_a_time_that_is_very_far_away_is_not_come_before_either(
    server: RawServer, build: Build, fake_time: FakeTime, digits: int
) -> None:
    """Numbers of more than twelve digits used to be taken for none, and the request came again within a second."""
    server.routes["/"] = status(429, Retry_After="9" * digits)
    with pytest.raises(OutboundFailure, match="asked to wait 1000000000 s"):
        build().get(server.url("/"))
    assert (len(server.seen), fake_time.sleeps) == (1, [])


def test_later_calls_keep_the_silence_an_earlier_one_was_asked_for(
    server: RawServer, build: Build, fake_time: FakeTime
) -> None:
    server.routes["/"] = [status(429, Retry_After="400"), good]
    client = build(total_timeout=300)
    with pytest.raises(OutboundFailure):
        client.get(server.url("/"))
    fake_time.now += 50
    with pytest.raises(OutboundFailure, match="not sent") as caught:
        client.get(server.url("/other"))
    assert (caught.value.retry_after, len(server.seen)) == (350, 1)
    fake_time.now += 200
    assert client.get(server.url("/")).status == 200
    assert server.seen[1].at - server.seen[0].at >= 400


@pytest.mark.parametrize(
    ("value", "date", "wait"),
    [
        ("7", None, 7.0),
        ("0", None, 0.0),
        ("1.5", None, 1.5),
        ("Thu, 01 Jan 2026 00:01:00 GMT", "Thu, 01 Jan 2026 00:00:00 GMT", 60.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", None, 30.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", "yesterday", 30.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", None, 0.0),
        ("-5", None, None),
        ("soon", None, None),
        ("nan", None, None),
        ("9" * 12, None, 1e9),
        ("9" * 40, None, 1e9),
        ("9" * 400, None, 1e9),
        ("²", None, None),
        ("", None, None),
        ("Thu, 99 Jan 2026 99:00:00 GMT", None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str, date: str | None, wait: float | None) -> None:
    headers = {"Retry-After": value} | ({"Date": date} if date else {})
    now = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC).timestamp()
    assert named_wait(Headers(headers), now=now) == wait


def test_the_total_time_ends_a_call_that_keeps_failing(server: RawServer, build: Build, fake_time: FakeTime) -> None:
    server.routes["/"] = status(503)
    with pytest.raises(OutboundFailure):
        build(attempts=1000, total_timeout=60).get(server.url("/"))
    assert fake_time.now - 1000 < 60
    assert 2 < len(server.seen) < 1000


def test_inspect_can_make_any_answer_transient(server: RawServer, build: Build, fake_time: FakeTime) -> None:
    server.routes["/"] = [status(200, b'{"errors": ["later"]}'), status(400, b'{"errors": ["x"]}'), good]

    def inspect(reply: Reply) -> None:
        if "errors" in reply.json():
            raise TransientError("rate limited", retry_after=12)

    assert build().get(server.url("/"), inspect=inspect).json() == {"ok": True}
    assert len(server.seen) == 3
    assert all(b.at - a.at >= 12 for a, b in zip(server.seen, server.seen[1:], strict=False))


def test_retry_after_is_obeyed_where_inspect_names_no_wait(
    server: RawServer, build: Build, fake_time: FakeTime
) -> None:
    def inspect(reply: Reply) -> None:
        if reply.status == 429:
            raise TransientError("the rate is limited")

    server.routes["/"] = [lambda exchange: exchange.send(429, b"{}", Retry_After="30"), good]
    build().get(server.url("/"), inspect=inspect)
    first, second = server.seen
    assert second.at - first.at >= 30


@pytest.mark.parametrize(("by_body", "by_header"), [(2.0, "30"), (30.0, "2")])
def test_of_a_wait_in_the_body_and_one_in_the_header_the_longer_is_obeyed(
    by_body: float, by_header: str, server: RawServer, build: Build, fake_time: FakeTime
) -> None:
    def inspect(reply: Reply) -> None:
        if reply.status == 429:
            raise TransientError("the rate is limited", retry_after=by_body)

    server.routes["/"] = [lambda exchange: exchange.send(429, b"{}", Retry_After=by_header), good]
    build().get(server.url("/"), inspect=inspect)
    first, second = server.seen
    assert 30 <= second.at - first.at < 32


def test_inspect_can_make_any_answer_permanent(server: RawServer, build: Build) -> None:
    server.routes["/"] = status(503, b"this version is gone")

    def inspect(reply: Reply) -> None:
        raise PermanentError(f"{reply.status}: use the new endpoint")

    with pytest.raises(PermanentError, match="503: use the new endpoint"):
        build().get(server.url("/"), inspect=inspect)
    assert len(server.seen) == 1


def test_the_error_of_inspect_is_the_cause_once_attempts_are_used_up(server: RawServer, build: Build) -> None:
    class QuotaError(TransientError):
        pass

    def inspect(reply: Reply) -> None:
        raise QuotaError("hourly quota", retry_after=3)

    server.routes["/"] = good
    with pytest.raises(OutboundFailure) as caught:
        build(attempts=2).get(server.url("/"), inspect=inspect)
    assert isinstance(caught.value.__cause__, QuotaError)
    assert caught.value.retry_after == 3


@pytest.mark.parametrize(
    ("expect_json", "answer", "error"),
    [
        (True, status(200, b"<html>"), OutboundFailure),
        (False, status(502, b"<html>"), OutboundFailure),
        (False, status(404, b"<html>"), HttpStatusError),
        (False, status(200, b"<html>"), BodyError),
    ],
)
def test_inspect_may_leave_a_body_that_is_not_json_to_the_client(
    server: RawServer, build: Build, expect_json: bool, answer: Route, error: type[Exception]
) -> None:
    server.routes["/"] = answer
    with pytest.raises(error) as caught:
        build(attempts=2).get(server.url("/"), inspect=lambda reply: reply.json(), expect_json=expect_json)
    assert type(caught.value) is error
    assert len(server.seen) == (2 if error is OutboundFailure else 1)


def test_four_requests_in_nine_may_fail_and_every_page_still_arrives(
    server: RawServer, build: Build, fake_time: FakeTime
) -> None:
    """10 % each of 429, 5xx, resets and truncated bodies, 5 % pages with status 200, over 200 pages."""
    random = Random(3)
    kinds = [status(429, Retry_After="2"), status(503), Exchange.reset, short_body, FAULTS["a page instead of JSON"]]

    def page(exchange: Exchange) -> None:
        fault = random.choices([*kinds, None], [10, 10, 10, 10, 5, 55])[0]
        if fault is None:
            exchange.send(200, exchange.path.partition("=")[2].encode(), Content_Type="application/json")
        else:
            fault(exchange)

    server.routes["/"] = page
    client = build(attempts=20)
    assert [client.get(server.url("/"), params={"page": n}, expect_json=True).json() for n in range(200)] == [
        *range(200)
    ]
    counted = client.stats
    assert counted.requests == len(server.seen) == 200 + counted.retries
    assert sum(counted.by_status.values()) + counted.transport_errors == counted.requests


def test_json_is_asked_for_where_it_is_expected(server: RawServer, build: Build) -> None:
    server.routes["/"] = good
    client = build()
    client.get(server.url("/"), expect_json=True)
    client.get(server.url("/"))
    client.get(server.url("/"), expect_json=True, headers={"accept": "application/ld+json"})
    assert [seen.headers["accept"] for seen in server.seen] == [
        "application/json, */*;q=0.5",
        "*/*",
        "application/ld+json",
    ]


def test_a_request_that_cannot_be_sent_is_permanent(server: RawServer, build: Build) -> None:
    client = build()
    for headers in ({"X-A": "naïve ☃"}, {"X-A": "one\r\nX-B: two"}, {"X A": "space"}):
        with pytest.raises(PermanentError):
            client.get(server.url("/"), headers=headers)
    assert server.seen == []


def test_parameters_join_those_of_the_url_and_none_is_left_out(server: RawServer, build: Build) -> None:
    server.routes["/p"] = good
    build().get(server.url("/p?a=1"), params={"b": "é&", "c": None, "d": True, "e": ["x", "y"]})
    assert server.seen[0].target == "/p?a=1&b=%C3%A9%26&d=true&e=x&e=y"


def test_connections_are_reused(server: RawServer, build: Build) -> None:
    server.routes["/"] = good
    server.routes["/missing"] = status(404, b"no")
    client = build()
    for _ in range(20):
        client.get(server.url("/"))
        with pytest.raises(HttpStatusError):
            client.get(server.url("/missing"))
    assert server.connections == 1
    assert client.stats.as_metadata()["by_status"] == {"200": 20, "404": 20}
