"""From settings to a client: which providers, in which order, with shared pacing where there is a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from resources.llm.adapter import Adapter
from resources.llm.fallback import FallbackClient
from resources.llm.managed import ManagedProvider
from resources.llm.offline import OfflineProvider
from resources.llm.pacing.pacer import Pacer, StartPace
from resources.llm.pacing.store import MemoryStore, PaceKey, PaceStore, PostgresStore
from resources.llm.protocol import Closing, Completion, CompletionRequest, Deadline, LlmClient, T
from resources.llm.settings import LlmSettings

if TYPE_CHECKING:
    from resources.postgres.database import Database

GEMINI_START_PER_MINUTE = 10.0
"""What the smallest free plans allow. Raised while nothing is refused, and set by the first refusal, which names it."""


def build_client(settings: LlmSettings | None = None, *, database: Database | None = None) -> LlmClient:
    """A client for the providers of `settings` (default: from the environment), to be used in `async with`.

    With a `database` the pace is shared with every process that uses the same account; without, it is kept in this
    process. Build one for each event loop and task: it is cheap but for the SDK import. Raises pydantic's
    `ValidationError` when the environment is half configured.
    """
    settings = settings or LlmSettings()
    if settings.order == ("offline",):
        return FallbackClient([OfflineProvider()])
    store: PaceStore = MemoryStore() if database is None else PostgresStore(database)
    clients: list[LlmClient] = []
    for name in settings.order:
        if name == "offline":
            clients.append(OfflineProvider())
        else:
            adapter, start = _openai(settings) if name == "openai" else _gemini(settings)
            clients.append(
                ManagedProvider(
                    adapter,
                    Pacer(PaceKey(name, adapter.account, adapter.model), store, start),
                    attempts=settings.llm_attempts,
                    timeout=settings.llm_request_timeout_seconds,
                )
            )
    return _WithStore(FallbackClient(clients), store)


def _openai(settings: LlmSettings) -> tuple[Adapter, StartPace]:
    from resources.llm.openai_provider import OpenAiAdapter

    adapter = OpenAiAdapter(
        api_key=_key(settings.openai_api_key, "OPENAI_API_KEY"),
        model=settings.openai_model,
        base_url=settings.openai_base_url,
        reasoning_effort=settings.openai_reasoning_effort,
        connections=max(100, settings.llm_concurrency),
    )
    return adapter, StartPace(
        requests_per_minute=settings.openai_requests_per_minute,
        tokens_per_minute=settings.openai_tokens_per_minute,
    )


def _gemini(settings: LlmSettings) -> tuple[Adapter, StartPace]:
    key = _key(settings.gemini_api_key, "GEMINI_API_KEY")
    start = StartPace(
        requests_per_minute=settings.gemini_requests_per_minute,
        tokens_per_minute=settings.gemini_tokens_per_minute,
        start_per_second=GEMINI_START_PER_MINUTE / 60,
    )
    if settings.gemini_sdk == "legacy":
        from resources.llm.gemini_legacy import LegacyAdapter

        return LegacyAdapter(api_key=key, model=settings.gemini_model, base_url=settings.gemini_base_url), start
    from resources.llm.gemini_genai import GenaiAdapter

    adapter = GenaiAdapter(
        api_key=key,
        model=settings.gemini_model,
        base_url=settings.gemini_base_url,
        thinking_budget=settings.gemini_thinking_budget,
    )
    return adapter, start


def _key(key: SecretStr | None, variable: str) -> SecretStr:
    if key is None:
        raise ValueError(f"{variable} is not set")
    return key


class _WithStore(Closing):
    """A client that closes the store of its paces behind itself."""

    def __init__(self, client: FallbackClient, store: PaceStore) -> None:
        self._client = client
        self._store = store

    async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:
        return await self._client.complete(request, deadline=deadline)

    async def aclose(self) -> None:
        await self._client.aclose()
        await self._store.aclose()
