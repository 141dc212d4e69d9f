from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from base64 import b85decode
from collections.abc import Callable, Iterator

import pytest

from resources.errors import TransientError
from resources.http import BodyRefusedError, OutboundClient, OutboundFailure
from resources.http.body import read_body
from tests.http.server import Exchange, RawServer, Route

Build = Callable[..., OutboundClient]
MIB = 1024 * 1024
BOMB = 200 * MIB


def gzip_zeros(size: int) -> bytes:
    squeeze = zlib.compressobj(9, wbits=31)
    parts = [squeeze.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*parts, squeeze.flush()])


def zstd_zeros(size: int) -> bytes:
    """A frame of RLE blocks (RFC 8878 §3.1.1.2.2): four bytes stand for 128 KiB each."""
    blocks = size // (128 * 1024)
    header = b"\x28\xb5\x2f\xfd" + b"\x00\x58"
    body = (128 * 1024 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = (128 * 1024 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    return header + body * (blocks - 1) + last


# 200 MiB of zeros as one brotli stream (172 bytes), made with the reference library and deflated once more.
BROTLI_ZEROS = zlib.decompress(
    b85decode(
        "c-lMv|9|}tb%sY99TdL*oB#j+{}28QM-mwu-u<-)avsiS=s2vzaQAopzyJRa+cOHZvoh@Z{{PSa|Lyfm3VhrQCGY?L{QsZ-KZ}Em7{iNu|3Cl#"
        "FaM9T!9s`O!ruSS|NpoDBg{}3!LXqE|9PlI8yFmLS;T~4(NAQH7yzznW9R"
    )
)


@pytest.fixture(scope="module")
def bombs() -> dict[str, tuple[str, bytes]]:
    squeezed = gzip_zeros(BOMB)
    return {
        "gzip": ("gzip", squeezed),
        "gzip in gzip": ("gzip, gzip", gzip.compress(squeezed)),
        "brotli": ("br", BROTLI_ZEROS),
        "zstd": ("zstd", zstd_zeros(BOMB)),
        "deflate": ("deflate", zlib.compress(bytes(BOMB // 8))),
        "brotli in gzip": ("br, gzip", gzip.compress(BROTLI_ZEROS)),
    }


@pytest.mark.parametrize("kind", ["gzip", "gzip in gzip", "brotli", "zstd", "deflate", "brotli in gzip"])
def test_a_compression_bomb_is_refused_with_flat_memory(
    server: RawServer, build: Build, bombs: dict[str, tuple[str, bytes]], kind: str
) -> None:
    encoding, body = bombs[kind]
    server.routes["/"] = lambda exchange: exchange.send(200, body, Content_Encoding=encoding)
    client = build()
    server.routes["/ok"] = Exchange.send
    client.get(server.url("/ok"))  # what is loaded or allocated once is not the bomb's
    tracemalloc.start()
    try:
        with pytest.raises(BodyRefusedError):
            client.get(server.url("/"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * MIB
    assert [seen.target for seen in server.seen] == ["/ok", "/"]


def test_a_bomb_that_stays_under_the_ratio_is_stopped_by_the_size(server: RawServer, build: Build) -> None:
    body = gzip.compress(bytes(range(256)) * 4096 * 8, 1)  # 8 MiB, about 90-fold
    server.routes["/"] = lambda exchange: exchange.send(200, body, Content_Encoding="gzip")
    assert len(build(max_body_bytes=8 * MIB).get(server.url("/")).body) == 8 * MIB
    with pytest.raises(BodyRefusedError, match="inflates beyond the limit"):
        build(max_body_bytes=8 * MIB - 1).get(server.url("/"))


def test_only_gzip_is_offered_whatever_the_caller_asks_for(server: RawServer, build: Build) -> None:
    server.routes["/"] = Exchange.send
    build().get(server.url("/"), headers={"accept-encoding": "br, zstd"})
    assert server.seen[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "identity, gzip"])
def test_gzip_is_inflated(server: RawServer, build: Build, encoding: str) -> None:
    text = b"".join(b"%d," % n for n in range(200_000))
    server.routes["/"] = lambda exchange: exchange.send(200, gzip.compress(text), Content_Encoding=encoding)
    client = build()
    assert client.get(server.url("/")).body == text
    assert client.stats.body_bytes == len(text)
    assert client.stats.wire_bytes == len(gzip.compress(text))


@pytest.mark.parametrize("named", ["UTF-8", "utf8", "none", "8bit", "identity", ""])
def test_a_plain_body_is_read_although_its_encoding_is_none(server: RawServer, build: Build, named: str) -> None:
    """Export scripts name the charset there, and every browser reads what they send."""
    server.routes["/"] = lambda exchange: exchange.send(200, b"BEGIN:VCALENDAR", Content_Encoding=named)
    assert build().get(server.url("/")).body == b"BEGIN:VCALENDAR"


def drops(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 7, 65_536])
def test_members_and_padding_come_out_as_one_body_however_they_are_cut(size: int) -> None:
    first, second = b"a" * 300_000, b"b" * 524_288
    data = gzip.compress(first) + gzip.compress(b"") + b"\0" * 9 + gzip.compress(second) + b"\0\0"
    body = read_body(drops(data, size), encoding="gzip", length=None, max_wire=MIB, max_body=MIB)
    assert body == first + second


def read(data: bytes) -> bytes:
    return read_body([data], encoding="gzip", length=None, max_wire=MIB, max_body=MIB)


def test_gzip_that_breaks_off_or_is_damaged_is_transient() -> None:
    data = gzip.compress(bytes(range(256)) * 100)
    for cut in (1, 5, 15, len(data) // 2, len(data) - 1):
        with pytest.raises(TransientError):
            read(data[:cut])
    with pytest.raises(TransientError, match="damaged"):
        read(data[:-8] + b"\0" * 8)
    with pytest.raises(TransientError, match="damaged"):
        read(data + b"garbage")


def test_what_only_says_it_is_gzip_is_refused() -> None:
    with pytest.raises(BodyRefusedError, match="says it is gzip"):
        read(b'{"plain": true}')
    assert read(b"") == b""


def test_a_body_of_countless_empty_members_is_refused() -> None:
    started = time.process_time()
    with pytest.raises(BodyRefusedError, match="pieces"):
        read(gzip.compress(b"") * 50_000)
    assert time.process_time() - started < 10


def test_an_announced_size_over_the_limit_is_refused_before_reading(server: RawServer, build: Build) -> None:
    server.routes["/"] = lambda it: (
        it.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n"),
        it.server.leave.wait(20),
    )
    with pytest.raises(BodyRefusedError, match="5000000 bytes long"):
        build(max_wire_bytes=1_000_000).get(server.url("/"))


def endless(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not exchange.server.leave.is_set():
        exchange.raw(b"10000\r\n" + b"x" * 65_536 + b"\r\n")


def test_an_endless_body_is_cut_at_the_limit(server: RawServer, build: Build) -> None:
    server.routes["/"] = endless
    client = build(max_wire_bytes=MIB)
    with pytest.raises(BodyRefusedError, match="longer than the limit"):
        client.get(server.url("/"))
    assert MIB < client.stats.wire_bytes < 1.2 * MIB


def test_the_body_limit_holds_without_compression(server: RawServer, build: Build) -> None:
    server.routes["/"] = lambda exchange: exchange.send(200, b"x" * 2000)
    with pytest.raises(BodyRefusedError):
        build(max_body_bytes=1999).get(server.url("/"))
    assert len(build(max_body_bytes=2000).get(server.url("/")).body) == 2000


def drip(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not exchange.server.leave.wait(0.05):
        exchange.raw(b"x")


def drip_head(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not exchange.server.leave.wait(0.05):
        exchange.raw(b"x")


def informational(exchange: Exchange) -> None:
    while not exchange.server.leave.wait(0.05):
        exchange.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")


@pytest.mark.parametrize("route", [drip, drip_head, informational, lambda it: it.server.leave.wait(20)])
def test_the_total_time_ends_an_answer_that_drips(server: RawServer, route: Route) -> None:
    """Each byte comes well within the read timeout; on the real clock, so the bound is generous."""
    from resources.http import OutboundPolicy

    server.routes["/"] = route
    policy = OutboundPolicy(name="drip", read_timeout=30, total_timeout=0.5)
    started = time.monotonic()
    with (
        OutboundClient(policy, allow_private=True) as client,
        pytest.raises(OutboundFailure, match=r"total time|ReadTimeout"),
    ):
        client.get(server.url("/"))
    assert time.monotonic() - started < 10
    assert len(server.seen) == 1


def test_silence_longer_than_the_read_timeout_is_repeated(server: RawServer, build: Build) -> None:
    server.routes["/"] = [lambda it: it.server.leave.wait(20), Exchange.send]
    assert build(read_timeout=0.1).get(server.url("/")).status == 200
    assert len(server.seen) == 2
