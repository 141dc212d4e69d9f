"""What Dagster loads: everything is there, valid, described and bounded, and loading it is cheap."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingestion_assets.events.definitions import event_definitions
from ingestion_assets.events.sources import SOURCE_NAMES, source_class

ROOT = Path(__file__).parents[2]
GROUPS = {"raw_events", "events"}
RAW = [f"raw_events/{name}" for name in SOURCE_NAMES]
RAW_CHECKS = {"counts_reconcile", "withdrawal_guard", "fetch_complete", "few_rejected", "no_twins", "fresh"}
EVENT_CHECKS = {
    "every_event_has_a_record",
    "every_dated_record_has_an_event",
    "replaced_ids_lead_on",
    "no_oversized_event",
    "events_stay_at_one_venue",
}
TAG_CHECKS = {
    "no_event_lost",
    "tags_inside_the_taxonomy",
    "few_failed",
    "upcoming_events_are_tagged",
    "spend_is_within_budget",
}
HEAVY = (
    *("pandas", "numpy", "pyarrow", "rapidfuzz", "openai", "google.genai", "icalendar", "dateutil.rrule"),
    *("httpx", "httpcore", "selectolax", "alembic", "psycopg", "jwt", "cryptography"),
)
"""What costs tenths of a second to import and is needed in a step, not to show the graph."""


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    from ingestion_assets.definitions import build_definitions

    return build_definitions()


@pytest.fixture(scope="module")
def graph(defs: dg.Definitions) -> Any:
    return defs.resolve_asset_graph()


def test_the_definitions_load(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_event_domain_is_what_it_is_documented_to_be(graph: Any) -> None:
    assets = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).group_name in GROUPS}
    assert assets == {*RAW, "deduplicated_events", "tag_enrichments"}
    checks: dict[str, set[str]] = {}
    for key in graph.asset_check_keys:
        if key.asset_key.to_user_string() in assets:
            checks.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    assert checks == {
        **dict.fromkeys(RAW, RAW_CHECKS),
        "deduplicated_events": EVENT_CHECKS,
        "tag_enrichments": TAG_CHECKS,
    }
    events = event_definitions()
    assert {job.name for job in events.jobs or ()} == {
        *(f"import_{name}" for name in SOURCE_NAMES),
        "follow_up",
        "look_for_late_imports",
    }
    assert {schedule.name for schedule in events.schedules or ()} == {
        *(f"refresh_{name}" for name in SOURCE_NAMES),
        "sweep_dirty_weeks",
        "look_for_late_imports",
    }
    assert [sensor.name for sensor in events.sensors or ()] == ["follow_inputs"]


def test_what_follows_depends_on_every_source(graph: Any) -> None:
    parents = graph.get(dg.AssetKey("deduplicated_events")).parent_keys
    assert {key.to_user_string() for key in parents} == set(RAW)
    assert graph.get(dg.AssetKey("tag_enrichments")).parent_keys == {dg.AssetKey("deduplicated_events")}


def test_every_sensor_and_schedule_says_what_it_does(defs: dg.Definitions) -> None:
    automation = [*(defs.sensors or ()), *(defs.schedules or ())]
    assert automation
    assert [one.name for one in automation if not one.description] == []


def test_every_asset_says_what_it_is_and_who_owns_it(graph: Any) -> None:
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.owners, key
        if node.group_name in GROUPS:
            assert {"python", "postgres"} <= node.kinds, key
            assert "dagster/column_schema" in node.metadata, key
            assert "dagster/table_name" in node.metadata, key


def test_a_source_that_is_off_says_so_where_people_look(defs: dg.Definitions) -> None:
    specs = {spec.key.path[-1]: spec for spec in defs.resolve_all_asset_specs()}
    for name in SOURCE_NAMES:
        missing = source_class(name).settings_class().missing()
        assert specs[name].tags["enabled"] == ("false" if missing else "true")
        for variable in missing:
            assert variable in (specs[name].description or "")


def test_every_run_is_bounded_in_time(defs: dg.Definitions) -> None:
    """By its job, or by the instance for runs of jobs that do not know better."""
    import yaml

    for job in defs.jobs or ():
        assert int((job.tags or {}).get("dagster/max_runtime", 0)) > 0, job.name
    for asset in defs.resolve_asset_graph().assets_defs:
        assert "dagster/max_runtime" not in asset.op.tags, f"{asset.key}: run monitoring reads tags of runs alone"
    monitoring = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))["run_monitoring"]
    assert monitoring["enabled"] is True
    assert monitoring["max_runtime_seconds"] > 0


def test_every_source_imports_alone_and_in_one_run(graph: Any) -> None:
    """Equal backfill policies would put the sources into one run, in which they fail together."""
    policies = {name: graph.get(dg.AssetKey(name.split("/"))).backfill_policy for name in RAW}
    assert len({policy.max_partitions_per_run for policy in policies.values()}) == len(RAW)
    partitions = len(_partitions(graph).get_partition_keys())
    assert all(policy.max_partitions_per_run > partitions for policy in policies.values())
    pools = {spec for name in RAW for spec in graph.get(dg.AssetKey(name.split("/"))).pools}
    assert pools == {f"source_{name}" for name in SOURCE_NAMES}


def test_deduplication_is_shared_out_over_runs_of_its_own(graph: Any) -> None:
    """Two years are four runs, none of which imports or tags: these have other policies."""
    policy = graph.get(dg.AssetKey("deduplicated_events")).backfill_policy
    assert policy.max_partitions_per_run == 26
    others = [
        graph.get(key).backfill_policy for key in graph.get_all_asset_keys() if key.path[-1] != "deduplicated_events"
    ]
    assert policy not in others


def _partitions(graph: Any) -> Any:
    return graph.get(dg.AssetKey("deduplicated_events")).partitions_def


def test_partitions_are_weeks_from_monday_a_year_ahead(graph: Any) -> None:
    from datetime import date, timedelta

    from tests.fakes.feeds import this_week

    keys = [date.fromisoformat(key) for key in _partitions(graph).get_partition_keys()]
    assert keys[0] == date(2020, 1, 6)
    assert keys[-1] == this_week() + timedelta(weeks=52)
    assert all(later - earlier == timedelta(days=7) for earlier, later in itertools.pairwise(keys))
    assert all(key.weekday() == 0 for key in keys)


def test_no_asset_uses_an_io_manager_that_unpickles(graph: Any) -> None:
    """Dagster's default one executes what a stored pickle says; nothing of ours may return a value to it."""
    for key in graph.executable_asset_keys:
        for output in graph.get(key).assets_def.node_def.output_defs:
            assert output.dagster_type.typing_type is type(None), key


def test_importing_the_definitions_imports_nothing_heavy() -> None:
    program = (
        "import sys, json; import ingestion_assets.definitions;"
        f"print(json.dumps(sorted(name for name in {HEAVY!r} if name in sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_importing_the_definitions_needs_neither_network_nor_database(tmp_path: Path) -> None:
    program = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('a connection at import')\n"
        "socket.socket.connect = refuse\n"
        "import ingestion_assets.definitions as d; import dagster as dg; dg.Definitions.validate_loadable(d.defs)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "INGESTION_HOME": str(tmp_path / "none"),
            "DATABASE_URL": "postgresql://x@127.0.0.1:1/x",
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert not (tmp_path / "none").exists()
