from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import PermanentError
from resources.http import AddressRefusedError, OutboundClient, OutboundFailure
from resources.http.guard import refusal, system_resolver
from tests.http.server import PUBLIC, Exchange, RawServer, Rerouted, Resolver

Build = Callable[..., OutboundClient]

# What a person or a redirect may write, and the address it stands for (None: it is not a host at all).
TARGETS: dict[str, str | None] = {
    "http://169.254.169.254:{port}/latest/meta-data/": "169.254.169.254",
    "http://[::ffff:169.254.169.254]:{port}/": "::ffff:169.254.169.254",
    "http://[64:ff9b::a9fe:a9fe]:{port}/": "64:ff9b::a9fe:a9fe",
    "http://[2002:7f00:1::]:{port}/": "2002:7f00:1::",
    "http://[::127.0.0.1]:{port}/": "::127.0.0.1",
    "http://[::1]:{port}/": "::1",
    "http://[fec0::1]:{port}/": "fec0::1",
    "http://[fd00:ec2::254]:{port}/": "fd00:ec2::254",
    "http://192.0.0.8:{port}/": "192.0.0.8",
    "http://224.0.0.1:{port}/": "224.0.0.1",
    "http://100.64.0.1:{port}/": "100.64.0.1",
    "http://127.1:{port}/": "127.0.0.1",
    "http://0177.0.0.1:{port}/": "127.0.0.1",
    "http://2130706433:{port}/": "127.0.0.1",
    "http://0x7f000001:{port}/": "127.0.0.1",
    "http://①②⑦.⓪.⓪.①:{port}/": "127.0.0.1",
    "http://localhost:{port}/": "127.0.0.1",
    "http://0.0.0.0:{port}/": "0.0.0.0",
    "http://user:password@127.0.0.1:{port}/": "127.0.0.1",
    "gopher://127.0.0.1:{port}/_x": None,
}


class Trap:
    """Listens on every loopback address of both families and counts who comes."""

    def __init__(self, stack: ExitStack) -> None:
        self.visitors = 0
        self.port = 0
        self.families: set[socket.AddressFamily] = set()
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")):
            listener = stack.enter_context(socket.socket(family))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address, self.port))
            except OSError:
                if family is socket.AF_INET:
                    raise
                continue  # a machine without IPv6 has nothing there to reach
            self.families.add(family)
            listener.listen(64)
            self.port = listener.getsockname()[1]
            threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.visitors += 1
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def trap() -> Iterator[Trap]:
    with ExitStack() as stack:
        yield Trap(stack)


@pytest.fixture
def internet(server: RawServer) -> Rerouted:
    return Rerouted(server.server_port)


@pytest.mark.parametrize("target", TARGETS)
def test_a_refused_url_is_not_called_directly(build: Build, trap: Trap, internet: Rerouted, target: str) -> None:
    client = build(client={"allow_private": False, "sockets": internet})
    with pytest.raises(PermanentError):
        client.get(target.format(port=trap.port))
    assert (trap.visitors, internet.elsewhere) == (0, [])


@pytest.mark.parametrize("target", TARGETS)
def test_a_refused_url_is_not_called_by_redirect(
    server: RawServer, build: Build, trap: Trap, internet: Rerouted, target: str
) -> None:
    location = target.format(port=trap.port).encode("utf-8").decode("latin-1")
    server.routes["/go"] = lambda exchange: exchange.send(302, Location=location)

    def resolve(host: str, port: int) -> list[str]:
        return [PUBLIC] if host == "feed.example" else system_resolver(host, port)

    client = build(client={"allow_private": False, "sockets": internet, "resolve": resolve})
    with pytest.raises(PermanentError):
        client.get("http://feed.example/go")
    assert [seen.target for seen in server.seen] == ["/go"]
    assert (trap.visitors, internet.elsewhere) == (0, [])


@pytest.mark.parametrize("target", TARGETS)
def test_a_name_whose_answer_changes_leads_nowhere_else(
    server: RawServer, build: Build, trap: Trap, internet: Rerouted, target: str
) -> None:
    """The first answer is public, the second is not: each new connection is judged by what it connects to."""
    server.routes["/"] = lambda exchange: (exchange.send(503, Connection="close"), exchange.hang_up())
    resolver = Resolver({"rebind.example": [[PUBLIC], [PUBLIC], [TARGETS[target] or "127.0.0.1"]]})
    client = build(client={"allow_private": False, "sockets": internet, "resolve": resolver})
    with pytest.raises(AddressRefusedError):
        client.get(f"http://rebind.example:{trap.port}/")
    assert len(server.seen) == 2
    assert (trap.visitors, internet.elsewhere) == (0, [])


def test_there_are_sixty_attempts() -> None:
    assert len(TARGETS) * 3 == 60


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "127.1", "2130706433"])
def test_the_trap_is_reached_once_private_addresses_are_allowed(build: Build, trap: Trap, host: str) -> None:
    if ":" in host and socket.AF_INET6 not in trap.families:
        pytest.skip("this machine has no IPv6")
    assert build(client={"allow_private": True}).get(f"http://{host}:{trap.port}/").status == 200
    assert trap.visitors == 1


