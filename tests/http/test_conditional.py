from __future__ import annotations

from collections.abc import Callable

import pytest

from resources.errors import PermanentError
from resources.http import MemoryCache, OutboundClient, Reply
from resources.http.cache import MAX_CACHED_BODY
from tests.http.server import Exchange, RawServer

Build = Callable[..., OutboundClient]


def versioned(body: bytes, **validators: str) -> Callable[[Exchange], None]:
    def route(exchange: Exchange) -> None:
        asked = exchange.headers.get("If-None-Match"), exchange.headers.get("If-Modified-Since")
        if asked != (None, None) and asked == (validators.get("ETag"), validators.get("Last_Modified")):
            exchange.raw(b"HTTP/1.1 304 Not Modified\r\n\r\n")
        else:
            exchange.send(200, body, Content_Type="text/calendar; charset=utf-8", **validators)

    return route


@pytest.mark.parametrize(
    "validators",
    [
        {"ETag": '"v1"'},
        {"ETag": 'W/"v1"'},
        {"Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT"},
        {"ETag": '"v1"', "Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT"},
    ],
)
def test_an_unchanged_document_comes_from_the_cache(
    server: RawServer, build: Build, validators: dict[str, str]
) -> None:
    server.routes["/feed"] = versioned(b"BEGIN:VCALENDAR", **validators)
    cache = MemoryCache()
    first = build(client={"cache": cache}).get(server.url("/feed"), conditional=True)
    client = build(client={"cache": cache})
    second = client.get(server.url("/feed"), conditional=True)
    assert (first.body, first.from_cache) == (b"BEGIN:VCALENDAR", False)
    assert (second.body, second.from_cache, second.status) == (b"BEGIN:VCALENDAR", True, 200)
    assert second.charset == "utf-8"
    assert (client.stats.not_modified, client.stats.wire_bytes) == (1, 0)


def test_a_changed_document_replaces_the_cached_one(server: RawServer, build: Build) -> None:
    client = build(client={"cache": MemoryCache()})
    for body in (b"one", b"two", b"two"):
        server.routes["/feed"] = versioned(body, ETag=f'"{body!r}"')
        reply = client.get(server.url("/feed"), conditional=True)
        assert reply.body == body
    assert reply.from_cache


def test_without_conditional_nothing_is_asked_or_kept(server: RawServer, build: Build) -> None:
    server.routes["/feed"] = versioned(b"x", ETag='"v"')
    client = build(client={"cache": MemoryCache()})
    for conditional in (False, True, False):
        assert not client.get(server.url("/feed"), conditional=conditional).from_cache
    assert all("If-None-Match" not in seen.headers for seen in server.seen)


def test_addresses_that_differ_in_a_secret_only_do_not_share_a_body(server: RawServer, build: Build) -> None:
    client = build(client={"cache": MemoryCache()})
    server.routes["/feed"] = versioned(b"calendar of one person", ETag='"same"')
    client.get(server.url("/feed"), params={"token": "first-person"}, conditional=True)
    server.routes["/feed"] = versioned(b"calendar of another", ETag='"same"')
    for token, header in (("second-person", {}), ("first-person", {"Authorization": "Bearer somebody-else"})):
        reply = client.get(server.url("/feed"), params={"token": token}, headers=header, conditional=True)
        assert (reply.body, reply.from_cache) == (b"calendar of another", False)


def test_a_redirected_document_is_kept_for_where_it_lies(server: RawServer, build: Build) -> None:
    client = build(client={"cache": MemoryCache()})
    server.routes["/feed"] = lambda exchange: exchange.send(302, Location="/a")
    server.routes["/a"] = versioned(b"a", Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")
    server.routes["/b"] = versioned(b"b", Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")
    assert [client.get(server.url("/feed"), conditional=True).from_cache for _ in range(2)] == [False, True]
    server.routes["/feed"] = lambda exchange: exchange.send(302, Location="/b")
    reply = client.get(server.url("/feed"), conditional=True)
    assert (reply.body, reply.from_cache) == (b"b", False)


@pytest.mark.parametrize(
    ("size", "headers"),
    [(MAX_CACHED_BODY + 1, {"ETag": '"v"'}), (10, {"ETag": '"v"', "Cache_Control": "private, no-store"}), (10, {})],
)
def test_some_answers_are_not_kept(server: RawServer, build: Build, size: int, headers: dict[str, str]) -> None:
    server.routes["/feed"] = lambda exchange: exchange.send(200, b"x" * size, **headers)
    client = build(client={"cache": MemoryCache()})
    for _ in range(2):
        assert len(client.get(server.url("/feed"), conditional=True).body) == size
    assert "if-none-match" not in {name.lower() for name in server.seen[1].headers}


def test_an_answer_the_caller_refuses_is_not_kept(server: RawServer, build: Build) -> None:
    def inspect(reply: Reply) -> None:
        if b"error" in reply.body:
            raise PermanentError("the service reports an error")

    client = build(client={"cache": MemoryCache()})
    server.routes["/feed"] = versioned(b"error", ETag='"v"')
    with pytest.raises(PermanentError, match="reports an error"):
        client.get(server.url("/feed"), conditional=True, inspect=inspect)
    server.routes["/feed"] = versioned(b"good", ETag='"v"')
    assert client.get(server.url("/feed"), conditional=True, inspect=inspect).body == b"good"


def test_the_memory_cache_forgets_what_was_not_used_longest() -> None:
    from datetime import UTC, datetime

    from resources.http import CachedReply

    cache = MemoryCache(max_entries=2)
    replies = {key: CachedReply(key, None, key.encode(), None, datetime.now(UTC)) for key in "abc"}
    for key in "ab":
        cache.put(key, replies[key])
    cache.get("a")
    cache.put("c", replies["c"])
    assert [cache.get(key) for key in "abc"] == [replies["a"], None, replies["c"]]
