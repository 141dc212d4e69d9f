"""Open Data Montréal: the city's public events (data set `evenements-publics`), by CKAN's datastore API or as CSV.

Belongs here: where the rows come from and what their columns mean. The service needs no key. Its rows have days
without a time of day, no id of their own (the page's number is taken: `_id` is dealt anew at every reload), and the
word "nan" where a cell was empty.

API: https://docs.ckan.org/en/latest/maintaining/datastore.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ingestion_assets.events.model import (
    Event,
    FetchWarning,
    FetchWindow,
    Json,
    Page,
    RejectedRecord,
    RejectReason,
    Unread,
)
from ingestion_assets.events.sources.base import SourceSettings
from ingestion_assets.events.sources.open_data_montreal_rows import REQUIRED, id_in, parse
from ingestion_assets.events.sources.tabular import BadRow, Row, column_name, csv_rows
from ingestion_assets.events.sources.text import clean_text, storable
from resources.errors import PermanentError, TransientError
from resources.http import OutboundClient, OutboundPolicy
from resources.redaction import excerpt

if TYPE_CHECKING:
    from resources.http import Reply

HOST = "https://donnees.montreal.ca"
PAGE_SIZE = 1000
MAX_PAGES = 1000
"""The data set has a few thousand rows; a server that never stops answering must not keep a run for ever."""


class OpenDataMontrealSettings(SourceSettings):
    """The public events of Montréal. No key is needed, so the source is on unless it is switched off."""

    model_config = SettingsConfigDict(
        env_prefix="OPEN_DATA_MONTREAL_", env_ignore_empty=True, extra="ignore", frozen=True
    )

    enabled: bool = True
    """`false` switches the source off."""
    base_url: str = HOST
    """Replaces scheme and host; the API is expected under `/api/3/action`."""
    csv: str | None = Field(default=None, repr=False)
    """URL or path of a CSV file with the same columns, read instead of the API."""
    dataset: str = "evenements-publics"
    """Slug or id of the data set: it is asked for its resources when the known one is gone."""
    resource_id: str = "6decf611-6f11-4f34-bb36-324d804c9bad"
    """Table of the datastore that is asked first."""

    def missing(self) -> list[str]:
        return [] if self.enabled else ["OPEN_DATA_MONTREAL_ENABLED=true"]


class OpenDataMontrealSource:
    """Events of `evenements-publics`, page by page, from the datastore API or from the CSV file."""

    name: ClassVar[str] = "open_data_montreal"
    title: ClassVar[str] = "Open Data Montréal"
    homepage: ClassVar[str] = "https://donnees.montreal.ca/dataset/evenements-publics"
    # The number of a row in the datastore: another one after every reload of the table.
    volatile_paths: ClassVar[tuple[str, ...]] = ("_id",)
    record_version: ClassVar[int] = 2
    reading_settings: ClassVar[tuple[str, ...]] = ()
    settings_class: ClassVar[type[SourceSettings]] = OpenDataMontrealSettings

    def __init__(self, settings: OpenDataMontrealSettings) -> None:
        self.settings = settings
        self._base = re.sub(r"(/api(/3)?(/action)?)?/*$", "", settings.base_url.strip())

    @property
    def policy(self) -> OutboundPolicy:
        """No limit is published; two requests a second fetch the whole data set in a few seconds."""
        return OutboundPolicy(name=self.name, requests_per_second=2)

    def fetch(self, window: FetchWindow, client: OutboundClient) -> Iterator[Page]:
        """The events that begin inside `window`.

        The whole data set is read each time: CKAN filters by equality only. Multi-day events belong to the day they
        begin. Raises `PermanentError` when neither the API nor the CSV file exists.
        """
        tally = _Tally()
        if self.settings.csv:
            yield from self._from_csv(self.settings.csv, window, client, tally)
        else:
            yield from self._from_api(window, client, tally)
        if tally.repaired or tally.damaged:
            yield Page(records=(), warnings=tally.warnings())

    def _from_api(self, window: FetchWindow, client: OutboundClient, tally: _Tally) -> Iterator[Page]:
        resource = self.settings.resource_id
        first = self._first(client, resource)
        if first is None:
            found = self._resolve(client)
            first = self._first(client, found.datastore) if found.datastore else None
            if first is None:
                path = f"dataset/{self.settings.dataset}/resource/{resource}/download/evenements.csv"
                warning = FetchWarning("csv_fallback", "the datastore API has no such table; the CSV file was read")
                yield Page(records=(), warnings=(warning,))
                yield from self._from_csv(found.csv_url or f"{self._base}/{path}", window, client, tally)
                return
            resource = found.datastore or resource
            detail = f"the resource id {self.settings.resource_id} is gone; {resource} was found under the data set"
            yield Page(records=(), warnings=(FetchWarning("resource_moved", detail),))
        yield from self._pages(client, resource, first, window, tally)

    def _first(self, client: OutboundClient, resource: str) -> _Rows | None:
        """The first page, or None when there is no such table."""
        try:
            return self._search(client, resource, 0)
        except _NotThereError:
            return None

    def _pages(
        self, client: OutboundClient, resource: str, page: _Rows, window: FetchWindow, tally: _Tally
    ) -> Iterator[Page]:
        """All pages, beginning with the one at hand, until one is empty. The server may send fewer rows than asked."""
        total = page.total
        received = 0
        for _ in range(MAX_PAGES):
            if not page.rows:
                break
            received += len(page.rows)
            yield self._page(page.rows, window, tally)
            previous = page
            try:
                page = self._search(client, resource, received)
            except _NotThereError as error:
                raise TransientError("the table went away while it was read: it is being reloaded") from error
            if page.rows and page.rows == previous.rows:
                raise TransientError("the datastore repeats a page: it does not heed `offset`")
            if page.total != total:
                # Row numbers are dealt anew by a reload, so rows may have been passed over.
                detail = f"the table changed while it was read ({total} rows, then {page.total})"
                yield Page(records=(), warnings=(FetchWarning("total_changed", detail),), incomplete=detail)
                total = page.total
        else:
            yield Page(records=(), incomplete=f"stopped after {MAX_PAGES} pages")
        if total is not None and received < total:
            detail = f"{received} rows came although the service counts {total}"
            yield Page(records=(), warnings=(FetchWarning("rows_missing", detail),), incomplete=detail)

    def _search(self, client: OutboundClient, resource: str, offset: int) -> _Rows:
        """One page of the table. Raises `_NotThereError` when the API has no such table, or the host no such API."""
        from resources.http import HttpStatusError

        params = {"resource_id": resource, "limit": PAGE_SIZE, "offset": offset, "sort": "_id asc"}
        url = f"{self._base}/api/3/action/datastore_search"
        try:
            reply = client.get(url, params=params, inspect=_refuse, expect_json=True)
        except HttpStatusError as error:
            if error.status in (404, 410):
                raise _NotThereError("no such table") from error
            raise
        result = _result(reply)
        rows = result.get("records")
        total = result.get("total")
        if not isinstance(rows, list):
            raise TransientError("the datastore answered without `records`")
        return _Rows(rows, total if isinstance(total, int) else None)

    def _resolve(self, client: OutboundClient) -> _Resource:
        """The resource that holds the events today, as the data set's own description says."""
        from resources.http import HttpStatusError

        url = f"{self._base}/api/3/action/package_show"
        try:
            result = _result(client.get(url, params={"id": self.settings.dataset}, inspect=_refuse, expect_json=True))
        except (_NotThereError, HttpStatusError) as error:
            if isinstance(error, HttpStatusError) and error.status not in (404, 410):
                raise
            return _Resource(None, None)
        listed = result.get("resources")
        tables = [
            resource
            for resource in (listed if isinstance(listed, list) else [])
            if isinstance(resource, dict) and str(resource.get("format", "")).upper() == "CSV"
        ]
        # The data set may describe its columns in a second CSV file: the events are the file called so.
        tables.sort(key=lambda item: "evenements" not in column_name(f"{item.get('name')} {item.get('url')}"))
        csv_url = next((item["url"] for item in tables if isinstance(item.get("url"), str)), None)
        datastore = next((str(item["id"]) for item in tables if item.get("datastore_active") and item.get("id")), None)
        return _Resource(datastore, self._rebased(csv_url) if csv_url else None)

    def _rebased(self, url: str) -> str:
        """An absolute URL of the city's own host, under the base URL that replaces it."""
        return self._base + url[len(HOST) :] if url.startswith(HOST + "/") else url

    def _from_csv(self, location: str, window: FetchWindow, client: OutboundClient, tally: _Tally) -> Iterator[Page]:
        with closing(_opened(location, client)) as stream:
            rows = iter(csv_rows(stream, required=REQUIRED, begins=_begins))
            last: Row | BadRow | None = None
            while page := list(islice(rows, PAGE_SIZE)):
                yield self._page(page, window, tally)
                last = page[-1]
        if isinstance(last, BadRow) and not last.text.endswith("\n"):
            detail = f"the CSV file ends in the middle of line {last.line}"
            yield Page(records=(), warnings=(FetchWarning("file_cut", detail),), incomplete=detail)

    def _page(self, rows: Sequence[Json | Row | BadRow], window: FetchWindow, tally: _Tally) -> Page:
        records: list[Event | RejectedRecord] = []
        outside: list[Unread] = []
        for row in rows:
            if isinstance(row, BadRow):
                payload = storable({"line": row.line, "text": row.text})
                detail = f"line {row.line}: {row.detail}"
                records.append(
                    RejectedRecord(
                        reason=RejectReason.UNPARSABLE, detail=detail, payload=payload, source_id=id_in(row.text)
                    )
                )
                continue
            record = (
                parse(_typed(row.cells), window, repaired=row.repaired) if isinstance(row, Row) else parse(row, window)
            )
            if isinstance(record, Unread):
                outside.append(record)
                continue
            if isinstance(record, Event) and record.warnings:
                tally.repaired += "encoding_repaired" in record.warnings
                tally.damaged += "encoding_damaged" in record.warnings
            records.append(record)
        return Page(records=records, outside_window=len(outside), outside=outside)


