"""Response validators and request budgets in PostgreSQL, so that they outlive a process and are shared by all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.http.cache import CachedReply
from resources.postgres.database import Database

if TYPE_CHECKING:
    from psycopg import Connection


class PostgresValidatorCache:
    """`resources.http.ValidatorCache` over the table `http_cache`.

    In transactions that outlive a restart of the server, as the import does for which it remembers answers.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, url_key: str) -> CachedReply | None:
        """The answer kept under the key."""

        def read(connection: Connection[Any]) -> tuple[Any, ...] | None:
            return connection.execute(
                "SELECT etag, last_modified, body, content_type, stored_at FROM http_cache WHERE url_key = %s",
                (url_key,),
            ).fetchone()

        with self._database.session(role="http cache") as session:
            row = session.transact(read)
        return CachedReply(*row) if row else None

    def put(self, url_key: str, reply: CachedReply) -> None:
        """Keep an answer, in place of an older one. An answer with the validators we have is not written again."""

        def write(connection: Connection[Any]) -> None:
            connection.execute(
                "INSERT INTO http_cache AS c (url_key, etag, last_modified, content_type, body, stored_at)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (url_key) DO UPDATE SET etag = EXCLUDED.etag,"
                " last_modified = EXCLUDED.last_modified, content_type = EXCLUDED.content_type, body = EXCLUDED.body,"
                " stored_at = EXCLUDED.stored_at",
                (url_key, reply.etag, reply.last_modified, reply.content_type, reply.body, reply.stored_at),
            )

        with self._database.session(role="http cache") as session:
            session.transact(write)


class PostgresRequestBudget:
    """`resources.http.RequestBudget` over the table `request_budgets`.

    Windows are the clock's hours and UTC days, which is how services count them. Costs one round trip a request, and
    only for policies that have a budget.
    """

    def __init__(self, database: Database) -> None:
        self._session = database.session(role="request budget")

    def spend(self, name: str, *, per_hour: int | None, per_day: int | None) -> float | None:
        """Take one request from every window, or none: then the seconds until the fullest window ends."""
        limits = [(period, limit) for period, limit in (("hour", per_hour), ("day", per_day)) if limit is not None]
        if not limits:
            return None

        def take(connection: Any) -> float | None:
            waits = []
            for period, limit in limits:
                row = connection.execute(
                    "INSERT INTO request_budgets AS b (name, period, period_start, used)"
                    " VALUES (%(name)s, %(period)s, date_trunc(%(period)s, now(), 'UTC'), 1)"
                    " ON CONFLICT (name, period, period_start) DO UPDATE SET used = b.used + 1"
                    " RETURNING used, extract(epoch FROM period_start + ('1 ' || period)::interval - now())::float8",
                    {"name": name, "period": period},
                ).fetchone()
                if row[0] > limit:
                    waits.append(max(row[1], 1.0))
            if waits:
                raise _SpentError(max(waits))
            return None

        try:
            self._session.transact(take)
        except _SpentError as spent:  # rolled back: nothing was taken
            return spent.wait
        return None

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()


class _SpentError(Exception):
    def __init__(self, wait: float) -> None:
        super().__init__(wait)
        self.wait = wait
