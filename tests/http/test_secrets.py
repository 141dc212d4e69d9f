from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest

from resources.errors import PermanentError, TransientError
from resources.http import (
    OutboundClient,
    OutboundPolicy,
    RedactingFilter,
    Reply,
    redact,
    redact_url,
    register_secret,
)
from tests.http.server import Exchange, RawServer

Build = Callable[..., OutboundClient]

CANARY = "SECRETcanary/+=é-0123"
_numbers = count()


@pytest.fixture
def log() -> Iterator[list[str]]:
    """Everything any logger writes at DEBUG, as text with tracebacks and with the records' own fields."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record) + repr(record.__dict__))

    root, keep = logging.getLogger(), Keep(logging.DEBUG)
    before = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(keep)
    yield lines
    root.removeHandler(keep)
    root.setLevel(before)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        yield from chain(error.__context__) if error.__context__ is not error.__cause__ else ()
        error = error.__cause__


def shown(error: BaseException) -> str:
    """All that a log, a Dagster event or a debugger's first look shows of an error and those behind it."""
    parts = ["".join(traceback.format_exception(error))]
    for each in chain(error):
        assert type(each).__module__.split(".")[0] not in {"httpx", "httpcore", "h11"}
        parts += [str(each), repr(each), repr(each.__dict__), repr(each.args)]
    return "\n".join(parts)


def sent(exchange: Exchange) -> str:
    """All that the client sent, as a service that talks too much would repeat it."""
    fields = parse_qsl(exchange.path.partition("?")[2]) + parse_qsl(exchange.content.decode())
    return f"{exchange.path} {fields} {list(exchange.headers.items())}"


FAULTS: dict[str, Callable[[Exchange], None]] = {
    "status that repeats the key": lambda it: it.send(400, sent(it).encode()),
    "5xx that repeats the key": lambda it: it.send(503, sent(it).encode()),
    "reset": Exchange.reset,
    "not HTTP": lambda it: (it.raw(f"{sent(it)}\r\n\r\n".encode()), it.hang_up()),
    "truncated": lambda it: (it.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), it.hang_up()),
    "page": lambda it: it.send(200, f"<html>{sent(it)}</html>".encode()),
    "broken JSON": lambda it: it.send(200, f'{{"{sent(it)}'.encode()),
    "wrong encoding": lambda it: it.send(200, b"x", Content_Encoding="br"),
    "too long": lambda it: it.send(200, b"x" * 5000),
    "redirect loop": lambda it: it.send(302, Location=it.path),
    "redirect to nowhere": lambda it: it.send(302, Location=f"ftp://x{it.path}"),
    "redirect to a private address": lambda it: it.send(302, Location=f"http://169.254.169.254{it.path}"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", ["param", "own param", "bearer", "key header", "form", "url"])
def test_a_key_is_in_no_error_log_or_repr(
    server: RawServer, build: Build, log: list[str], fault: str, place: str
) -> None:
    server.routes["/x"] = FAULTS[fault]
    # A value of its own, since one that an earlier case registered would be masked anyhow.
    number = next(_numbers)
    secret = f"SECRETcanary{number}/+=-é" if place not in {"bearer", "key header"} else f"SECRETcanary{number}/+=-"
    how: dict[str, dict[str, Any]] = {
        "param": {"params": {"apikey": secret}},
        "own param": {"params": {"ticket": secret}},
        "bearer": {"headers": {"Authorization": f"Bearer {secret}"}},
        "key header": {"headers": {"X-API-Key": secret}},
        "form": {"form": {"client_secret": secret}},
        "url": {},
    }
    url = server.url("/x") + (f"?token={quote(secret)}" if place == "url" else "")
    client = build(attempts=2, max_wire_bytes=4000, secret_params=frozenset({"ticket"}))
    with pytest.raises((TransientError, PermanentError)) as caught:
        (client.post if place == "form" else client.get)(url, expect_json=True, **how[place])
    assert server.seen
    text = shown(caught.value) + repr(client) + repr(client.policy) + repr(client.stats) + "".join(log)
    for reply in (getattr(each, "reply", None) for each in chain(caught.value)):
        text += repr(reply) + (reply.url if reply else "")
    assert "SECRETcanary" not in text


def test_httpx_and_httpcore_stay_quiet_even_when_somebody_turns_them_up(
    server: RawServer, build: Build, log: list[str]
) -> None:
    server.routes["/"] = Exchange.send
    build().get(server.url("/"), params={"apikey": CANARY})
    assert not [line for line in log if "httpcore" in line or "httpx" in line]
    logger = logging.getLogger("httpx")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        logger.info("HTTP Request: GET %s", "https://feed.example/?apikey=abcdef123")
    finally:
        logger.setLevel(before)
    assert "abcdef123" not in "".join(log)
    assert "https://feed.example/?apikey=***" in "".join(log)


def test_an_error_that_inspect_raises_is_cleaned(server: RawServer, build: Build) -> None:
    def inspect(reply: Reply) -> None:
        raise PermanentError(f"the service says: {reply.text()}")

    server.routes["/"] = lambda exchange: exchange.send(200, b"unknown key SECRETcanary-xyz")
    with pytest.raises(PermanentError) as caught:
        build().get(server.url("/"), params={"apikey": "SECRETcanary-xyz"}, inspect=inspect)
    assert str(caught.value) == "the service says: unknown key ***"


def test_a_failed_request_that_never_left_shows_no_key(build: Build) -> None:
    for url in (
        f"http://[::1?apikey={CANARY}",
        f"http://u:{CANARY}@feed.example/",
        f"gopher://x/?token={quote(CANARY)}",
    ):
        with pytest.raises(PermanentError) as caught:
            build().get(url)
        assert "SECRETcanary" not in shown(caught.value)


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://a.example/x?apikey=k1&page=2", "https://a.example/x?apikey=***&page=2"),
        ("https://a.example/x?APIKEY=k1&Access_Token=k2", "https://a.example/x?APIKEY=***&Access_Token=***"),
        ("https://a.example/x?apikey=&key", "https://a.example/x?apikey=&key"),
        ("https://user:pw@a.example:8/x#token=k", "https://***@a.example:8/x"),
        ("https://a.example/x?ticket=k1", "https://a.example/x?ticket=***"),
        ("https://a.example/x?monkey=1&keyword=jazz", "https://a.example/x?monkey=1&keyword=jazz"),
        (
            "https://calendar.example/ical/a%40b/private-0123456789abcdef/basic.ics",
            "https://calendar.example/ical/a%40b/private-***/basic.ics",
        ),
        ("http://[::1?key=abc", "http://[::1?key=***"),
        ("http://user:pass/word@a.example/x", "http://***@a.example/x"),
        ("http://a.example:99999/x?key=abc", "http://a.example:99999/x?key=***"),
    ],
)
def test_urls_are_masked_where_they_are_secret_and_nowhere_else(url: str, clean: str) -> None:
    assert redact_url(url, frozenset({"ticket"})) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("GET https://a.example/?q=jazz&token=abc failed", "GET https://a.example/?q=jazz&token=*** failed"),
        ("Authorization: Bearer abcdef.ghi-jkl", "Authorization: ***"),
        ("sent Bearer abcdef.ghi-jkl twice", "sent Bearer *** twice"),
        ("{'Authorization': 'Bearer abcdef', 'x': 1}", "{'Authorization': '***', 'x': 1}"),
        ('{"access_token": "abc", "n": 2}', '{"access_token": "***", "n": 2}'),
        ("(b'authorization', b'Basic YWJjOmRlZg==')", "(b'authorization', b'***')"),
        ("postgresql://me:pw@db/x is down", "postgresql://***@db/x is down"),
        ("a monkey=1 and the key to success", "a monkey=1 and the key to success"),
        ("", ""),
    ],
)
def test_text_is_masked_where_it_is_secret_and_nowhere_else(text: str, clean: str) -> None:
    assert redact(text) == clean


