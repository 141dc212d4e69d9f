"""Imports that stay RUNNING: which are closed, which are left alone, and what is said."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from ingestion_assets.ledger.import_jobs import AttemptSupersededError, ImportJob, session_role
from ingestion_assets.ledger.import_repairs import repair_stuck_imports
from ingestion_assets.ledger.stuck_imports import (
    Limits,
    RunningImport,
    StuckReason,
    close_stuck,
    running_imports,
    stuck_imports,
    why_stuck,
)
from sensors.stuck_imports import stuck_imports_sensor
from tests.sensors.conftest import Ledger, WatchersClock

SECONDS = {
    name: timedelta(seconds=seconds) for name, seconds in {"none": 0, "short": 8, "lease": 31, "long": 3700}.items()
}


def job(*, silence: str = "none", stalled: str = "none", locked: bool = True) -> RunningImport:
    return RunningImport(
        job_id=1,
        source="ics",
        run_id="r",
        token=uuid.uuid4(),
        silence=SECONDS[silence],
        stalled=SECONDS[stalled],
        locked=locked,
    )


@pytest.mark.parametrize(
    ("seen", "finished", "expected"),
    [
        (job(), False, None),
        (job(), None, None),
        (job(), True, StuckReason.RUN_GONE),
        (job(silence="short"), False, None),
        (job(silence="short", locked=False), False, None),
        (job(silence="lease"), False, StuckReason.NO_HEARTBEAT),
        (job(silence="lease"), None, StuckReason.NO_HEARTBEAT),
        (job(silence="lease", locked=False), False, StuckReason.WORKER_GONE),
        (job(stalled="lease"), False, None),
        (job(stalled="long"), False, StuckReason.NO_PROGRESS),
        (job(stalled="long"), None, StuckReason.NO_PROGRESS),
    ],
)
def test_an_import_is_stuck_for_a_reason_or_not_at_all(
    seen: RunningImport, finished: bool | None, expected: StuckReason | None
) -> None:
    assert why_stuck(seen, run_finished=finished, limits=Limits()) is expected


def test_what_is_decided_reads_as_a_sentence() -> None:
    [found] = stuck_imports([job(stalled="long")], run_finished=lambda _: False, limits=Limits())
    assert str(found) == "import job 1 of ics: no page committed for 62 minutes"


def test_the_sensor_closes_a_dead_import_fails_its_run_and_tells_the_asset(
    tick: Callable[..., Any],
    ledger: Ledger,
    add_run: Callable[..., dg.DagsterRun],
    instance: dg.DagsterInstance,
    long_running_server: None,
) -> None:
    run = add_run()
    dead = ledger.add_import(run.run_id, silent=timedelta(seconds=45))
    alive = ledger.add_import(add_run().run_id, source="meetup", locked=True)
    result = tick(stuck_imports_sensor)
    row = ledger.import_job(dead)
    assert (row["status"], row["error_code"]) == ("ERROR", "worker_gone")
    assert "its worker is gone" in row["error_text"]
    assert ledger.import_job(alive)["status"] == "RUNNING"
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.FAILURE
    [event] = result.asset_events
    assert event.asset_key == dg.AssetKey(["raw_events", "ics"])
    assert event.metadata["reason"].value == "worker_gone"
    assert ledger.incidents() == [("stuck_imports", "worker_gone", "closed")]


def test_a_second_tick_finds_nothing(
    tick: Callable[..., Any], ledger: Ledger, add_run: Callable[..., dg.DagsterRun], long_running_server: None
) -> None:
    ledger.add_import(add_run().run_id, silent=timedelta(seconds=45))
    tick(stuck_imports_sensor)
    result = tick(stuck_imports_sensor)
    assert result.skip_reason.skip_message == "No import is stuck."
    assert result.asset_events == []
    assert len(ledger.incidents()) == 1


def test_an_import_whose_run_is_over_or_was_deleted_is_closed(
    tick: Callable[..., Any], ledger: Ledger, add_run: Callable[..., dg.DagsterRun]
) -> None:
    over = ledger.add_import(add_run(dg.DagsterRunStatus.FAILURE).run_id, locked=True)
    deleted = ledger.add_import(source="meetup", locked=True)
    tick(stuck_imports_sensor)
    assert [ledger.import_job(job_id)["error_code"] for job_id in (over, deleted)] == ["run_gone", "run_gone"]


def test_an_import_that_beats_but_commits_nothing_is_closed(
    tick: Callable[..., Any],
    ledger: Ledger,
    add_run: Callable[..., dg.DagsterRun],
    monkeypatch: pytest.MonkeyPatch,
    watchers_clock: WatchersClock,
) -> None:
    stalled = ledger.add_import(add_run().run_id, stalled=timedelta(minutes=50), locked=True)
    assert "No import is stuck" in tick(stuck_imports_sensor).skip_reason.skip_message
    monkeypatch.setenv("INGESTION_STUCK_IMPORT_NO_PROGRESS_SECONDS", "2400")
    watchers_clock.advance(seconds=601)
    tick(stuck_imports_sensor)
    assert ledger.import_job(stalled)["error_code"] == "no_progress"


def test_nobody_is_called_dead_because_the_clock_was_set_or_the_machine_slept(
    tick: Callable[..., Any],
    ledger: Ledger,
    add_run: Callable[..., dg.DagsterRun],
    long_running_server: None,
    watchers_clock: WatchersClock,
) -> None:
    job_id = ledger.add_import(add_run().run_id, locked=True)
    tick(stuck_imports_sensor)
    watchers_clock.advance(seconds=15)
    ledger.connection.execute(
        "UPDATE import_jobs SET heartbeat_at = heartbeat_at - interval '2 h', progress_at = progress_at - interval '2 h'"
    )
    tick(stuck_imports_sensor)
    ledger.connection.execute("UPDATE import_jobs SET heartbeat_at = now()")
    watchers_clock.advance(seconds=15)
    tick(stuck_imports_sensor)
    assert ledger.import_job(job_id)["status"] == "RUNNING"
    assert ledger.incidents() == []


def test_a_paused_worker_is_known_by_the_beat_that_the_sensor_saw_twice(
    tick: Callable[..., Any],
    ledger: Ledger,
    add_run: Callable[..., dg.DagsterRun],
    long_running_server: None,
    watchers_clock: WatchersClock,
) -> None:
    job_id = ledger.add_import(add_run().run_id, silent=timedelta(seconds=45), locked=True)
    for status in ("RUNNING", "ERROR"):
        tick(stuck_imports_sensor)
        assert ledger.import_job(job_id)["status"] == status
        watchers_clock.advance(seconds=10)
    assert ledger.import_job(job_id)["error_code"] == "no_heartbeat"


def test_nobody_is_called_dead_because_the_server_was_down(ledger: Ledger, instance: dg.DagsterInstance) -> None:
    """The server of the tests has run for less than these imports claim to have been silent."""
    ledger.add_import(silent=timedelta(days=400))
    with ledger.database.transaction() as connection:
        [seen] = running_imports(connection)
        row = connection.execute("SELECT clock_timestamp() - pg_postmaster_start_time()").fetchone()
    assert row is not None
    assert seen.silence <= row[0]


def test_a_dry_run_changes_nothing(ledger: Ledger, instance: dg.DagsterInstance, long_running_server: None) -> None:
    job_id = ledger.add_import(silent=timedelta(minutes=5))
    found = repair_stuck_imports(ledger.database, instance, watcher="test", limits=Limits(), dry_run=True)
    assert [item.job.job_id for item in found] == [job_id]
    assert ledger.import_job(job_id)["status"] == "RUNNING"
    assert ledger.incidents() == []


def test_a_worker_that_came_back_between_look_and_repair_is_left_alone(
    ledger: Ledger, long_running_server: None
) -> None:
    job_id = ledger.add_import(silent=timedelta(minutes=5))
    with ledger.database.transaction() as connection:
        found = stuck_imports(running_imports(connection), run_finished=lambda _: False, limits=Limits())
    ledger.connection.execute("UPDATE import_jobs SET heartbeat_at = now() WHERE id = %s", (job_id,))
    assert close_stuck(ledger.database, "test", found) == []
    assert ledger.import_job(job_id)["status"] == "RUNNING"


def test_the_writer_of_a_closed_import_is_refused(ledger: Ledger, instance: dg.DagsterInstance) -> None:
    def write_late(writer: ImportJob) -> None:
        with writer:
            repair_stuck_imports(ledger.database, instance, watcher="test", limits=Limits())
            assert ledger.import_job(writer.job_id)["error_code"] == "run_gone"
            writer.commit(lambda connection: connection.execute("SELECT 1"))

    writer = ImportJob(ledger.database, source="ics", run_id="gone")
    with pytest.raises(AttemptSupersededError):
        write_late(writer)
    assert ledger.import_job(writer.job_id)["nb_refused"] == 1


@pytest.mark.parametrize(("evict_after", "status"), [(0, "ERROR"), (3600, "RUNNING")])
def test_a_worker_that_was_stopped_in_a_transaction_keeps_neither_its_row_nor_others(
    ledger: Ledger, long_running_server: None, monkeypatch: pytest.MonkeyPatch, evict_after: int, status: str
) -> None:
    monkeypatch.setattr("ingestion_assets.ledger.stuck_imports.LOCK_TIMEOUT", "100ms")
    job_id = ledger.add_import(silent=timedelta(minutes=5))
    other = ledger.add_import(source="meetup", silent=timedelta(minutes=5))
    run_id = ledger.import_job(job_id)["run_id"]
    stopped = ledger.database.connect(role=session_role("ics", run_id))
    stopped.execute("SELECT FROM import_jobs WHERE id = %s FOR KEY SHARE", (job_id,))
    with ledger.database.transaction() as connection:
        found = stuck_imports(running_imports(connection), run_finished=lambda _: False, limits=Limits())
    close_stuck(ledger.database, "test", found, evict_after=timedelta(seconds=evict_after))
    assert ledger.import_job(other)["status"] == "ERROR"
    assert ledger.import_job(job_id)["status"] == status
    stopped.close()
