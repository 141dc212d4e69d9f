"""What a file is, by its bytes; its name may only contradict.

Belongs here: magic bytes and the first look into a container. Nothing is unpacked beyond a few hundred bytes.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import PurePath
from typing import Final

from ingestion_assets.study.extraction.errors import DocumentError
from ingestion_assets.study.model import DocumentCode

PDF: Final = "application/pdf"
DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX: Final = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
EPUB: Final = "application/epub+zip"
ODT: Final = "application/vnd.oasis.opendocument.text"
HTML: Final = "text/html"
MARKDOWN: Final = "text/markdown"
PLAIN: Final = "text/plain"

ZIPPED: Final = frozenset({DOCX, PPTX, EPUB, ODT})
TEXTS: Final = frozenset({HTML, MARKDOWN, PLAIN})
PAGED: Final = frozenset({PDF, PPTX})
"""Formats with pages or slides."""

_BY_SUFFIX: Final = {
    ".pdf": PDF,
    ".docx": DOCX,
    ".pptx": PPTX,
    ".epub": EPUB,
    ".odt": ODT,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".txt": PLAIN,
    ".text": PLAIN,
}
SUFFIXES: Final = tuple(_BY_SUFFIX)
_OTHER: Final = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"{\\rtf", "an RTF file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"%!PS", "a PostScript file"),
)
_REFUSED: Final = tuple(magic for magic, _ in _OTHER)
_CFB: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE: Final = "EncryptedPackage".encode("utf-16-le")
_PDF_WINDOW: Final = 1024
"""Readers accept a PDF whose header begins within the first kilobyte."""
HEAD: Final = 4096
"""Bytes by which most of what is not supported can be told."""


def check_head(name: str, head: bytes) -> None:
    """Raises `DocumentError` where the first `HEAD` bytes show that `media_type` refuses the whole.

    Containers, and what is called a PDF and does not begin like one, are left to it: it looks further.
    """
    named = _BY_SUFFIX.get(PurePath(name).suffix.lower())
    if head and not head.startswith((_CFB, b"PK")) and (named != PDF or head.startswith(_REFUSED)):
        media_type(name, head)


def media_type(name: str, content: bytes) -> str:
    """The media type of `content`. Raises `DocumentError` for what is not supported or contradicts its name."""
    if not content:
        raise DocumentError(DocumentCode.EMPTY, "the file has 0 bytes: upload it again")
    suffix = PurePath(name).suffix.lower()
    named = _BY_SUFFIX.get(suffix)
    found = _by_magic(content)
    if found is None:
        found = _text_type(named, content)
    elif named is not None and named != found:
        raise DocumentError(
            DocumentCode.MISMATCH, f"the name ends with {suffix}, the content is {found}: correct the name"
        )
    return found


def _by_magic(content: bytes) -> str | None:
    """A binary type, or None for what may be text."""
    if content.startswith(_CFB):
        if _ENCRYPTED_PACKAGE in content:
            raise DocumentError(DocumentCode.ENCRYPTED, "the file is protected by a password: save it without one")
        raise DocumentError(DocumentCode.UNSUPPORTED, "an old Office file: save it as .docx, .pptx or .pdf")
    for magic, what in _OTHER:
        if content.startswith(magic) and (magic != b"MZ" or b"\x00" in content[:512]):
            raise DocumentError(DocumentCode.UNSUPPORTED, f"{what}: supported are {', '.join(SUFFIXES)}")
    if content.startswith(b"PK\x03\x04"):
        return _container(content)
    if content.startswith((b"PK\x05\x06", b"PK\x07\x08")):
        raise DocumentError(DocumentCode.CORRUPT, "an empty or split ZIP container: upload the file again")
    if b"%PDF-" in content[:_PDF_WINDOW]:
        return PDF
    return None


def _container(content: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
            if "word/document.xml" in names:
                return DOCX
            if "ppt/presentation.xml" in names:
                return PPTX
            if "mimetype" in names:
                with archive.open("mimetype") as member:
                    declared = member.read(200).decode("ascii", "replace").strip()
                if declared in (EPUB, ODT):
                    return declared
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise DocumentError(
            DocumentCode.CORRUPT, "the container is cut off or damaged: upload the file again"
        ) from error
    raise DocumentError(DocumentCode.UNSUPPORTED, "a ZIP archive that is no DOCX, PPTX, EPUB or ODT: upload its files")


def _text_type(named: str | None, content: bytes) -> str:
    if named is not None and named not in TEXTS:
        raise DocumentError(
            DocumentCode.CORRUPT if named == PDF and b"%%EOF" in content else DocumentCode.MISMATCH,
            "the content is not what the name says, or its beginning is missing: upload the original file",
        )
    if not content.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")) and b"\x00" in content[:HEAD]:
        raise DocumentError(
            DocumentCode.MISMATCH if named else DocumentCode.UNSUPPORTED,
            f"binary content of an unknown kind: supported are {', '.join(SUFFIXES)}",
        )
    if named is not None:
        return named
    head = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return HTML if head.startswith((b"<!doctype html", b"<html")) else PLAIN
