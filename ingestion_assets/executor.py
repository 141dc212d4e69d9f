"""The executor of all jobs: Dagster's in-process one, with a pulse.

A run is a process of its own, and its steps wait for networks: a process for each step as well would cost two CPU seconds a
step and leave orphans behind when the run is killed. What is added here is that others can see whether the process lives,
that the process ends when its run is over, and that its log lines name the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from ingestion_assets.ledger.dagster_runs import run_is_finished
from ingestion_assets.ledger.run_heartbeats import serving
from ingestion_assets.logs import log_context
from resources.postgres.platform import open_databases

if TYPE_CHECKING:
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan
    from dagster._core.execution.retries import RetryMode


class SupervisedExecutor(dg.Executor):
    """Runs all steps in this process, and beats for the run while it does."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> RetryMode:
        """Whether steps may be retried."""
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        """How steps wait for each other."""
        return self._inner.step_dependency_config

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """The events of the run, as the inner executor yields them."""
        run, instance = plan_context.dagster_run, plan_context.instance
        with (
            log_context(run=run.run_id, run_job=run.job_name),
            open_databases() as databases,
            serving(databases.database, run.run_id, run_is_over=lambda: run_is_finished(instance, run.run_id)),
        ):
            yield from self._inner.execute(plan_context, execution_plan)


# Dagster's annotation leaves out what its own definitions offer as schema.
@dg.executor(name="supervised_in_process", config_schema=dg.in_process_executor.config_schema)  # type: ignore[call-overload, untyped-decorator]
def supervised_executor(context: dg.InitExecutorContext) -> dg.Executor:
    """Execute all steps of a run in one process that others can see the pulse of."""
    build = dg.in_process_executor.executor_creation_fn
    assert build is not None, "Dagster's own executor has a function that builds it"  # noqa: S101
    return SupervisedExecutor(build(context))
