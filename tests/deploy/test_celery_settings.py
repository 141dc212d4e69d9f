"""Which queue a run goes to, and what is loaded when runs are not on Celery."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import yaml

from ingestion_assets.celery.app import build_app
from ingestion_assets.celery.launcher import RoutedCeleryRunLauncher
from ingestion_assets.celery.queues import DEFAULT, LLM, SOURCES, all_queues, queue_of
from ingestion_assets.celery.settings import CelerySettings
from ingestion_assets.definitions import build_definitions
from ingestion_assets.events.sources import SOURCE_NAMES
from resources.errors import PermanentError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("steps", "queue"),
    [
        (["raw_events__ics"], "source_ics"),
        (["raw_events__ics", "raw_events__ics_fresh", "raw_events__ics__checks"], "source_ics"),
        (["raw_events__ics", "raw_events__open_data_montreal"], SOURCES),
        (["deduplicated_events", "deduplicated_events__checks"], DEFAULT),
        (["raw_events__ics", "deduplicated_events"], DEFAULT),
        (["deduplicated_events", "tag_enrichments", "tag_enrichments__checks"], LLM),
        (["documents", "document_analyses", "study_collections"], LLM),
        (["work_off_queue"], LLM),
        (["operations__history"], DEFAULT),
        ([], DEFAULT),
    ],
)
def test_a_run_goes_to_the_queue_of_what_it_makes(steps: list[str], queue: str) -> None:
    assert queue_of(steps) == queue
    assert queue in all_queues()


def test_every_job_has_a_queue_that_exists_and_every_source_one_of_its_own() -> None:
    definitions = build_definitions()
    queues = {
        job.name: queue_of([node.name for node in job.nodes])
        for job in definitions.resolve_all_job_defs()
        if not job.name.startswith("__")
    }
    assert {queues[f"import_{source}"] for source in SOURCE_NAMES} == {f"source_{source}" for source in SOURCE_NAMES}
    assert (queues["follow_up"], queues["make_collection"], queues["work_off_async_jobs"]) == (LLM, LLM, LLM)
    assert queues["purge_history"] == DEFAULT
    assert set(queues.values()) <= set(all_queues())


def test_a_missing_broker_is_named_and_its_url_is_in_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INGESTION_CELERY_BROKER_URL", raising=False)
    with pytest.raises(PermanentError, match="INGESTION_CELERY_BROKER_URL"):
        build_app(CelerySettings())
    assert RoutedCeleryRunLauncher.config_type() == {}


def test_workers_hold_nothing_back_and_are_replaced_when_they_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTION_CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("INGESTION_CELERY_CHILD_MEMORY_MB", "300")
    conf = build_app(CelerySettings()).conf
    assert (conf.worker_prefetch_multiplier, conf.worker_disable_prefetch, conf.task_acks_late) == (1, True, False)
    assert (conf.worker_max_memory_per_child, conf.worker_max_tasks_per_child) == (300_000, 20)


def test_the_instance_on_celery_is_the_usual_one_with_a_launcher() -> None:
    usual = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    celery = yaml.safe_load((ROOT / "deploy/celery/dagster.yaml").read_text(encoding="utf-8"))
    assert celery.pop("run_launcher") == {
        "module": "ingestion_assets.celery.launcher",
        "class": "RoutedCeleryRunLauncher",
    }
    assert celery == usual


def test_reading_the_instance_needs_no_broker_and_a_launch_says_what_is_missing(
    make_instance: Callable[[], dg.DagsterInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INGESTION_CELERY_BROKER_URL", raising=False)
    launcher = RoutedCeleryRunLauncher()
    instance = make_instance()
    launcher.register_instance(instance)
    assert launcher.terminate("no such run") is False
    assert (launcher.supports_check_run_worker_health, launcher.supports_resume_run) == (False, False)
    with pytest.raises(PermanentError, match="INGESTION_CELERY_BROKER_URL"):
        _ = launcher.celery


def test_nothing_of_celery_is_loaded_unless_the_instance_asks_for_it() -> None:
    program = (
        "import sys, ingestion_assets.definitions, ingestion_assets.cli.app, ingestion_assets.cli.settings as s;"
        " list(s.groups()); print([name for name in sys.modules if name.split('.')[0] in ('celery', 'kombu', 'redis')])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
