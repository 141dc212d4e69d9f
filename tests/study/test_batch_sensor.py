"""Batches become runs once, again when a run died, and never for ever; the inbox gives up nothing and follows no link."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from ingestion_assets.ledger import batches
from ingestion_assets.ledger.batches import MAX_LAUNCHES, Batch, BatchState, NewFile
from resources.definitions import PostgresResource
from resources.postgres.database import Database
from sensors.batches import DONE, MARKER, Folder, Step, complete, decide, look, read_files, study_batches_sensor, take
from tests.study import files

PENDING = Batch(
    id=uuid.UUID(int=1),
    collection_id="c",
    user_id=None,
    origin="api",
    state=BatchState.PENDING,
    stage="received",
    progress={},
    run_id=None,
    launches=0,
    error_code=None,
    error_message=None,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    started_at=None,
    deadline_at=None,
    finished_at=None,
)
WORKING = replace(PENDING, state=BatchState.PROCESSING, run_id="r", launches=1)


@pytest.mark.parametrize(
    ("batch", "finished", "step"),
    [
        (PENDING, None, Step.LAUNCH),
        (replace(PENDING, launches=MAX_LAUNCHES), None, Step.FAIL),
        (WORKING, False, Step.WAIT),
        (WORKING, None, Step.WAIT),
        (WORKING, True, Step.LAUNCH),
        (replace(WORKING, launches=MAX_LAUNCHES), True, Step.FAIL),
        (replace(WORKING, launches=MAX_LAUNCHES), False, Step.WAIT),
    ],
)
def test_a_batch_is_launched_waited_for_or_given_up(batch: Batch, finished: bool | None, step: Step) -> None:
    assert decide(batch, run_finished=finished) is step


def test_a_folder_is_taken_when_marked_or_settled_and_not_while_it_is_copied() -> None:
    folders = [
        Folder("copying", ("a",), 99.0, marked=False),
        Folder("settled", ("a",), 60.0, marked=False),
        Folder("marked", ("a",), 99.0, marked=True),
        Folder("empty", (), 0.0, marked=False),
    ]
    assert [folder.name for folder in complete(folders, now=100.0)] == ["settled", "marked"]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    (folder / "histoire").mkdir(parents=True)
    (folder / "histoire" / "a.txt").write_text(files.FRENCH)
    (folder / "histoire" / "b.txt").write_text(files.ENGLISH)
    return folder


def test_the_inbox_follows_no_links(inbox: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (inbox / "histoire" / "link.txt").symlink_to(secret)
    (inbox / "linked").symlink_to(tmp_path)
    os.mkfifo(inbox / "histoire" / "pipe.txt")
    [folder] = look(inbox)
    assert folder.files == ("a.txt", "b.txt")
    with pytest.raises(OSError, match="symbolic link"):
        read_files(inbox, replace(folder, files=("link.txt",)), most=100)
    [pipe] = read_files(inbox, replace(folder, files=("pipe.txt",)), most=100)
    assert pipe.content == b""


def test_a_large_file_is_read_just_past_the_limit(inbox: Path) -> None:
    [folder] = look(inbox)
    [first, _] = read_files(inbox, folder, most=10)
    assert len(first.content) == 11


def test_a_folder_becomes_one_batch_even_when_killed_before_it_is_moved(inbox: Path, database: Database) -> None:
    [folder] = look(inbox)
    content = read_files(inbox, folder, most=10_000)
    key = f"{folder.name}:{batches.fingerprint(content, {})}"
    with database.transaction() as connection:  # a tick that was killed after its commit
        first, _ = batches.create_batch(connection, content, title="histoire", origin="inbox", origin_key=key)
    again = take(database.transaction, inbox, folder, most=10_000)
    assert again.id == first.id
    assert look(inbox) == []
    assert sorted(path.name for path in (inbox / DONE).rglob("*.txt")) == ["a.txt", "b.txt"]
    assert database.fetch_all("SELECT count(*) AS n FROM study_documents") == [{"n": 2}]


def tick(instance: dg.DagsterInstance) -> dg.SensorResult:
    with dg.build_sensor_context(instance=instance, resources={"postgres": PostgresResource()}) as context:
        result = study_batches_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_the_sensor_asks_for_each_batch_once_and_gives_up_on_one_that_kills_its_runs(
    inbox: Path, database: Database, platform_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTION_INBOX", str(inbox))
    (inbox / "histoire" / MARKER).touch()
    with database.transaction() as connection:
        queued, _ = batches.create_batch(connection, [NewFile("a.txt", files.ENGLISH.encode())], title="queued")
    instance = dg.DagsterInstance.ephemeral()
    try:
        first = tick(instance)
        assert len(first.run_requests or []) == 2
        assert {request.tags["ingestion/batch"] for request in first.run_requests or []} >= {str(queued.id)}
        [added] = first.dynamic_partitions_requests or []
        assert set(added.partition_keys) == {request.partition_key for request in first.run_requests or []}
        assert not tick(instance).run_requests, "a request just made is not made again"
        keys = set()
        for _ in range(MAX_LAUNCHES):
            with database.transaction() as connection:
                connection.execute("UPDATE study_batches SET not_before = now() WHERE id = %s", (queued.id,))
                assert batches.begin(connection, queued.id, str(uuid.uuid4()), seconds=10)
            # Dagster knows no such run: it was deleted, or its storage was lost.
            keys |= {request.run_key for request in tick(instance).run_requests or []}
        assert len(keys) == MAX_LAUNCHES - 1
        with database.transaction() as connection:
            ended = batches.read_batch(connection, queued.id)
            events = batches.events_after(connection, queued.id)
        assert ended is not None
        assert ended.state is BatchState.FAILED
        assert ended.error_code == "run_failed"
        assert [event.type for event in events][-1] == "pipeline:error"
        assert events[-1].terminal
    finally:
        instance.dispose()


def test_another_users_batch_is_not_there(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("INSERT INTO users (id) VALUES ('a'), ('b')")
        batch, _ = batches.create_batch(connection, [NewFile("a.txt", b"x")], title="t", user_id="a")
        assert batches.read_batch(connection, batch.id, user_id="b") is None
        assert batches.read_batch(connection, batch.id, user_id="a") is not None
        assert not batches.cancel(connection, batch.id, user_id="b")
        assert batches.cancel(connection, batch.id, user_id="a")
        assert batches.add_event(connection, batch.id, "late") == 0
