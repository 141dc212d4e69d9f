"""Canaries in every credential there is: whatever goes wrong, none comes out in a table, a log, an event or an error."""

from __future__ import annotations

import logging
import traceback
import zlib
from collections.abc import Mapping

import pytest

from resources.errors import PermanentError, TransientError
from resources.postgres.database import Database
from tests.fakes._server import FakeService
from tests.pipeline.echo import MODES, echo, sent, with_credentials
from tests.pipeline.importing import Pipeline
from tests.pipeline.leaks import WORD, leaks
from tests.pipeline.services import SERVICES


def test_the_search_finds_what_it_looks_for(database: Database) -> None:
    """A test that greps must be shown a leak once."""
    assert leaks(database) == []
    with database.transaction(role="test") as connection:
        connection.execute(
            "INSERT INTO http_cache (url_key, etag, body, stored_at) VALUES ('k', 'e', %s, now())",
            (zlib.compress(b"xx-canary-1"),),
        )
    assert [leak.partition(":")[0] for leak in leaks(database)] == ["http_cache.body"]


WITH_CREDENTIALS = [name for name in SERVICES if name != "open_data_montreal"]


@pytest.mark.parametrize("name", WITH_CREDENTIALS)
def test_no_way_of_going_wrong_puts_a_credential_into_tables_errors_or_logs(
    name: str, pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    failed: dict[str, str | None] = {}
    for mode in MODES:
        with SERVICES[name].make(12, 2, None) as fake:
            values = with_credentials(fake)
            echo(fake, mode, values)
            failed[mode] = _failure(pipeline, fake, values)
            assert any(sent(line.request) for line in fake.requests) or "JWT" in name
    assert failed["good records"] is None, "the echo must reach the tables for this to prove anything"
    database = pipeline.database
    [masked] = database.fetch_all(
        "SELECT (SELECT count(*) FROM raw_events WHERE event::text LIKE '%***%') AS stored,"
        " (SELECT count(*) FROM raw_events WHERE title LIKE '%***%') AS titles,"
        " (SELECT count(*) FROM rejected_records WHERE payload::text LIKE '%***%') AS rejected"
    )
    assert min(masked.values()) > 0, masked
    assert leaks(database) == []
    assert WORD not in caplog.text


def _failure(pipeline: Pipeline, fake: FakeService, values: Mapping[str, str]) -> str | None:
    """How the import failed, in words that hold no credential, or None."""
    try:
        pipeline.load(fake, extra=values)
    except (PermanentError, TransientError) as error:
        shown = "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))
        assert WORD not in shown
        return str(error)
    return None
