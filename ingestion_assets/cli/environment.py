"""What every verb stands on: databases that are up and migrated, and a Dagster instance that finds its storage."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from resources.postgres.database import NETWORK
from resources.postgres.migrate import require_current, upgrade
from resources.postgres.platform import Databases, open_databases
from resources.postgres.urls import sqlalchemy_psycopg, sqlalchemy_psycopg2, with_defaults
from resources.settings import PROJECT_ROOT, PlatformSettings


@contextmanager
def platform(settings: PlatformSettings | None = None, *, migrate: bool = True) -> Iterator[Databases]:
    """Databases up and migrated, and this process's environment pointing Dagster at them.

    `migrate=False` is for commands that only look: a database that needs an upgrade is then a `SchemaError`, unless it is
    the embedded one, which belongs to this checkout.
    """
    settings = settings or PlatformSettings()
    with open_databases(settings) as databases:
        if migrate or databases.embedded:
            upgrade(sqlalchemy_psycopg(databases.url))
        else:
            require_current(sqlalchemy_psycopg(databases.url))
        variables = dagster_environment(settings, databases)
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield databases
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def dagster_environment(settings: PlatformSettings, databases: Databases) -> Mapping[str, str]:
    """The variables that `dagster.yaml` and the code location read."""
    home = settings.home.resolve()
    dagster_dir = home / "dagster"
    dagster_dir.mkdir(parents=True, exist_ok=True)
    return {
        "INGESTION_HOME": str(home),
        "DATABASE_URL": databases.url,
        "DAGSTER_DATABASE_URL": databases.dagster_url,
        # Dagster gives its connections no parameters of their own.
        "INGESTION_DAGSTER_STORAGE_URL": sqlalchemy_psycopg2(with_defaults(databases.dagster_url, NETWORK)),
        "INGESTION_DAGSTER_DIR": str(dagster_dir),
        # Dagster refuses a relative path.
        "DAGSTER_HOME": str(Path(os.environ.get("DAGSTER_HOME") or PROJECT_ROOT).absolute()),
        # Dagster marks what it may still change, and what it replaced, by warnings at every start.
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore"),
    }