class _NotThereError(PermanentError):
    """The service says that there is no such table, data set or action: then another way is looked for."""


@dataclass(frozen=True, slots=True)
class _Rows:
    rows: list[Json]
    total: int | None


@dataclass(frozen=True, slots=True)
class _Resource:
    datastore: str | None
    csv_url: str | None


@dataclass(slots=True)
class _Tally:
    """Repairs of the whole fetch."""

    repaired: int = 0
    damaged: int = 0

    def warnings(self) -> list[FetchWarning]:
        found = []
        if self.repaired:
            found.append(
                FetchWarning("encoding_repaired", f"{self.repaired} records had wrongly decoded text put right")
            )
        if self.damaged:
            found.append(FetchWarning("encoding_damaged", f"{self.damaged} records have letters that the source lost"))
        return found


def _typed(cells: dict[str, str | None]) -> dict[str, Json]:
    """Cells of the CSV file with the types that the API gives them, so that the way in is no update of every row."""
    record: dict[str, Json] = dict(cells)
    for column in ("lat", "long"):
        try:
            record[column] = float(cells.get(column) or "")
        except ValueError:
            continue
    return record


def _begins(cells: Sequence[str]) -> bool:
    """A line of the file begins a row when one of its first cells is the address of a page and nothing else."""
    return len(cells) > 2 and any(re.fullmatch(r"\s*https?://\S+\s*", cell) for cell in cells[:4])


