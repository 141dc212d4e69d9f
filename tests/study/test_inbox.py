"""The inbox gives up nothing, follows no link, and takes as much in a tick as a tick may."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ingestion_assets.study.store import read_content
from resources.definitions import PostgresResource
from resources.postgres.database import Database
from sensors import inbox as module
from sensors.inbox import DONE, MARKER, PART_BYTES, Folder, complete, look, parts_of, store, study_inbox_sensor, take
from tests.study import files

Tick = Callable[[], str]


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


@pytest.fixture
def tick(inbox: Path, platform_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Tick:
    """Evaluate the sensor once, with the cursor that it left the last time; returns what it says."""
    monkeypatch.setenv("INGESTION_INBOX", str(inbox))
    cursor: list[str | None] = [None]

    def evaluate() -> str:
        resources = {"postgres": PostgresResource()}
        with dg.build_sensor_context(cursor=cursor[0], resources=resources) as context:
            result = study_inbox_sensor(context)
        assert isinstance(result, dg.SensorResult)
        assert not result.run_requests
        cursor[0] = result.cursor
        assert isinstance(result.skip_reason, dg.SkipReason)
        return str(result.skip_reason.skip_message)

    return evaluate


def documents(database: Database) -> dict[str, bytes]:
    """Name and content of what became rows, in order."""
    rows = database.fetch_all(
        "SELECT collection_id, position, name FROM study_documents ORDER BY collection_id, position"
    )
    with database.transaction() as connection:
        return {row["name"]: read_content(connection, row["collection_id"], row["position"]) for row in rows}


def count(database: Database, table: str) -> int:
    assert table in {"study_files", "study_batches"}
    [row] = database.fetch_all(f"SELECT count(*) AS n FROM {table}")  # type: ignore[arg-type]
    return int(row["n"])


def test_a_folder_becomes_a_batch_with_its_files_and_is_put_away(tick: Tick, inbox: Path, database: Database) -> None:
    assert tick() == "No folder waits in the inbox.", "it may still be copied"
    (inbox / "histoire" / "empty.txt").touch()
    (inbox / "histoire" / MARKER).touch()
    assert "histoire became batch" in tick()
    assert documents(database) == {"a.txt": files.FRENCH.encode(), "b.txt": files.ENGLISH.encode(), "empty.txt": b""}
    assert look(inbox) == []
    assert tick() == "No folder waits in the inbox."
    assert count(database, "study_batches") == 1


def test_a_tick_stores_so_many_bytes_and_the_next_one_goes_on(
    tick: Tick, inbox: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BYTES_A_TICK", 1000)
    content = {f"{number}.txt": bytes([65 + number]) * 400 for number in range(7)}
    for name, text in content.items():
        (inbox / "histoire" / name).write_bytes(text)
    for name in ("a.txt", "b.txt"):
        (inbox / "histoire" / name).unlink()
    (inbox / "histoire" / MARKER).touch()
    assert "3 files of histoire are stored" in tick()
    assert count(database, "study_batches") == 0
    assert "6 files of histoire are stored" in tick()
    assert "histoire became batch" in tick()
    assert documents(database) == content
    assert count(database, "study_files") == 7


def test_what_was_stored_of_a_folder_that_changed_or_went_is_removed(
    tick: Tick, inbox: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BYTES_A_TICK", 1)
    (inbox / "histoire" / MARKER).touch()
    assert "1 files of histoire are stored" in tick()
    (inbox / "histoire" / "a.txt").write_bytes(b"other")
    later = time.time() + 5
    os.utime(inbox / "histoire" / "a.txt", (later, later))
    assert "1 files of histoire are stored" in tick()
    assert count(database, "study_files") == 1
    assert "histoire became batch" in tick()
    assert documents(database) == {"a.txt": b"other", "b.txt": files.ENGLISH.encode()}

    (inbox / "deux").mkdir()
    for name in ("a.txt", "b.txt", MARKER):
        (inbox / "deux" / name).write_bytes(b"x")
    assert "1 files of deux are stored" in tick()
    (inbox / "deux").rename(inbox.parent / "elsewhere")
    tick()
    assert count(database, "study_files") == 2, "those of the first batch"


def test_the_same_folder_dropped_again_is_put_away_too(tick: Tick, inbox: Path, database: Database) -> None:
    """It stayed in the inbox for ever: where it was to be moved lay the first one."""
    said = []
    for _ in range(3):
        (inbox / "histoire").mkdir(exist_ok=True)
        (inbox / "histoire" / "a.txt").write_text(files.FRENCH)
        (inbox / "histoire" / "b.txt").write_text(files.ENGLISH)
        (inbox / "histoire" / MARKER).touch()
        said.append(tick())
        assert look(inbox) == []
    [batch] = database.fetch_all("SELECT id FROM study_batches")
    assert said == [
        f"1: histoire became batch {batch['id']}",
        *[f"1: histoire with the same files is already batch {batch['id']}"] * 2,
    ]
    assert count(database, "study_files") == 2
    assert len(list((inbox / DONE).iterdir())) == 3


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take no such names")
def test_names_that_are_no_utf8_hold_up_nobody(
    tick: Tick, inbox: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive packed under Windows brings such names. Each tick failed, for all folders."""
    monkeypatch.setattr(module, "BYTES_A_TICK", 1)
    (inbox / "histoire" / MARKER).touch()
    for name in (b"h\xe9ros", b"h\xe8ros"):
        folder = inbox / os.fsdecode(name)
        folder.mkdir()
        for file in (b"1 \xe9t\xe9.txt", b"2.txt", MARKER.encode()):
            (folder / os.fsdecode(file)).write_bytes(name)
    said = [tick() for _ in range(6)]
    assert sum("1 files of h\\xe" in text for text in said) == 2, "kept in the cursor until the next tick"
    assert look(inbox) == []
    assert sum("became batch" in text for text in said) == 3
    rows = database.fetch_all(
        "SELECT title, array_agg(name ORDER BY position) AS names FROM study_collections c JOIN study_documents d"
        " ON d.collection_id = c.id GROUP BY title"
    )
    names = ["1 \\xe9t\\xe9.txt", "2.txt"]
    assert {row["title"]: row["names"] for row in rows} == {
        "histoire": ["a.txt", "b.txt"],
        "h\\xe8ros": names,
        "h\\xe9ros": names,
    }


