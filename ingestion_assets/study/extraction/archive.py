"""What a ZIP container really unpacks to, counted while it streams: sizes in headers may lie."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import IO, Final

from ingestion_assets.study.extraction.errors import DocumentError
from ingestion_assets.study.model import DocumentCode

MAX_MEMBERS: Final = 20_000
_STEP: Final = 256 * 1024
_MARKUP: Final = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx")
_FLAG_ENCRYPTED: Final = 0x1


def check(content: bytes, *, max_inflated: int) -> None:
    """Unpack every member to nothing. Raises `DocumentError` for bombs, odd paths, passwords, damage and DTD tricks."""
    total = 0
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise DocumentError(DocumentCode.TOO_LARGE, f"the container has {len(members)} members")
            for member in members:
                _check_member(member)
                with archive.open(member) as stream:
                    total = _count(stream, member.filename, total, max_inflated)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise DocumentError(
            DocumentCode.CORRUPT, "the container is cut off or damaged: upload the file again"
        ) from error


def _check_member(member: zipfile.ZipInfo) -> None:
    if member.flag_bits & _FLAG_ENCRYPTED:
        raise DocumentError(DocumentCode.ENCRYPTED, "the file is protected by a password: save it without one")
    name = member.orig_filename.replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/") or "\x00" in name:
        raise DocumentError(DocumentCode.CORRUPT, "the container holds paths that lead out of it: save the file anew")


def _count(stream: IO[bytes], name: str, total: int, most: int) -> int:
    markup = name.lower().endswith(_MARKUP)
    tail = b""
    while block := stream.read(_STEP):
        total += len(block)
        if total > most:
            raise DocumentError(
                DocumentCode.TOO_LARGE, f"the file unpacks to more than {most // (1024 * 1024)} MiB: split it"
            )
        if markup:
            if b"<!ENTITY" in tail + block:
                raise DocumentError(
                    DocumentCode.CORRUPT, "the file declares XML entities, which no office program writes: save it anew"
                )
            tail = block[-16:]
    return total
