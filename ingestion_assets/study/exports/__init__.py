"""A collection as a file for another program. One module a format; every writer returns bytes and touches no disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ingestion_assets.study.results import Collection
from resources.errors import PermanentError

FORMATS: Final = ("apkg", "csv", "tsv", "json", "md", "gift", "xml")
MEDIA_TYPES: Final = {
    "apkg": "application/octet-stream",
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "gift": "text/plain; charset=utf-8",
    "xml": "application/xml",
}


class ExportFormatError(PermanentError):
    """No such format."""


def export(collection: Collection, form: str) -> bytes:
    """The collection as `form`, one of `FORMATS`. Raises `ExportFormatError`."""
    from ingestion_assets.study.exports import anki, gift, markdown, moodle, portable, tabular

    writers: dict[str, Callable[[Collection], bytes]] = {
        "apkg": anki.write,
        "csv": tabular.write_csv,
        "tsv": tabular.write_tsv,
        "json": portable.write,
        "md": markdown.write,
        "gift": gift.write,
        "xml": moodle.write,
    }
    if form not in writers:
        raise ExportFormatError(f"{form!r} is no export format; valid ones are: {', '.join(FORMATS)}")
    return writers[form](collection)
