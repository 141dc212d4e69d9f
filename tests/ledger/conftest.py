from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import sql

from resources.postgres.database import Database


@pytest.fixture
def started_long_ago(database: Database) -> Iterator[None]:
    """The tests' server has just started, and silence from before that proves nothing: hide the start.

    A function and a view of the same names, in a schema that is looked at first, say that it started a year ago.
    """
    from resources.postgres.urls import database_name

    name = sql.Identifier(database_name(database.url))
    with database.connect(autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql"
            " AS $$ SELECT now() - interval '1 year' $$"
        )
        connection.execute(
            "CREATE VIEW public.pg_stat_activity AS SELECT * FROM pg_catalog.pg_stat_activity"
            " WHERE backend_type IS DISTINCT FROM 'walwriter'"
        )
        connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = public, pg_catalog").format(name))
    yield
    with database.connect(autocommit=True) as connection:
        connection.execute("DROP VIEW IF EXISTS public.pg_stat_activity")
        connection.execute("DROP FUNCTION public.pg_postmaster_start_time()")
        connection.execute(sql.SQL("ALTER DATABASE {} RESET search_path").format(name))
