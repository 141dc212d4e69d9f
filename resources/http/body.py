"""A body off the wire: counted, inflated under limits, and refused when it is a bomb.

Belongs here: bytes. What they mean is in `reply.py`. httpx's own decoders are not used: one of their chunks can be
200 MiB out of 317 bytes, before any caller gets to count.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from resources.errors import TransientError
from resources.http.errors import BodyRefusedError

_PIECE = 256 * 1024
# zlib reaches 1,032:1 on zeros; JSON, ICS and HTML reach 5 to 60:1. Small bodies may be as regular as they like.
_RATIO_LIMIT = 200
_RATIO_FREE_BYTES = 8 * 1024 * 1024
# Names that are no content coding, which servers send with a plain body: scripts that mean the charset above all.
_PLAIN = frozenset({"", "identity", "none", "utf-8", "utf8", "8bit", "binary"})
# Each member costs a copy of what follows it; a body of empty members would cost its square.
_MEMBER_LIMIT = 4096


def read_body(chunks: Iterable[bytes], *, encoding: str, length: str | None, max_wire: int, max_body: int) -> bytes:
    """The whole body, inflated. `encoding` and `length` are the Content-Encoding and Content-Length fields.

    BodyRefusedError: over a limit, a bomb, or an encoding other than gzip. TransientError: gzip data that breaks off
    or is damaged. What `chunks` raises passes through.
    """
    names = [name for part in encoding.split(",") if (name := part.strip().lower()) not in _PLAIN]
    if names not in ([], ["gzip"], ["x-gzip"]):
        shown = ", ".join(names)[:60]
        raise BodyRefusedError(f"the answer is encoded as {shown!r}, although only gzip was offered")
    if length is not None and length.isdigit() and int(length) > max_wire:
        raise BodyRefusedError(f"the answer is {length} bytes long, the limit is {max_wire}")
    inflater = Inflater(max_body) if names else None
    parts: list[bytes] = []
    wire = 0
    for chunk in chunks:
        wire += len(chunk)
        if wire > max_wire:
            raise BodyRefusedError(f"the answer is longer than the limit of {max_wire} bytes")
        if inflater is not None:
            inflater.feed(chunk)
        else:
            parts.append(chunk)
    if inflater is not None:
        return inflater.finish()
    if wire > max_body:
        raise BodyRefusedError(f"the answer is longer than the limit of {max_body} bytes")
    return b"".join(parts)


class Inflater:
    """gzip (RFC 1952) in bounded pieces, several members allowed."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._member = zlib.decompressobj(wbits=31)
        self._parts: list[bytes] = []
        self._wire = 0
        self._size = 0
        self._members = 0
        self._between_members = True
        self._head = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes off the wire."""
        if self._wire < 2:
            self._head = (self._head + data)[:2]
            if not b"\x1f\x8b".startswith(self._head):
                raise BodyRefusedError("the answer says it is gzip and is not")
        self._wire += len(data)
        try:
            self._inflate(data)
        except zlib.error as error:
            reason = str(error)
        else:
            return
        raise TransientError(f"the gzip data of the answer are damaged: {reason}")

    def _inflate(self, data: bytes) -> None:
        held_back = False  # output can be left when the input is used up
        while data or held_back:
            if self._between_members:
                data = data.lstrip(b"\0")  # padding after a member
                if not data:
                    return
                self._between_members = False
                self._members += 1
                if self._members > _MEMBER_LIMIT:
                    raise BodyRefusedError(f"the answer is gzip in more than {_MEMBER_LIMIT} pieces")
            piece = self._member.decompress(data, _PIECE)
            self._keep(piece)
            if self._member.eof:
                data = self._member.unused_data
                self._member = zlib.decompressobj(wbits=31)
                self._between_members, held_back = True, False
            else:
                data = self._member.unconsumed_tail
                held_back = len(piece) == _PIECE

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max_body:
            raise BodyRefusedError(f"the answer inflates beyond the limit of {self._max_body} bytes")
        if self._size > _RATIO_FREE_BYTES and self._size > _RATIO_LIMIT * self._wire:
            raise BodyRefusedError(
                f"the answer inflates more than {_RATIO_LIMIT}-fold, as only a compression bomb does"
            )
        self._parts.append(piece)

    def finish(self) -> bytes:
        """All that was inflated. TransientError when the data broke off."""
        if not self._between_members:
            raise TransientError("the gzip data of the answer break off")
        return b"".join(self._parts)