def test_a_registered_secret_is_masked_in_all_its_forms_and_short_ones_are_left() -> None:
    register_secret("rotating & token")
    register_secret("cat")
    assert redact("x rotating & token y rotating%20%26%20token z rotating+%26+token") == "x *** y *** z ***"
    assert redact("a cat") == "a cat"


def test_registered_secrets_do_not_grow_without_end() -> None:
    for n in range(2000):
        register_secret(f"temporary-token-{n:05}")
    assert redact("temporary-token-01999 temporary-token-00000") == "*** temporary-token-00000"


def test_the_filter_cleans_arguments_and_tracebacks() -> None:
    register_secret("filtered-secret-value")
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    logger, handler = logging.getLogger("tests.http.filter"), Keep()
    handler.addFilter(RedactingFilter())
    logger.addHandler(handler)
    logger.propagate = False
    try:
        int("filtered-secret-value")
    except ValueError:
        logger.exception("asked %s with %d%%", "https://x.example/?token=abc", 50)
    logger.removeHandler(handler)
    assert "filtered-secret-value" not in lines[0]
    assert "asked https://x.example/?token=*** with 50%" in lines[0]
    assert "ValueError: invalid literal for int() with base 10: '***'" in lines[0]
    assert "Traceback" in lines[0]


def test_the_filter_lets_a_record_with_wrong_arguments_through() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "%d of token=abcdef", ("three",), None)
    assert RedactingFilter().filter(record)
    assert record.getMessage() == "%d of token=*** (its arguments do not fit)"


def test_a_long_text_is_cleaned_in_linear_time() -> None:
    for text in ("a" * 200_000, "://" * 60_000, "key=" * 50_000, '"token":' * 20_000, "bearer " * 30_000):
        redact(text)


def test_the_policy_shows_names_of_parameters_only() -> None:
    assert "apikey" in repr(OutboundPolicy(name="x"))
