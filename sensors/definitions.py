"""All that watches and repairs, as Dagster loads it: a table of contents."""

import dagster as dg

from sensors.backfills import failed_backfills_sensor
from sensors.batches import study_batches_sensor
from sensors.inbox import study_inbox_sensor
from sensors.job_queue import job_queue_sensor, work_off_async_jobs
from sensors.launch_outbox import launch_outbox_sensor
from sensors.pool_slots import pool_slots_sensor
from sensors.recover_study import recover_study_sensor
from sensors.recover_tags import recover_tags_sensor
from sensors.retention import databases_are_small_enough, history, nightly_purge, purge_history
from sensors.run_outcomes import cancelled_runs_sensor, failed_runs_sensor
from sensors.stuck_async_jobs import stuck_async_jobs_sensor
from sensors.stuck_imports import stuck_imports_sensor
from sensors.unserved_runs import unserved_runs_sensor


def sensor_definitions() -> dg.Definitions:
    """Sensors, and the jobs and the asset of operations. Needs the resource `postgres`."""
    return dg.Definitions(
        assets=[history],
        asset_checks=[databases_are_small_enough],
        jobs=[work_off_async_jobs, purge_history],
        schedules=[nightly_purge],
        sensors=[
            stuck_imports_sensor,
            stuck_async_jobs_sensor,
            unserved_runs_sensor,
            pool_slots_sensor,
            failed_runs_sensor,
            cancelled_runs_sensor,
            job_queue_sensor,
            failed_backfills_sensor,
            recover_tags_sensor,
            recover_study_sensor,
            study_batches_sensor,
            study_inbox_sensor,
            launch_outbox_sensor,
        ],
    )
