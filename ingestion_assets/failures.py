"""What an error means to Dagster: try the step again, try the run again, or stop.

Three mechanisms retry, and they do not know of each other. A step retries what is transient (`RetryRequested`, with the
delay that the other side named). Run retries are for what no code could classify: a killed worker, a host that went
away. They look at a tag only, so `stop_run_retries` sets it for every error that *was* classified, and for what a blocking
check refused: without it a permanent failure would run three times. Automation sees only that the last execution
failed, and asks once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError

from ingestion_assets.ledger.import_jobs import AttemptSupersededError
from resources.errors import PermanentError, TransientError

STEP_RETRIES = 3
LONGEST_STEP_WAIT = 120.0
"""Seconds. A longer wait would hold a process and a pool slot for nothing: the run ends and says when to come back."""
_FIRST_WAIT = 5.0


@dg.failure_hook(name="stop_run_retries")
def stop_run_retries(context: dg.HookContext) -> None:
    """Keep Dagster from launching the run again after an error that was classified here, or a blocking check."""
    if isinstance(context.op_exception, (dg.Failure, DagsterAssetCheckFailedError)):
        context.instance.add_run_tags(context.run_id, {"dagster/retry_on_asset_or_op_failure": "false"})


@contextmanager
def classified(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Turn the platform's errors into what Dagster acts on.

    Transient: the step is retried up to `STEP_RETRIES` times, after the delay that was named or an exponential one.
    Permanent, superseded, or a named delay over `LONGEST_STEP_WAIT`: `Failure` without retries. Everything else passes.
    """
    try:
        yield
    except TransientError as error:
        named = error.retry_after
        if named is not None and named > LONGEST_STEP_WAIT:
            raise dg.Failure(
                description=f"{error} Come back in {named:.0f} s.",
                metadata={"retry_after_seconds": named, "error": type(error).__name__},
                allow_retries=False,
            ) from error
        if context.retry_number >= STEP_RETRIES:
            raise dg.Failure(
                description=f"{error} (given up after {STEP_RETRIES + 1} attempts of the step)",
                metadata={"error": type(error).__name__},
                allow_retries=False,
            ) from error
        wait = _FIRST_WAIT * 4**context.retry_number if named is None else named
        context.log.warning(f"{error} The step is tried again in {wait:.0f} s.")
        raise dg.RetryRequested(max_retries=STEP_RETRIES, seconds_to_wait=wait) from error
    except (PermanentError, AttemptSupersededError) as error:
        raise dg.Failure(
            description=str(error), metadata={"error": type(error).__name__}, allow_retries=False
        ) from error
