"""What an analysis spends: the user's daily token budget around each call, and the ledger of usage.

    async with Budgeted(client, database, user_id=..., default_limit=...) as client:
        ...

Belongs here: when to reserve and settle, and what to do when nothing is left. The tables are `resources/llm/budgets.py` and
`resources/llm/ledger.py`. The platform's own work has no budget: it is not wrapped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ingestion_assets.study.generation.engine import PURPOSE
from resources.llm.budgets import Reservation, reserve, settle
from resources.llm.errors import LlmError, LlmQuotaError
from resources.llm.fallback import warning_of
from resources.llm.ledger import record_usage
from resources.llm.prices import Prices
from resources.llm.protocol import Closing, Completion, CompletionRequest, Deadline, LlmClient, T, Usage

if TYPE_CHECKING:
    from psycopg import Connection

    from resources.postgres.database import Database

R = TypeVar("R")


class Budgeted(Closing):
    """Another client, within the daily budget of one user: `LlmQuotaError` of the scope `user_budget` when it is used up."""

    def __init__(
        self,
        client: LlmClient,
        database: Database,
        *,
        user_id: str,
        default_limit: int | None,
        free: LlmClient | None = None,
    ) -> None:
        """`free` answers what the budget does not allow: a provider that costs nothing. None: it is refused."""
        self._client = client
        self._user_id = user_id
        self._default_limit = default_limit
        self._free = free
        self._session = database.session(role="llm-budget")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="budget")
        self._closed = False
        self._under_way = 0
        self._ended = 0
        self._changed = asyncio.Condition()

    async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:
        """Answer within the budget, or raise an `LlmError`."""
        try:
            reservation = await self._reserve(request, deadline)
        except LlmQuotaError as error:
            if self._free is None:
                raise
            return (await self._free.complete(request, deadline=deadline)).costing({}, (warning_of(error),))
        try:
            completion = await self._client.complete(request, deadline=deadline)
        except LlmError as error:
            await self._settle(reservation, error.usage.total_tokens)
            raise
        except BaseException:
            # Cancelled while the provider worked on it: nobody knows what it costs, so the reservation stands until it
            # expires.
            await self._over()
            raise
        await self._settle(reservation, completion.usage.total_tokens)
        return completion

    async def _reserve(self, request: CompletionRequest[T], deadline: Deadline) -> Reservation:
        tokens = request.prompt_tokens + request.max_output_tokens
        while True:
            ended = self._ended
            try:
                reservation = await self._books(
                    partial(
                        reserve,
                        user_id=self._user_id,
                        tokens=tokens,
                        purpose=request.purpose,
                        default_limit=self._default_limit,
                    )
                )
            except LlmQuotaError:
                # Reservations are ceilings: when a call of ours that is under way ends, most of its own comes back.
                async with self._changed:
                    if ended == self._ended:
                        if self._under_way == 0 or deadline.remaining <= 0:
                            raise
                        with suppress(TimeoutError):
                            async with asyncio.timeout(deadline.remaining):
                                await self._changed.wait()
            else:
                self._under_way += 1
                return reservation

    async def _settle(self, reservation: Reservation, used: int) -> None:
        await self._books(partial(settle, reservation=reservation, used_tokens=used))
        await self._over()

    async def _over(self) -> None:
        async with self._changed:
            self._under_way -= 1
            self._ended += 1
            self._changed.notify_all()

    async def _books(self, work: Callable[[Connection[Any]], R]) -> R:
        """Run `work` in a transaction, one at a time, on a connection of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._session.transact, work)

    async def aclose(self) -> None:
        """Close the client behind it, and the connection. Calling it twice is harmless."""
        await self._client.aclose()
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._session.close)
            self._thread.shutdown(wait=False)


@dataclass(slots=True)
class Books:
    """What one analysis writes into the ledger of LLM usage: each token once, together with the answer it paid for."""

    prices: Prices
    user_id: str
    run_id: str
    written: dict[tuple[str, str], Usage] = field(default_factory=dict)

    def record(self, connection: Connection[Any], spent: Mapping[tuple[str, str], Usage]) -> None:
        """Add usage in the caller's transaction; `note` it after the commit."""
        record_usage(
            connection, spent, prices=self.prices, purpose=PURPOSE, user_id=self.user_id, reference=self.run_id
        )

    def note(self, spent: Mapping[tuple[str, str], Usage]) -> None:
        """The transaction with this usage is committed."""
        for name, usage in spent.items():
            self.written[name] = self.written.get(name, Usage()) + usage

    def missing(self, total: Mapping[tuple[str, str], Usage]) -> dict[tuple[str, str], Usage]:
        """What of `total` is not in the ledger: questions that got no answer, and judging."""
        return {name: _less(usage, self.written.get(name, Usage())) for name, usage in total.items()}


def _less(usage: Usage, part: Usage) -> Usage:
    return Usage(**{name.name: getattr(usage, name.name) - getattr(part, name.name) for name in fields(Usage)})
