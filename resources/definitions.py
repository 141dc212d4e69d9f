"""The outside world as Dagster resources: what an asset asks for instead of building it.

No secret is a field here: it would be stored with the run's configuration. Databases, sources and LLM providers read
theirs from the environment when they are used.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dagster as dg
from pydantic import PrivateAttr

from resources.http import OutboundClient, OutboundPolicy
from resources.postgres.database import Database
from resources.postgres.platform import Databases, open_databases


class PostgresResource(dg.ConfigurableResource[Database]):
    """The platform's database: that of DATABASE_URL, or the embedded server, held for as long as the run lasts."""

    _stack: ExitStack = PrivateAttr(default_factory=ExitStack)
    _databases: Databases | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 - Dagster's signature
        """Open the databases; starts the embedded server when nobody else has."""
        self._databases = self._stack.enter_context(open_databases())

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 - Dagster's signature
        """Let go of the embedded server; the last user stops it."""
        self._stack.close()
        self._databases = None

    @property
    def database(self) -> Database:
        """Where the tables are."""
        if self._databases is None:
            raise dg.DagsterInvariantViolationError("the database resource is used outside a run")
        return self._databases.database


class OutboundResource(dg.ConfigurableResource[OutboundClient]):
    """HTTP clients whose validators and budgets are kept in the platform's database."""

    postgres: PostgresResource

    @contextmanager
    def client(self, policy: OutboundPolicy) -> Iterator[OutboundClient]:
        """A client for one service. Importing httpx waits until here."""
        from resources.postgres.http_store import PostgresRequestBudget, PostgresValidatorCache

        budget = PostgresRequestBudget(self.postgres.database)
        try:
            with OutboundClient(policy, cache=PostgresValidatorCache(self.postgres.database), budget=budget) as client:
                yield client
        finally:
            budget.close()
