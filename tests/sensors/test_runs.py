"""Runs that nobody serves, what runs leave behind, and the pulse that tells."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

# A queued run has an origin, and Dagster exports no way to make one; nor one to say which pools it needs.
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.dagster_run import RunOpConcurrency

from ingestion_assets.ledger import run_heartbeats
from ingestion_assets.ledger.incidents import Action
from ingestion_assets.ledger.run_heartbeats import Pulse, read_pulses, serving
from ingestion_assets.study.steps import AT_ONCE, DOMAIN_TAG, RUN_TAGS
from resources.postgres.database import Database
from sensors import unserved_runs
from sensors.pool_slots import Claim, RunEnd, leaked, pool_slots_sensor
from sensors.run_outcomes import cancelled_runs_sensor, failed_runs_sensor, outcome
from sensors.settings import SensorSettings
from sensors.unserved_runs import Queue, RunView, held_back, unserved, unserved_runs_sensor
from tests.sensors.conftest import Ledger, WatchersClock

ROOT = Path(__file__).parents[2]
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("ingestion"), "r"), "import_ics")
Status = dg.DagsterRunStatus
ALIVE = Pulse("r", "here:1", timedelta(seconds=2), locked=True)
GONE = Pulse("r", "here:1", timedelta(seconds=12), locked=False)
PAUSED = Pulse("r", "here:1", timedelta(seconds=31), locked=True)
RESTARTED = Pulse("r", "here:1", timedelta(seconds=4), locked=False)


def view(status: Status, *, age: float = 3600, pulse: Pulse | None = None, **options: Any) -> RunView:
    beats = options.pop("beats", True)
    return RunView(
        run_id="r", job_name="j", status=status, age=timedelta(seconds=age), pulse=pulse, beats=beats, **options
    )


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (view(Status.STARTED, pulse=ALIVE), None),
        (view(Status.STARTED, pulse=RESTARTED), None),
        (view(Status.STARTED, pulse=GONE, age=1), (Action.FAILED, "process_gone")),
        (view(Status.STARTED, pulse=PAUSED, age=1), (Action.FAILED, "process_gone")),
        (view(Status.STARTED, age=60), None),
        (view(Status.STARTED, age=130), (Action.FAILED, "no_process")),
        (view(Status.STARTED, beats=False, age=90_000), None),
        (view(Status.STARTING, age=300), None),
        (view(Status.STARTING, age=370), (Action.FAILED, "not_started")),
        (view(Status.NOT_STARTED, age=370), (Action.FAILED, "not_started")),
        (view(Status.CANCELING, pulse=ALIVE, age=60), None),
        (view(Status.CANCELING, pulse=ALIVE, age=130), (Action.CANCELLED, "cancel_timeout")),
        (view(Status.CANCELING, pulse=GONE, age=1), (Action.CANCELLED, "process_gone")),
        (view(Status.QUEUED, age=200), None),
        (view(Status.QUEUED, age=400), (Action.REPORTED, "not_dequeued")),
        (view(Status.QUEUED, age=400, pools=frozenset({"source_ics"})), None),
        (view(Status.QUEUED, age=400, pools=frozenset({"llm"})), (Action.REPORTED, "not_dequeued")),
    ],
)
def test_a_run_is_served_or_not(run: RunView, expected: tuple[Action, str] | None) -> None:
    found = unserved([run], free_slots=2, full_pools={"source_ics"}, settings=SensorSettings())
    assert [(item.action, item.reason) for item in found] == ([expected] if expected else [])


STUDY = {"ingestion/domain": "study"}
LIMIT = {"key": "ingestion/domain", "value": "study", "limit": 2}


@pytest.mark.parametrize(
    ("tags", "active", "limit", "expected"),
    [
        (STUDY, [STUDY, STUDY], LIMIT, True),
        (STUDY, [STUDY, {}], LIMIT, False),
        (STUDY, [STUDY, {"ingestion/domain": "events"}], LIMIT, False),
        ({}, [STUDY, STUDY], LIMIT, False),
        ({"ingestion/domain": "events"}, [STUDY, STUDY], LIMIT, False),
        (STUDY, [STUDY, {"ingestion/domain": "events"}], {"key": "ingestion/domain", "limit": 2}, True),
    ],
)
def test_a_queued_run_waits_rightly_while_enough_runs_with_its_tags_are_under_way(
    tags: dict[str, str], active: list[dict[str, str]], limit: dict[str, Any], expected: bool
) -> None:
    under_way = [view(Status.STARTED, tags=each) for each in active]
    assert held_back(view(Status.QUEUED, tags=tags), under_way, [limit]) is expected
    waiting = view(Status.QUEUED, tags=tags, held_back=expected)
    assert len(unserved([waiting], free_slots=4, full_pools=(), settings=SensorSettings())) == (not expected)


def test_collections_have_as_many_runs_as_slots_of_their_pool() -> None:
    """One more would wait inside its run, which counts as time that it works."""
    limits = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))["concurrency"]["runs"]
    assert limits["tag_concurrency_limits"] == [{"key": DOMAIN_TAG, "value": RUN_TAGS[DOMAIN_TAG], "limit": AT_ONCE}]
    assert limits["max_concurrent_runs"] > 2 * AT_ONCE


def test_a_dead_run_is_seen_behind_a_long_queue(
    tick: Callable[..., Any],
    ledger: Ledger,
    instance: dg.DagsterInstance,
    add_run: Callable[..., dg.DagsterRun],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unserved_runs, "_MOST_RUNS", 2)
    for _ in range(3):
        add_run(Status.QUEUED, remote_job_origin=ORIGIN)
    add_run()
    monkeypatch.setenv("INGESTION_STUCK_RUN_WITHOUT_PULSE_SECONDS", "0.001")
    tick(unserved_runs_sensor)
    assert ledger.incidents() == [("unserved_runs", "no_process", "failed")]


def test_a_queued_run_waits_rightly_while_no_slot_is_free() -> None:
    assert unserved([view(Status.QUEUED)], free_slots=0, full_pools=(), settings=SensorSettings()) == []


def test_a_run_whose_process_was_killed_is_failed_once(
    tick: Callable[..., Any],
    ledger: Ledger,
    instance: dg.DagsterInstance,
    add_run: Callable[..., dg.DagsterRun],
    database: Database,
    long_running_server: None,
) -> None:
    run, other = add_run(), add_run()
    victim = _serve_in_process(database, run.run_id)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    with serving(database, other.run_id, run_is_over=lambda: False):
        assert "each served" in tick(unserved_runs_sensor).skip_message
        ledger.connection.execute(
            "UPDATE run_heartbeats SET beat_at = now() - interval '11 s' WHERE run_id = %s", (run.run_id,)
        )
        assert "is gone" in tick(unserved_runs_sensor).skip_message
        assert "each served" in tick(unserved_runs_sensor).skip_message
    found, untouched = instance.get_run_by_id(run.run_id), instance.get_run_by_id(other.run_id)
    assert found is not None
    assert untouched is not None
    assert (found.status, untouched.status) == (Status.FAILURE, Status.STARTED)
    assert ledger.incidents() == [("unserved_runs", "process_gone", "failed")]


def test_a_run_is_not_failed_because_the_clock_was_set_or_the_machine_slept(
    tick: Callable[..., Any],
    ledger: Ledger,
    add_run: Callable[..., dg.DagsterRun],
    database: Database,
    long_running_server: None,
    watchers_clock: WatchersClock,
) -> None:
    run = add_run()
    with serving(database, run.run_id, run_is_over=lambda: False, beat_every=3600):
        tick(unserved_runs_sensor)
        watchers_clock.advance(seconds=15)
        ledger.connection.execute("UPDATE run_heartbeats SET beat_at = beat_at - interval '1 h'")
        assert "each served" in tick(unserved_runs_sensor).skip_message
        watchers_clock.advance(seconds=15)
        assert "has been silent" in tick(unserved_runs_sensor).skip_message


def test_a_run_that_dagster_made_and_never_launched_is_failed(
    tick: Callable[..., Any],
    ledger: Ledger,
    instance: dg.DagsterInstance,
    add_run: Callable[..., dg.DagsterRun],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A launch that failed half-way, such as the first one after an outage of the database."""
    run = add_run(Status.NOT_STARTED, remote_job_origin=ORIGIN)
    monkeypatch.setenv("INGESTION_STUCK_RUN_START_SECONDS", "0.001")
    tick(unserved_runs_sensor)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == Status.FAILURE
    assert ledger.incidents() == [("unserved_runs", "not_started", "failed")]


