from __future__ import annotations

import pytest

from resources.postgres.database import Database
from tests.loading.imports import Importer


@pytest.fixture
def importer(database: Database) -> Importer:
    return Importer(database)


@pytest.fixture
def fresh_importer(fresh_database: Database) -> Importer:
    """One on a database of its own, for tests that change the schema or measure the server."""
    return Importer(fresh_database)