def _opened(location: str, client: OutboundClient) -> BinaryIO:
    """The bytes of a CSV file behind a URL or on this machine."""
    if location.startswith(("http://", "https://")):
        return BytesIO(client.get(location, inspect=_refuse_html).body)
    path = Path(location.removeprefix("file://")).expanduser()
    try:
        return path.open("rb")
    except OSError as error:
        raise PermanentError(f"OPEN_DATA_MONTREAL_CSV names {path}, which cannot be read: {error.strerror}") from error


def _refuse_html(reply: Reply) -> None:
    """A page of HTML with status 200 is a proxy or a maintenance notice, never the file."""
    if reply.status == 200 and reply.body[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise TransientError("a page of HTML came where the CSV file was asked for")


def _refuse(reply: Reply) -> None:
    """CKAN's own words for an error, which say more than the status."""
    from resources.http import BodyError

    if reply.status not in (400, 403, 404, 409):
        return
    try:
        body = reply.json()
    except BodyError:
        return
    if isinstance(body, str) and "not known" in body:  # "Bad request - Action name not known: datastore_search"
        raise _NotThereError(f"the service has no such action: {excerpt(body, 100)}")
    if isinstance(body, dict):
        _check(body)


def _result(reply: Reply) -> dict[str, Any]:
    body = reply.json()
    if not isinstance(body, dict):
        raise TransientError("the service answered JSON that is no CKAN envelope")
    _check(body)
    result = body.get("result")
    if not isinstance(result, dict):
        raise TransientError("the service answered without `result`")
    return result


def _check(body: Mapping[str, Any]) -> None:
    """Raises what `success: false` means, whatever the HTTP status beside it."""
    if body.get("success") is not False:
        return
    error = body.get("error")
    kind = str(error.get("__type", "")) if isinstance(error, dict) else ""
    message = clean_text(error.get("message") if isinstance(error, dict) else error, limit=200) or "no reason given"
    if kind.startswith("Not Found"):
        raise _NotThereError(f"the service does not know it: {message}")
    if kind.startswith(("Validation", "Authorization")):
        raise PermanentError(
            f"the datastore refuses the request ({kind}): {message}; check OPEN_DATA_MONTREAL_RESOURCE_ID"
        )
    raise TransientError(f"the datastore reports a fault ({kind or 'no type'}): {message}")
