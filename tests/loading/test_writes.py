"""An unchanged pass leaves the wide table alone: what it costs is what the narrow one takes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from resources.postgres.database import Database
from tests.loading.imports import W1, Importer, counts, event

RECORDS = 3000


def _records(*, changed: int = 0) -> list[Any]:
    text = "Une soirée avec de la musique, du théâtre et beaucoup de mots pour la décrire. " * 20
    return [
        event(f"e{n}", W1 + timedelta(days=n % 21), text=text, number=n, state="new" if n < changed else "old")
        for n in range(RECORDS)
    ]


def _activity(database: Database) -> tuple[int, int, int]:
    """Tuples inserted, updated and deleted in the wide table so far."""
    with database.connect(autocommit=True) as connection:
        row = connection.execute(
            "SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables WHERE relname = 'raw_events'"
        ).fetchone()
    assert row is not None
    return row


def _settled(database: Database) -> tuple[int, int, int]:
    """A session reports its statistics at the latest when it ends; all of an import's have."""
    with database.connect(autocommit=True) as connection:
        connection.execute("SELECT pg_stat_clear_snapshot()")
    return _activity(database)


def _wal(database: Database) -> int:
    with database.connect(autocommit=True) as connection:
        row = connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint").fetchone()
    assert row is not None
    return int(row[0])


def test_an_unchanged_pass_does_not_touch_the_wide_table(fresh_importer: Importer) -> None:
    start = _wal(fresh_importer.database)
    assert counts(fresh_importer(_records())) == (RECORDS, 0, 0, 0)
    first = _wal(fresh_importer.database) - start
    fresh_importer(_records())  # the first rewrite of the narrow table finds no room on its pages yet
    before = _settled(fresh_importer.database)
    assert before == (RECORDS, 0, 0)
    wide = fresh_importer.database.fetch_all("SELECT pg_relation_size('raw_events') AS bytes")

    start = _wal(fresh_importer.database)
    assert counts(fresh_importer(_records())) == (0, 0, RECORDS, 0)
    unchanged = _wal(fresh_importer.database) - start

    assert _settled(fresh_importer.database) == before
    assert fresh_importer.database.fetch_all("SELECT pg_relation_size('raw_events') AS bytes") == wide
    # The narrow table's rows and the ledger: a tenth or so of the first pass, and a few hundred bytes a record.
    assert unchanged < first / 4
    assert unchanged < RECORDS * 400


def test_a_pass_with_changes_writes_only_those(fresh_importer: Importer) -> None:
    fresh_importer(_records())
    assert counts(fresh_importer(_records(changed=100))) == (0, 100, RECORDS - 100, 0)
    assert _settled(fresh_importer.database) == (RECORDS, 100, 0)


def test_only_payloads_that_are_stored_are_encoded(importer: Importer, monkeypatch: Any) -> None:
    from ingestion_assets.events import load_batch

    encoded: list[str] = []
    original = load_batch.payload_json
    monkeypatch.setattr(load_batch, "payload_json", lambda payload: encoded.append(payload["id"]) or original(payload))
    importer([event("a"), event("b"), event("c")])
    encoded.clear()
    importer([event("a"), event("b", n=1), event("c")])
    assert encoded == ["b"]
