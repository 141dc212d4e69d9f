"""The libraries that read formats, behind one protocol, so that either can be replaced.

Called in the child process only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, Protocol

from ingestion_assets.study.extraction.errors import DocumentError
from ingestion_assets.study.extraction.sniff import HTML, MARKDOWN, PAGED, PDF
from ingestion_assets.study.model import DocumentCode

_ATTRIBUTES: Final = re.compile(rb"\{:[^{}\n]*\}|(?<=\S)\{[.#][\w-]+[^{}\n]*\}")


@dataclass(frozen=True, slots=True)
class RawText:
    """What a library made of a file: one text a page, or one text."""

    pages: tuple[str, ...]
    paged: bool
    extractor: str


class Engine(Protocol):
    """Reads bytes of a known media type. Raises `DocumentError` for what it recognises as the file's fault."""

    media_types: frozenset[str] | None

    def read(self, content: bytes, media_type: str) -> RawText: ...


class Kreuzberg:
    """All formats. OCR, caching and its own LLM features are off."""

    media_types: frozenset[str] | None = None

    def read(self, content: bytes, media_type: str) -> RawText:
        """Read a document; pages where the format has them."""
        import kreuzberg

        if media_type == MARKDOWN:
            # Attributes of Kramdown and Pandoc are markup, and would stand in the middle of sentences.
            content = _ATTRIBUTES.sub(b"", content)
        config = kreuzberg.ExtractionConfig(
            use_cache=False,
            disable_ocr=True,  # type: ignore[call-arg]  # missing from the library's stubs only
            enable_quality_processing=False,
            pages=kreuzberg.PageConfig(extract_pages=True) if media_type in PAGED else None,
        )
        try:
            result = kreuzberg.extract_bytes_sync(content, media_type, config)
            if media_type == HTML:
                # HTML arrives as Markdown; emphasis and link targets are not part of anybody's sentence.
                result = kreuzberg.extract_bytes_sync(result.content.encode(), MARKDOWN, config)
        except kreuzberg.KreuzbergError as error:
            raise _document_error(str(error)) from error
        name = f"kreuzberg-{version('kreuzberg')}"
        if media_type in PAGED and (pages := _pages(result)):
            return RawText(pages, paged=True, extractor=name)
        return RawText((str(result.content),), paged=False, extractor=name)


class Pdfium:
    """PDF only: what is left when the other engine breaks on a file that PDFium itself can read."""

    media_types: frozenset[str] | None = frozenset({PDF})

    def read(self, content: bytes, media_type: str) -> RawText:  # noqa: ARG002 - the protocol's signature
        """Read the text layer page by page."""
        import pypdfium2

        try:
            document = pypdfium2.PdfDocument(content)
        except pypdfium2.PdfiumError as error:
            raise _document_error(str(error)) from error
        pages = []
        for page in document:
            text = page.get_textpage()
            pages.append(text.get_text_bounded())
            text.close()
            page.close()
        document.close()
        return RawText(tuple(pages), paged=True, extractor=f"pypdfium2-{version('pypdfium2')}")


def _pages(result: Any) -> tuple[str, ...]:
    """The text of each page: as listed, or cut at the byte boundaries where the list is not filled (some slides)."""
    whole = str(result.content)
    ordered = sorted(result.pages or [], key=lambda page: int(page["page_number"]))
    listed = tuple(str(page["content"]) for page in ordered)
    if sum(len(page.strip()) for page in listed) >= 0.8 * len(whole.strip()):
        return listed
    boundaries = (result.metadata.get("pages") or {}).get("boundaries") or []
    content = whole.encode()
    return tuple(content[part["byte_start"] : part["byte_end"]].decode("utf-8", "replace") for part in boundaries)


ENGINES: Sequence[Engine] = (Kreuzberg(), Pdfium())


def read(content: bytes, media_type: str, engines: Sequence[Engine] = ENGINES) -> RawText:
    """The first engine's text; the next one is asked when an engine breaks, not when the file is at fault."""
    failure: Exception | None = None
    for engine in engines:
        if engine.media_types is not None and media_type not in engine.media_types:
            continue
        try:
            return engine.read(content, media_type)
        except (DocumentError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - a native library may raise anything; the next one gets its turn
            failure = error
    raise DocumentError(DocumentCode.CORRUPT, "the file cannot be read: save it anew, or as PDF") from failure


def _document_error(message: str) -> DocumentError:
    low = message.lower()
    if "password" in low or "encrypt" in low:
        return DocumentError(DocumentCode.ENCRYPTED, "the file is protected by a password: save it without one")
    if "security limit" in low or "too large" in low or "limit exceeded" in low:
        return DocumentError(DocumentCode.TOO_LARGE, "the file unpacks to more than is accepted: split it")
    return DocumentError(DocumentCode.CORRUPT, "the file is damaged or cut off: upload the original again")
