"""The Celery application: what the launcher sends with, and what `ingest run-worker` starts."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery
from celery.signals import setup_logging as on_setup_logging
from celery.signals import worker_init
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task

from ingestion_assets.celery.queues import DEFAULT
from ingestion_assets.celery.settings import CelerySettings


def configuration(settings: CelerySettings) -> dict[str, Any]:
    """Celery's own settings. Each differs from its default for a reason."""
    return {
        # A run is acknowledged when it begins, and its pulse says whether it lives. Late acknowledgement would start a
        # run of more than the broker's visibility timeout (an hour with Redis) a second time beside the first.
        "task_acks_late": False,
        # A worker takes a run only when it has a free process: runs that it held back would be lost with it.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # Dagster's event log has the outcome; a second copy in the broker would only grow it.
        "task_ignore_result": True,
        "worker_max_tasks_per_child": settings.runs_per_child,
        "worker_max_memory_per_child": settings.child_memory_mb * 1000,
        "broker_connection_retry_on_startup": True,
        # A broker that does not answer must fail the launch, so that the run is launched again, and not hang the daemon.
        "broker_transport_options": {
            "max_retries": 3,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
        },
        # Workers hear of each other only to say hello: one message less for every run and queue.
        "worker_send_task_events": False,
    }


def build_app(settings: CelerySettings) -> Celery:
    """The application on the broker of the settings. Raises `PermanentError` when none is set."""
    app: Celery = make_app(  # type: ignore[no-untyped-call]
        app_args={
            "broker": settings.broker(),
            "config_source": configuration(settings),
            "task_default_queue": DEFAULT,
        }
    )
    create_execute_job_task(app)
    return app


@worker_init.connect  # type: ignore[untyped-decorator]
def load_definitions(**_: Any) -> None:
    """Import what runs need once, in the parent: its processes are forked and share the pages."""
    import ingestion_assets.definitions  # noqa: F401


@on_setup_logging.connect  # type: ignore[untyped-decorator]
def log_like_the_rest(**_: Any) -> None:
    """Connected, this keeps Celery from replacing our handlers, which take secrets out of every line."""
    from ingestion_assets.logs import setup_logging

    setup_logging()
    logging.getLogger("celery").setLevel(logging.INFO)
