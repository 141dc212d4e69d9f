from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.postgres.database import Database
from tests.assets.runs import Runs


@pytest.fixture
def runs(database: Database, platform_environment: dict[str, str], tmp_path: Path) -> Iterator[Runs]:
    made = Runs(database, tmp_path)
    yield made
    made.instance.dispose()


@pytest.fixture
def runs_with_own_schema(
    fresh_database: Database, platform_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Runs]:
    """For tests that add triggers."""
    monkeypatch.setenv("DATABASE_URL", fresh_database.url)
    made = Runs(fresh_database, tmp_path)
    yield made
    made.instance.dispose()
