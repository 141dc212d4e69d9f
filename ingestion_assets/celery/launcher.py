"""Dagster's run launcher for Celery, with a queue for every run and without an opinion on who is alive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from celery import Celery
from dagster import DagsterRun
from dagster._core.launcher import LaunchRunContext
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_TASK_ID_TAG

from ingestion_assets.celery.app import build_app
from ingestion_assets.celery.queues import DEFAULT, queue_of
from ingestion_assets.celery.settings import CelerySettings

if TYPE_CHECKING:
    from dagster._config import UserConfigSchema


class RoutedCeleryRunLauncher(CeleryRunLauncher):
    """Sends each run to the queue of its assets, or to that of its tag `dagster-celery/queue`.

    Dagster's own asks the result backend whether a run's worker lives, and fails the run when it gets no answer: a
    broker that lost its memory would end every run under way, and a retry, which inherits the tags of the run before it,
    is judged by a dead task. Our executor's pulse answers the question, so this launcher does not.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(default_queue=DEFAULT, inst_data=inst_data)
        self._app: Celery | None = None

    @property
    def celery(self) -> Celery:
        """Made when the first run is launched: who only reads the instance needs no broker."""
        if self._app is None:
            self._app = build_app(CelerySettings())
        return self._app

    @celery.setter
    def celery(self, _made_by_the_base_class: Celery) -> None:
        """The base class makes one in its constructor, from settings that are not ours."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Choose the queue, then launch."""
        run = context.dagster_run
        if DAGSTER_CELERY_QUEUE_TAG not in run.tags:
            tag = {DAGSTER_CELERY_QUEUE_TAG: queue_of(self._steps(run))}
            self._instance.add_run_tags(run.run_id, tag)
            run = run.with_tags({**run.tags, **tag})
        super().launch_run(context._replace(dagster_run=run))

    def _steps(self, run: DagsterRun) -> Sequence[str]:
        if run.step_keys_to_execute:
            return run.step_keys_to_execute
        if run.execution_plan_snapshot_id is None:
            return ()
        return self._instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute

    def terminate(self, run_id: str) -> bool:
        """End the process of a run; False when no worker was ever given it."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        return super().terminate(run_id)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """See the class."""
        return False

    @property
    def supports_resume_run(self) -> bool:
        """A run is one process: there is nothing to resume, it is retried."""
        return False

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:  # noqa: ARG002 - Dagster's signature
        """Shown when a run did not start in time."""
        queue = run.tags.get(DAGSTER_CELERY_QUEUE_TAG, DEFAULT)
        return f"It waited in the queue {queue!r}. Does a worker listen to it, with a free process? (ingest run-worker)"

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Nothing: the broker's URL is a secret, and what stands in dagster.yaml is stored with every run."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Called by Dagster."""
        return cls(inst_data=inst_data, **config_value)
