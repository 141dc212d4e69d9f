"""Settings of the ground the platform stands on: where it keeps its files and which database it uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from resources.errors import PermanentError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
"""The folder of pyproject.toml, dagster.yaml and workspace.yaml."""


class PlatformSettings(BaseSettings):
    """Read from the environment when asked, never at import."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # Pydantic would quote what it was given, passwords of URLs too
    )

    home: Path = Field(
        default=PROJECT_ROOT / ".ingestion",
        validation_alias="INGESTION_HOME",
        description="Folder of the embedded database, the logs and the compute logs.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="PostgreSQL 15 or newer. Unset: an embedded server under INGESTION_HOME is started.",
    )
    dagster_database_url: SecretStr | None = Field(
        default=None,
        validation_alias="DAGSTER_DATABASE_URL",
        description="Database of Dagster's own storage. Unset: a database beside the platform's, with `_dagster` "
        "after its name, created when it is missing.",
    )
    postgres_port: int | None = Field(
        default=None,
        validation_alias="INGESTION_POSTGRES_PORT",
        ge=1024,
        le=65535,
        description="Port of 127.0.0.1 on which the embedded server also listens, for tools that need TCP.",
    )
    database_patience: float = Field(
        default=300.0,
        validation_alias="INGESTION_DATABASE_PATIENCE_SECONDS",
        gt=0,
        description="How long a step waits for PostgreSQL to come back before it fails, in seconds.",
    )


def unusable(error: ValidationError) -> str:
    """What Pydantic refused of some settings, as a sentence that names their variables."""
    # What concerns several settings has no place of its own; its message names them.
    said = (
        ": ".join(filter(None, (".".join(map(str, one["loc"])).upper(), one["msg"].removeprefix("Value error, "))))
        for one in error.errors()
    )
    return f"a setting cannot be used. {'; '.join(said)}"


@contextmanager
def reading_settings() -> Iterator[None]:
    """For what reads settings in the middle of its work: one that cannot be used is an error that no retry mends."""
    try:
        yield
    except ValidationError as error:
        raise PermanentError(unusable(error)) from None
