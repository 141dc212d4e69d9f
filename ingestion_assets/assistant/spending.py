"""A client within one user's daily budget of tokens, that writes down what each call cost.

Reserved before a call, settled and put into the books in one transaction after it. A call that is cancelled leaves its
reservation until that expires: nobody knows what it cost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from resources.llm.budgets import Reservation, reserve, settle
from resources.llm.client import build_client
from resources.llm.errors import LlmError, LlmQuotaError
from resources.llm.fallback import warning_of
from resources.llm.ledger import record_usage
from resources.llm.offline import OfflineProvider
from resources.llm.prices import load_prices
from resources.llm.protocol import Closing, Completion, CompletionRequest, Deadline, LlmClient, Spent, T
from resources.llm.settings import LlmSettings

if TYPE_CHECKING:
    from psycopg import Connection

    from resources.postgres.database import Database

R = TypeVar("R")


class Transact(Protocol):
    """Runs work in a transaction, in a thread: `ApiDatabase.run`, or `in_threads(database)`."""

    def __call__(self, work: Callable[[Connection[Any]], R]) -> Awaitable[R]: ...


def in_threads(database: Database, role: str) -> Transact:
    """Transactions of `database` for coroutines."""
    import asyncio

    def transact(work: Callable[[Connection[Any]], R]) -> Awaitable[R]:
        def run() -> R:
            with database.transaction(role=role) as connection:
                return work(connection)

        return asyncio.to_thread(run)

    return transact


class Metered(Closing):
    """Another client, for one user and one purpose. Raises `LlmQuotaError` of the scope `user_budget`."""

    def __init__(
        self,
        client: LlmClient,
        transact: Transact,
        settings: LlmSettings,
        *,
        user_id: str,
        purpose: str,
        reference: str,
    ) -> None:
        self._client = client
        self._transact = transact
        self._settings = settings
        self._user_id = user_id
        self._purpose = purpose
        self._reference = reference
        # What costs nothing answers also when the budget is used up, where the settings allow it to answer at all.
        self._free = OfflineProvider() if "offline" in settings.order else None

    async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:
        """Answer within the budget, or raise an `LlmError`."""
        request = replace(request, user_id=self._user_id, purpose=self._purpose)
        if self._settings.order == ("offline",):
            return await self._client.complete(request, deadline=deadline)
        try:
            held = await self._transact(partial(self._reserve, request.prompt_tokens + request.max_output_tokens))
        except LlmQuotaError as error:
            if self._free is None:
                raise
            return (await self._free.complete(request, deadline=deadline)).costing({}, (warning_of(error),))
        try:
            completion = await self._client.complete(request, deadline=deadline)
        except LlmError as error:
            await self._transact(partial(self._settle, held, error.spent))
            raise
        await self._transact(partial(self._settle, held, completion.spent))
        return completion

    def _reserve(self, tokens: int, connection: Connection[Any]) -> Reservation:
        return reserve(
            connection,
            user_id=self._user_id,
            tokens=tokens,
            purpose=self._purpose,
            default_limit=self._settings.llm_daily_token_budget,
        )

    def _settle(self, held: Reservation, spent: Spent, connection: Connection[Any]) -> None:
        settle(connection, held, used_tokens=sum(usage.total_tokens for usage in spent.values()))
        record_usage(
            connection,
            spent,
            prices=load_prices(self._settings.llm_prices),
            purpose=self._purpose,
            user_id=self._user_id,
            reference=self._reference,
        )

    async def aclose(self) -> None:
        await self._client.aclose()


def metered(
    transact: Transact,
    settings: LlmSettings,
    *,
    database: Database | None,
    user_id: str,
    purpose: str,
    reference: str,
) -> Metered:
    """A client of the configured providers for one user; its pace is shared through `database`."""
    client = build_client(settings, database=database)
    return Metered(client, transact, settings, user_id=user_id, purpose=purpose, reference=reference)