@pytest.mark.parametrize(
    "answers",
    [[PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, "2606:4700::1111", "fd00::1"], [PUBLIC, "not an address"]],
)
def test_one_private_address_among_public_ones_refuses_the_name(
    server: RawServer, build: Build, internet: Rerouted, answers: list[str]
) -> None:
    resolver = Resolver({"mixed.example": [answers]})
    client = build(client={"allow_private": False, "sockets": internet, "resolve": resolver})
    with pytest.raises(AddressRefusedError):
        client.get("http://mixed.example/")
    assert (server.seen, internet.elsewhere) == ([], [])


def test_a_public_name_is_called_at_its_checked_address_with_its_own_host_header(
    server: RawServer, build: Build, internet: Rerouted
) -> None:
    server.routes["/"] = Exchange.send
    resolver = Resolver({"feed.example": [[PUBLIC], ["127.0.0.1"]]})
    client = build(client={"allow_private": False, "sockets": internet, "resolve": resolver})
    for _ in range(3):
        assert client.get("http://feed.example:8080/").status == 200
    assert {seen.headers["Host"] for seen in server.seen} == {"feed.example:8080"}
    assert resolver.asked == ["feed.example"], "one connection, one look-up"


def test_a_name_nobody_knows_is_a_transient_failure(build: Build) -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(OutboundFailure, match=r"gone.example cannot be resolved"):
        build(client={"allow_private": False, "resolve": resolve}, attempts=2).get("http://gone.example/")


def test_a_silent_resolver_is_given_up_with_the_connect_timeout(build: Build) -> None:
    release = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        release.wait(20)
        return []

    with pytest.raises(OutboundFailure, match="no answer from the resolver"):
        build(client={"resolve": resolve}, attempts=1, connect_timeout=0.05).get("http://slow.example/")
    release.set()


@pytest.mark.parametrize(
    ("setting", "allowed"), [(None, False), ("", False), ("false", False), ("0", False), ("true", True), ("1", True)]
)
def test_the_setting_decides_whether_a_local_server_may_be_called(
    server: RawServer, build: Build, monkeypatch: pytest.MonkeyPatch, setting: str | None, allowed: bool
) -> None:
    if setting is not None:
        monkeypatch.setenv("INGESTION_ALLOW_PRIVATE_ADDRESSES", setting)
    server.routes["/"] = Exchange.send
    client = build(client={"allow_private": None})
    if allowed:
        assert client.get(server.url("/")).status == 200
    else:
        with pytest.raises(AddressRefusedError, match="INGESTION_ALLOW_PRIVATE_ADDRESSES=true"):
            client.get(server.url("/"))
    assert len(server.seen) == int(allowed)


def test_a_setting_that_is_neither_yes_nor_no_is_an_error(monkeypatch: pytest.MonkeyPatch, build: Build) -> None:
    monkeypatch.setenv("INGESTION_ALLOW_PRIVATE_ADDRESSES", "maybe")
    with pytest.raises(PermanentError, match="INGESTION_ALLOW_PRIVATE_ADDRESSES: Input should be a valid boolean"):
        build(client={"allow_private": None})


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255",
        "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.9", "192.0.2.1", "192.88.99.1",
        "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250",
        "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:8.8.8.8", "::ffff:127.0.0.1",
        "::ffff:0:127.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2001:20::1",
        "2002:808:808::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1",
        "fe80::1%lo", "2606:4700::1111%lo", "fec0::1", "ff02::1", "", "localhost", "127.1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert refusal(address) is not None


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2a00:1450::8a"],
)
def test_a_public_address_is_let_through(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "172.16.9.9", "192.168.1.1", "100.64.0.1", "::1", "fd12::1"]
)
def test_private_addresses_are_let_through_when_allowed(address: str) -> None:
    assert refusal(address, allow_private=True) is None


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
        *("fd00:c1::a9fe:a9fe", "fd00:42::42", "fe80::1", "0.0.0.0", "224.0.0.1", "::ffff:127.0.0.1", "2002:7f00:1::"),
    ],
)
def test_metadata_services_and_disguises_are_refused_even_then(address: str) -> None:
    assert refusal(address, allow_private=True) is not None


@given(st.integers(0, 2**128 - 1))
def test_every_way_to_write_an_ipv4_address_inside_ipv6_is_refused(bits: int) -> None:
    inner = bits & 0xFFFFFFFF
    for prefix in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::"):
        assert refusal(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | inner))) is not None
    assert refusal(str(ipaddress.IPv6Address((0x2002 << 112) | (inner << 80)))) is not None
    if refusal(str(ipaddress.IPv6Address(bits))) is None:
        assert bits >> 125 == 0b001


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://feed.example/a", "//feed.example/a", "feed.example/a", "http:///a", "http://",
            "unix:///var/run/x.sock", "javascript:alert(1)", "http://user@feed.example/", "http://:pw@feed.example/",
            "http://feed.example:99999/", "http://[::1/", "http://a b/", "", "data:text/plain,x"]
)  # fmt: skip
def test_what_is_not_a_plain_web_address_is_refused(build: Build, internet: Rerouted, url: str) -> None:
    with pytest.raises(PermanentError):
        build(client={"sockets": internet}).get(url)
    assert internet.elsewhere == []


def test_proxy_variables_are_not_obeyed(
    server: RawServer, build: Build, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
    server.routes["/"] = Exchange.send
    assert build().get(server.url("/")).status == 200
    assert trap.visitors == 0