def test_a_queued_run_is_reported_once_and_left_alone(
    tick: Callable[..., Any],
    ledger: Ledger,
    instance: dg.DagsterInstance,
    add_run: Callable[..., dg.DagsterRun],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = add_run(Status.QUEUED, remote_job_origin=ORIGIN)
    monkeypatch.setenv("INGESTION_STUCK_QUEUED_SECONDS", "0.001")
    assert "each served" in tick(unserved_runs_sensor).skip_message
    for _ in range(2):
        tick(unserved_runs_sensor)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == Status.QUEUED
    assert ledger.incidents() == [("unserved_runs", "not_dequeued", "reported")]


def test_a_queue_that_moves_is_not_reported_between_two_of_its_runs(
    tick: Callable[..., Any],
    ledger: Ledger,
    instance: dg.DagsterInstance,
    add_run: Callable[..., dg.DagsterRun],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INGESTION_STUCK_QUEUED_SECONDS", "0.001")
    waiting = [add_run(Status.QUEUED, remote_job_origin=ORIGIN) for _ in range(4)]
    for first in waiting[:3]:
        assert "each served" in tick(unserved_runs_sensor).skip_message
        instance.report_run_canceled(first)
    assert ledger.incidents() == []


def test_a_run_that_starts_keeps_others_from_its_pool_before_it_has_the_slot(
    tick: Callable[..., Any], ledger: Ledger, add_run: Callable[..., dg.DagsterRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTION_STUCK_QUEUED_SECONDS", "0.001")
    pools = RunOpConcurrency(
        root_key_counts={"source_ics": 1}, has_unconstrained_root_nodes=False, all_pools={"source_ics"}
    )
    add_run(Status.STARTING, run_op_concurrency=pools)
    add_run(Status.QUEUED, remote_job_origin=ORIGIN, run_op_concurrency=pools)
    for _ in range(2):
        assert "each served" in tick(unserved_runs_sensor).skip_message


def test_a_run_that_does_not_leave_the_queue_is_reported_beside_one_of_another_pool_that_does() -> None:
    stuck, moved = view(Status.QUEUED), replace(view(Status.QUEUED, pools=frozenset({"study"})), run_id="moved")
    queue = Queue()
    assert queue.stands([stuck, moved], [stuck, moved]) == set()
    assert queue.stands([stuck], [stuck]) == {"r"}
    assert queue.stands([stuck], []) == set()
    assert queue.stands([stuck], [stuck]) == set()


_SERVER = """
import sys
from resources.postgres.database import Database
from ingestion_assets.ledger.run_heartbeats import serving
with serving(Database(sys.argv[1]), sys.argv[2], run_is_over=lambda: False):
    print("serving", flush=True)
    sys.stdin.read()
"""


def _serve_in_process(database: Database, run_id: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, database.url, run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "serving"
    return process


def pulse_of(database: Database, run_id: str) -> Pulse | None:
    with database.transaction() as connection:
        return read_pulses(connection, [run_id]).get(run_id)


def test_a_run_has_a_pulse_while_it_is_served_and_none_afterwards(database: Database) -> None:
    with serving(database, "r", run_is_over=lambda: False):
        pulse = pulse_of(database, "r")
        assert pulse is not None
        assert pulse.locked
        assert pulse.why_dead() is None
    assert pulse_of(database, "r") is None


def test_the_pulse_comes_back_after_the_server_dropped_its_connection(database: Database, ledger: Ledger) -> None:
    with serving(database, "r", run_is_over=lambda: False, beat_every=0.05):
        ledger.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ingestion/run heartbeat'"
            " AND datname = current_database()"
        )
        _until(lambda: (pulse := pulse_of(database, "r")) is not None and pulse.locked)
    assert pulse_of(database, "r") is None


def test_a_pulse_takes_its_lock_when_the_server_has_let_go_of_a_connection_that_the_network_lost(
    database: Database, ledger: Ledger
) -> None:
    key = "hashtextextended((SELECT token FROM run_heartbeats)::text, 0)"
    with serving(database, "r", run_is_over=lambda: False, beat_every=0.05), database.connect() as half_open:
        lock = threading.Thread(target=half_open.execute, args=(f"SELECT pg_advisory_xact_lock({key})",))
        lock.start()
        _until(lambda: ledger.connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None)
        ledger.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ingestion/run heartbeat'"
            " AND datname = current_database()"
        )
        lock.join(10)
        beating = "SELECT 1 FROM run_heartbeats WHERE beat_at > %s"
        now = ledger.connection.execute("SELECT clock_timestamp()").fetchone()
        _until(lambda: ledger.connection.execute(beating, now).fetchone() is not None)
        half_open.rollback()
        _until(lambda: (pulse := pulse_of(database, "r")) is not None and pulse.locked)


def test_a_process_whose_run_is_over_is_interrupted_and_then_killed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_heartbeats, "INTERRUPT_AFTER", 0.1)
    monkeypatch.setattr(run_heartbeats, "KILL_AFTER", 0.3)
    answers, stages = [False, None, False], []
    with serving(
        database,
        "r",
        run_is_over=lambda: answers.pop(0) if answers else True,
        end_process=stages.append,
        beat_every=0.02,
    ):
        _until(lambda: "kill" in stages)
    assert stages[0] == "interrupt"
    assert stages.count("interrupt") == 1


def test_a_process_that_swallows_interrupts_does_not_outlive_its_run(database: Database) -> None:
    program = """
import signal, sys, time
from resources.postgres.database import Database
from ingestion_assets.ledger import run_heartbeats
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it as ignored
run_heartbeats.INTERRUPT_AFTER, run_heartbeats.KILL_AFTER = 0.2, 1.0
started = []
with run_heartbeats.serving(Database(sys.argv[1]), "r", run_is_over=lambda: bool(started), beat_every=0.05):
    while True:
        try:
            started.append(True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, database.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "interrupted\n"


def _until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (Status.FAILURE, "killed, token=abcdef123", ("run_failed", "The run failed: killed, token=***")),
        (Status.CANCELED, None, ("cancelled", "The run was cancelled.")),
    ],
)
def test_the_ledger_says_how_a_run_ended(status: Status, message: str | None, expected: tuple[str, str]) -> None:
    assert outcome(status, message) == expected


@pytest.mark.parametrize(
    ("sensor", "status", "code"),
    [(failed_runs_sensor, Status.FAILURE, "run_failed"), (cancelled_runs_sensor, Status.CANCELED, "cancelled")],
)
def test_a_run_that_ends_badly_closes_what_it_left_open(
    sensor: dg.SensorDefinition,
    status: Status,
    code: str,
    ledger: Ledger,
    instance: dg.DagsterInstance,
    add_run: Callable[..., dg.DagsterRun],
) -> None:
    run = add_run()
    open_row, other = ledger.add_import(run.run_id), ledger.add_import(source="meetup")
    if status == Status.FAILURE:
        instance.report_run_failed(run, "the worker was killed")
    else:
        instance.report_run_canceled(run, "somebody pressed a button")
    for expected in ("ERROR", "ERROR"):
        _tick_run_status(sensor, instance, run.run_id)
        assert ledger.import_job(open_row)["status"] == expected
    assert ledger.import_job(open_row)["error_code"] == code
    assert ledger.import_job(other)["status"] == "RUNNING"
    assert ledger.incidents() == [("run_outcomes", code, "closed")]


def _tick_run_status(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, run_id: str) -> None:
    from resources.definitions import PostgresResource

    run = instance.get_run_by_id(run_id)
    assert run is not None
    [event] = [
        entry.dagster_event
        for entry in instance.all_logs(run_id)
        if entry.dagster_event is not None and entry.dagster_event.is_job_event
    ]
    context = dg.build_run_status_sensor_context(
        sensor_name=sensor.name,
        dagster_event=event,
        dagster_instance=instance,
        dagster_run=run,
        resources={"postgres": PostgresResource()},
    )
    with context:
        sensor(context)


NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_only_slots_of_runs_that_have_been_over_for_a_while_are_leaked() -> None:
    claims = [Claim(pool, run) for pool, run in (("a", "long"), ("a", "long"), ("b", "long"), ("a", "just"))]
    claims += [Claim("c", "alive"), Claim("d", "deleted"), Claim("e", "unknown")]
    ends = {
        "long": RunEnd(over=True, ended=NOW - timedelta(minutes=5)),
        "just": RunEnd(over=True, ended=NOW - timedelta(seconds=30)),
        "alive": RunEnd(over=False, ended=NOW - timedelta(hours=5)),
        "deleted": RunEnd(over=True),
    }
    found = leaked(claims, ends, now=NOW, after=timedelta(minutes=2))
    assert found == {"long": ["a", "b"], "deleted": ["d"]}


def test_slots_of_a_deleted_run_are_freed_and_those_of_a_living_one_are_not(
    tick: Callable[..., Any], ledger: Ledger, instance: dg.DagsterInstance, add_run: Callable[..., dg.DagsterRun]
) -> None:
    storage = instance.event_log_storage
    alive = add_run()
    for pool, run_id in (("source_ics", "deleted"), ("source_meetup", alive.run_id)):
        storage.set_concurrency_slots(pool, 1)
        assert storage.claim_concurrency_slot(pool, run_id, "step").is_claimed
    assert "freed" in tick(pool_slots_sensor).skip_message
    assert storage.get_concurrency_info("source_ics").active_slot_count == 0
    assert storage.get_concurrency_info("source_meetup").active_slot_count == 1
    assert "none by a finished run" in tick(pool_slots_sensor).skip_message
    assert ledger.incidents() == [("pool_slots", "held_by_finished_run", "freed")]


def test_the_pool_of_deduplication_has_the_limit_of_its_setting(
    tick: Callable[..., Any], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = instance.event_log_storage
    for runs in ("3", "1", "2"):
        monkeypatch.setenv("INGESTION_DEDUPLICATION_RUNS", runs)
        for _ in range(2):
            tick(pool_slots_sensor)
            limits = {pool.name: pool.limit for pool in storage.get_pool_limits()}
            assert limits == {"deduplication": int(runs), "study": AT_ONCE}
    claims = [storage.claim_concurrency_slot("deduplication", f"run {n}", "step").is_claimed for n in range(3)]
    assert claims == [True, True, False]


def test_thresholds_that_would_close_living_imports_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTION_STUCK_IMPORT_SILENCE_SECONDS", "9")
    with pytest.raises(ValueError, match="closes living imports"):
        SensorSettings()
