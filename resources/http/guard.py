"""Which addresses may be called, and a network backend that connects to nothing else.

Belongs here: the rule and its enforcement at the socket. A name is resolved once, every address it has is judged, and
the connection goes to a judged address, so that neither a redirect nor a name whose answer changes (DNS rebinding)
leads elsewhere. Host header, SNI and certificate checks keep the name.

The rule is written out as networks (IANA special-purpose registries) because `ipaddress` of Python 3.11 calls several
of them global: NAT64, 6to4, IPv4-compatible and site-local addresses, multicast, 192.0.0.0/24.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from queue import Empty, SimpleQueue
from typing import Any

import httpcore

from resources.http.errors import AddressRefusedError

Resolver = Callable[[str, int], Iterable[str]]
"""(host, port) → addresses as text. Raises OSError when the name has none."""

# May be called when private addresses are allowed: where a local server or a company's own services live.
_PRIVATE: tuple[tuple[str, IPv4Network | IPv6Network], ...] = (
    ("loopback", IPv4Network("127.0.0.0/8")),
    ("private", IPv4Network("10.0.0.0/8")),
    ("private", IPv4Network("172.16.0.0/12")),
    ("private", IPv4Network("192.168.0.0/16")),
    ("shared", IPv4Network("100.64.0.0/10")),
    ("loopback", IPv6Network("::1/128")),
    ("private", IPv6Network("fc00::/7")),
)
# Never called: cloud metadata services, and ranges in which no server can be.
_NEVER: tuple[tuple[str, IPv4Network | IPv6Network], ...] = (
    ("unspecified", IPv4Network("0.0.0.0/8")),
    ("link-local", IPv4Network("169.254.0.0/16")),
    ("protocol assignment", IPv4Network("192.0.0.0/24")),
    ("documentation", IPv4Network("192.0.2.0/24")),
    ("6to4 relay", IPv4Network("192.88.99.0/24")),
    ("benchmarking", IPv4Network("198.18.0.0/15")),
    ("documentation", IPv4Network("198.51.100.0/24")),
    ("documentation", IPv4Network("203.0.113.0/24")),
    ("multicast", IPv4Network("224.0.0.0/4")),
    ("reserved", IPv4Network("240.0.0.0/4")),
    # Those that lie outside the link-local ranges.
    ("metadata service", IPv4Network("168.63.129.16/32")),  # Azure, among public addresses
    ("metadata service", IPv4Network("100.100.100.200/32")),  # Alibaba Cloud
    ("metadata service", IPv6Network("fd00:ec2::254/128")),  # AWS: instances, and pods of EKS
    ("metadata service", IPv6Network("fd00:ec2::23/128")),
    ("metadata service", IPv6Network("fd20:ce::254/128")),  # Google Cloud
    ("metadata service", IPv6Network("fd00:c1::a9fe:a9fe/128")),  # Oracle Cloud
    ("metadata service", IPv6Network("fd00:42::42/128")),  # Scaleway
    ("protocol assignment", IPv6Network("2001::/23")),
    ("documentation", IPv6Network("2001:db8::/32")),
    ("6to4", IPv6Network("2002::/16")),
    ("documentation", IPv6Network("3fff::/20")),
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def refusal(address: str, *, allow_private: bool = False) -> str | None:
    """Why `address` may not be called, in one or two words; None when it may."""
    try:
        ip = ip_address(address)
    except ValueError:
        return "unreadable"
    if isinstance(ip, IPv6Address) and ip.scope_id:
        return "link-local"
    for kind, network in _NEVER:
        if ip in network:
            return kind
    for kind, network in _PRIVATE:
        if ip in network:
            return None if allow_private else kind
    if isinstance(ip, IPv4Address):
        return None if ip.is_global else "special-purpose"
    return None if ip in _GLOBAL_UNICAST else "special-purpose"


def system_resolver(host: str, port: int) -> list[str]:
    """Addresses of `host` as the operating system knows them, in its order of preference, each once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def checked_addresses(host: str, port: int, *, resolve: Resolver, allow_private: bool) -> list[str]:
    """The addresses of `host`, all judged. AddressRefusedError if only one of them is refused.

    An honest public name has no private address beside its public ones, and taking just the good ones would let an
    attacker choose by repeating the call.
    """
    addresses = list(resolve(host, port))
    for address in addresses:
        kind = refusal(address, allow_private=allow_private)
        if kind is not None:
            hint = (
                "set INGESTION_ALLOW_PRIVATE_ADDRESSES=true if this server is meant to be called"
                if refusal(address, allow_private=True) is None
                else "such an address is never called"
            )
            raise AddressRefusedError(f"{host} stands for a {kind} address, which is refused; {hint}")
    if not addresses:
        raise OSError(f"{host} has no address")
    return addresses


