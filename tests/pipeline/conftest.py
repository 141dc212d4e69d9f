from __future__ import annotations

import pytest

from resources.postgres.database import Database
from tests.pipeline.importing import Pipeline


@pytest.fixture
def pipeline(database: Database) -> Pipeline:
    """Imports into a database of this test's own."""
    return Pipeline(database)
