"""Backfills that failed or stand still."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

# Backfills are made by the webserver and the daemon only; Dagster exports no way to make one.
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from ingestion_assets.ledger.incidents import Action
from sensors import backfills as module
from sensors.backfills import (
    BackfillRun,
    BackfillView,
    backfill_problems,
    failed_backfills_sensor,
    failed_partitions,
)
from tests.sensors.conftest import Ledger

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
Status = dg.DagsterRunStatus


def run(partition: str, status: Status, *, minutes_ago: float = 60, root: str | None = None) -> BackfillRun:
    run_id = uuid.uuid4().hex
    return BackfillRun(
        run_id=run_id,
        root_run_id=root or run_id,
        status=status,
        partitions=partition,
        moved=NOW - timedelta(minutes=minutes_ago),
    )


def test_a_run_that_was_retried_counts_by_its_retry() -> None:
    runs = [
        run("a", Status.FAILURE, root="1", minutes_ago=50),
        run("a", Status.SUCCESS, root="1", minutes_ago=40),
        run("b", Status.SUCCESS, root="2", minutes_ago=50),
        run("b", Status.FAILURE, root="2", minutes_ago=40),
        run("c", Status.CANCELED),
        run("d", Status.STARTED),
    ]
    assert failed_partitions(reversed(runs)) == ["b", "c"]


@pytest.mark.parametrize(
    ("status", "runs", "expected"),
    [
        ("COMPLETED_FAILED", [run("a", Status.FAILURE)], (Action.REPORTED, "failed")),
        ("FAILED", [], (Action.REPORTED, "failed")),
        ("REQUESTED", [], (Action.REPORTED, "no_progress")),
        ("REQUESTED", [run("a", Status.SUCCESS, minutes_ago=5)], None),
        ("REQUESTED", [run("a", Status.STARTED)], None),
        ("CANCELING", [run("a", Status.CANCELED)], (Action.CANCELLED, "not_ending")),
        ("CANCELING", [run("a", Status.STARTED)], None),
        ("FAILING", [run("a", Status.FAILURE)], (Action.CANCELLED, "not_ending")),
    ],
)
def test_a_backfill_has_failed_stands_still_or_is_under_way(
    status: str, runs: list[BackfillRun], expected: tuple[Action, str] | None
) -> None:
    view = BackfillView(backfill_id="b", status=status, started=NOW - timedelta(hours=1), runs=runs)
    found = backfill_problems([view], now=NOW, stuck_after=timedelta(minutes=30))
    assert [(problem.action, problem.reason) for problem in found] == ([expected] if expected else [])


def test_a_failed_backfill_is_said_once_with_the_partitions_that_are_left(
    tick: Callable[..., Any], ledger: Ledger, instance: dg.DagsterInstance, add_run: Callable[..., dg.DagsterRun]
) -> None:
    asset = dg.AssetKey(["raw_events", "ics"])
    _add_backfill(instance, "bf1", BulkActionStatus.COMPLETED_FAILED, asset)
    for week, status in (("2026-11-02", Status.SUCCESS), ("2026-11-09", Status.FAILURE)):
        add_run(status, tags={"dagster/backfill": "bf1", "dagster/partition": week})
    result = tick(failed_backfills_sensor)
    [event] = result.asset_events
    assert event.asset_key == asset
    assert "1 of its ranges failed: 2026-11-09. Materialize them again" in event.description
    assert tick(failed_backfills_sensor).asset_events == []
    assert ledger.incidents() == [("failed_backfills", "failed", "reported")]


def test_backfills_that_succeeded_since_hide_none_that_failed(
    tick: Callable[..., Any], ledger: Ledger, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Automation makes a dozen a night: of one that ran for days, the end was not seen."""
    monkeypatch.setattr(module, "_MOST_BACKFILLS", 2)
    _add_backfill(instance, "long", BulkActionStatus.COMPLETED_FAILED, dg.AssetKey("x"), hours_ago=100)
    for name in "abc":
        _add_backfill(instance, name, BulkActionStatus.COMPLETED_SUCCESS, dg.AssetKey("x"))
    tick(failed_backfills_sensor)
    assert ledger.incidents() == [("failed_backfills", "failed", "reported")]


def test_a_backfill_that_was_being_cancelled_is_ended(
    tick: Callable[..., Any], ledger: Ledger, instance: dg.DagsterInstance
) -> None:
    _add_backfill(instance, "bf1", BulkActionStatus.CANCELING, dg.AssetKey("x"), hours_ago=2)
    _add_backfill(instance, "bf2", BulkActionStatus.CANCELING, dg.AssetKey("x"))
    tick(failed_backfills_sensor)
    ended, under_way = instance.get_backfill("bf1"), instance.get_backfill("bf2")
    assert ended is not None
    assert under_way is not None
    assert (ended.status, under_way.status) == (BulkActionStatus.CANCELED, BulkActionStatus.CANCELING)
    tick(failed_backfills_sensor)
    assert ledger.incidents() == [("failed_backfills", "not_ending", "cancelled")]


def _add_backfill(
    instance: dg.DagsterInstance, name: str, status: BulkActionStatus, asset: dg.AssetKey, hours_ago: float = 0.1
) -> None:
    instance.add_backfill(
        PartitionBackfill(
            backfill_id=name,
            status=status,
            from_failure=False,
            tags={},
            backfill_timestamp=(datetime.now(UTC) - timedelta(hours=hours_ago)).timestamp(),
            asset_selection=[asset],
        )
    )