def test_a_folder_with_more_files_than_a_batch_may_have_is_reported_and_stays(
    tick: Tick, inbox: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first 500 files became a batch, and the others went to `.done/` with them without a word."""
    monkeypatch.setattr(module, "MAX_FILES", 2)
    (inbox / "histoire" / MARKER).touch()
    (inbox / "large").mkdir()
    for name in ("a.txt", "b.txt", "c.txt", MARKER):
        (inbox / "large" / name).write_text("x")
    said = "large was not taken: it holds 3 files, a batch at most 2: divide it into several folders"
    text = tick()
    assert said in text
    assert "histoire became batch" in text, "it holds up no other"
    assert tick() == f"1: {said}"
    assert database.fetch_all("SELECT watcher, subject_type, subject, reason, action FROM incidents") == [
        {
            "watcher": "study_inbox",
            "subject_type": "folder",
            "subject": "large",
            "reason": "too_many_files",
            "action": "reported",
        }
    ]
    assert len(list((inbox / "large").iterdir())) == 4
    assert count(database, "study_batches") == 1
    (inbox / "large" / "c.txt").unlink()
    assert "large became batch" in tick()


def test_what_is_no_file_is_told_and_a_folder_of_nothing_else_stays(
    tick: Tick, inbox: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    (inbox / "histoire" / "deeper").mkdir()
    (inbox / "histoire" / "deeper" / "c.txt").write_text("x")
    (inbox / "histoire" / ".DS_Store").write_text("x")
    (inbox / "histoire" / MARKER).touch()
    (inbox / "only" / "deeper").mkdir(parents=True)
    (inbox / "only" / MARKER).touch()
    text = tick()
    assert "histoire became batch" in text
    assert "without 1 of its entries (sub-folders, links, names that begin with _)" in text
    assert "histoire was taken from the inbox without 1 of its entries" in caplog.text
    assert "only was not taken: it holds no files" in text
    [incident] = database.fetch_all("SELECT subject, reason FROM incidents")
    assert incident == {"subject": "only", "reason": "no_files"}


def test_a_folder_that_cannot_be_read_holds_up_no_other(tick: Tick, inbox: Path, database: Database) -> None:
    (inbox / "histoire" / MARKER).touch()
    (inbox / "bad").mkdir()
    (inbox / "bad" / MARKER).touch()
    (inbox / "bad" / "a.txt").write_text("x")
    os.utime(inbox / "bad", (0, 0))
    looked = look(inbox)
    with pytest.MonkeyPatch.context() as patched:
        # Between looking and opening it became a link.
        patched.setattr(module, "look", lambda _: looked)
        (inbox / "bad" / "a.txt").unlink()
        (inbox / "bad" / "a.txt").symlink_to("/etc/hostname")
        text = tick()
    assert "histoire became batch" in text
    assert "bad could not be taken from the inbox: Too many levels of symbolic links" in text
    assert set(documents(database)) == {"a.txt", "b.txt"}
    assert count(database, "study_files") == 2


def test_the_inbox_follows_no_links(inbox: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (inbox / "histoire" / "link.txt").symlink_to(secret)
    (inbox / "linked").symlink_to(tmp_path)
    os.mkfifo(inbox / "histoire" / "pipe.txt")
    [folder] = look(inbox)
    assert folder.files == ("a.txt", "b.txt")
    with pytest.raises(OSError, match="symbolic link"):
        list(parts_of(inbox / "histoire" / "link.txt", most=100))
    assert list(parts_of(inbox / "histoire" / "pipe.txt", most=100)) == [b""]


def test_a_file_is_read_in_parts_and_just_past_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "large"
    content = os.urandom(PART_BYTES * 2 + 10)
    path.write_bytes(content)
    assert [len(part) for part in parts_of(path, most=PART_BYTES * 5)] == [PART_BYTES, PART_BYTES, 10]
    assert b"".join(parts_of(path, most=PART_BYTES * 5)) == content
    assert [len(part) for part in parts_of(path, most=PART_BYTES)] == [PART_BYTES, 1]
    assert [len(part) for part in parts_of(path, most=10)] == [11]


def test_a_stored_file_has_the_size_and_digest_of_its_bytes(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "large"
    content = os.urandom(PART_BYTES + 1)
    path.write_bytes(content)
    stored = store(database, path, most=PART_BYTES * 5)
    assert (stored.name, stored.size, stored.sha256) == ("large", len(content), hashlib.sha256(content).hexdigest())


def test_a_folder_becomes_one_batch_even_when_killed_before_it_is_moved(
    inbox: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    [folder] = look(inbox)

    def stored() -> list[module.ReceivedFile]:
        return [store(database, inbox / folder.name / name, most=10_000) for name in folder.files]

    files_of_it = stored()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", _killed)
        with pytest.raises(KeyboardInterrupt):
            take(database, inbox, folder, files_of_it)
    assert count(database, "study_batches") == 1
    take(database, inbox, folder, stored())  # a tick that knows nothing of the first
    assert look(inbox) == []
    assert sorted(path.name for path in (inbox / DONE).rglob("*.txt")) == ["a.txt", "b.txt"]
    assert (count(database, "study_batches"), count(database, "study_files")) == (1, 2)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