class Deadline:
    """A moment on a clock, in seconds."""

    __slots__ = ("_clock", "_end")

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds until the moment; negative once it is past."""
        return self._end - self._clock()


# The pool may open a connection and read from it on behalf of whichever call runs in this thread: the call's deadline
# travels beside the arguments httpcore has.
current_deadline: ContextVar[Deadline | None] = ContextVar("current_deadline", default=None)

_WRITE_PIECE = 65536


def _bounded(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    deadline = current_deadline.get()
    if deadline is None:
        return timeout
    left = deadline.left()
    if left <= 0:
        raise error("the call's total time is used up")
    return left if timeout is None else min(timeout, left)


class DeadlineStream(httpcore.NetworkStream):
    """A stream whose every read and write also ends with the call's deadline, so a dripping server cannot hold it."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """As the wrapped stream, no longer than the deadline."""
        return self._stream.read(max_bytes, _bounded(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """As the wrapped stream, in pieces, no longer than the deadline."""
        for start in range(0, len(buffer), _WRITE_PIECE):
            self._stream.write(buffer[start : start + _WRITE_PIECE], _bounded(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        """Close the wrapped stream."""
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """As the wrapped stream; the result has the deadline too."""
        bounded = _bounded(timeout, httpcore.ConnectTimeout)
        return DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, bounded))

    def get_extra_info(self, info: str) -> Any:
        """As the wrapped stream."""
        return self._stream.get_extra_info(info)


class GuardedBackend(httpcore.NetworkBackend):
    """Connects only to addresses that `refusal` lets through."""

    def __init__(
        self, *, allow_private: bool, resolve: Resolver | None = None, sockets: httpcore.NetworkBackend | None = None
    ) -> None:
        """`resolve` and `sockets` replace the operating system's; `sockets` is only ever given checked addresses."""
        self._allow_private = allow_private
        self._resolve = resolve or system_resolver
        self._tcp = sockets or httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve, judge, and connect to the first address that answers."""
        end = Deadline(min(_bounded(timeout, httpcore.ConnectTimeout) or 60.0, 60.0))
        addresses = self._resolve_within(host, port, end.left())
        for tried, address in enumerate(addresses):
            # A silent first address must leave time for the others.
            share = max(end.left(), 0.05) / (len(addresses) - tried)
            try:
                return DeadlineStream(self._tcp.connect_tcp(address, port, share, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if tried == len(addresses) - 1:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    def _resolve_within(self, host: str, port: int, seconds: float) -> list[str]:
        """`checked_addresses` with a time limit, which the system's resolver does not have."""
        answers: SimpleQueue[list[str] | Exception] = SimpleQueue()

        def look_up() -> None:
            try:
                answers.put(checked_addresses(host, port, resolve=self._resolve, allow_private=self._allow_private))
            except Exception as error:  # noqa: BLE001 - handed to the waiting thread, which raises it
                answers.put(error)

        threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
        try:
            answer = answers.get(timeout=seconds)
        except Empty:
            raise httpcore.ConnectTimeout(f"no answer from the resolver about {host}") from None
        if isinstance(answer, AddressRefusedError):
            raise answer
        if isinstance(answer, Exception):
            raise httpcore.ConnectError(f"{host} cannot be resolved: {answer}")
        return answer

    def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002 - the signature is httpcore's
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """Never: no URL should reach a local socket."""
        raise AddressRefusedError("local sockets are not called")
