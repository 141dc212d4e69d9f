"""Settings of runs on Celery."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from resources.errors import PermanentError


class CelerySettings(BaseSettings):
    """Read from the environment when asked: by the daemon, which hands runs over, and by the workers."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # Pydantic would quote what it was given, the password of the broker too
    )

    broker_url: SecretStr | None = Field(
        default=None,
        validation_alias="INGESTION_CELERY_BROKER_URL",
        description="Broker through which runs reach workers, such as `redis://host:6379/0`. Needed where `DAGSTER_HOME` "
        "is `deploy/celery`, and unused elsewhere.",
    )
    runs_per_child: int = Field(
        default=20,
        validation_alias="INGESTION_CELERY_RUNS_PER_CHILD",
        ge=1,
        description="Runs that one process of a worker executes before a fresh one takes its place.",
    )
    child_memory_mb: int = Field(
        default=1024,
        validation_alias="INGESTION_CELERY_CHILD_MEMORY_MB",
        ge=128,
        description="Resident memory, in MB, over which a worker's process is replaced after its run.",
    )

    def broker(self) -> str:
        """The broker's URL. Raises `PermanentError` when it is not set."""
        if self.broker_url is None:
            raise PermanentError("runs on Celery need a broker: set INGESTION_CELERY_BROKER_URL (docs/deployment.md).")
        return self.broker_url.get_secret_value()
