"""The fake provider and a way to run the engine against it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ingestion_assets.events.tagging import TaggingOutcome, TagInput, TagResult, tag_events
from resources.llm import Deadline, LlmClient, LlmSettings, build_client
from tests.fakes.llm_provider import FakeProvider, fake_provider


@pytest.fixture(scope="session")
def _provider() -> Iterator[FakeProvider]:
    with fake_provider(latency=0.0) as provider:
        yield provider


@pytest.fixture
def provider(_provider: FakeProvider) -> FakeProvider:
    """One provider for all tests, as new for each: nothing limited, nothing goes wrong, no latency."""
    _provider.reset(latency=0.0, rpm=60_000)
    return _provider


@dataclass
class Run:
    """What came out: the outcome, and every row as it was handed over."""

    outcome: TaggingOutcome
    results: list[TagResult]

    def by_id(self) -> dict[str, TagResult]:
        return {result.event_id: result for result in self.results}


Tag = Callable[..., Run]


@pytest.fixture
def settings(provider: FakeProvider) -> Callable[..., LlmSettings]:
    def make(providers: str = "openai", **changes: Any) -> LlmSettings:
        return LlmSettings(
            llm_providers=providers,
            openai_api_key="sk-test",
            openai_base_url=provider.openai_url,
            gemini_api_key="g-test",
            gemini_base_url=provider.gemini_url,
            **({"gemini_requests_per_minute": 60_000} | changes),
        )

    return make


@pytest.fixture
def tag(settings: Callable[..., LlmSettings]) -> Tag:
    def run(
        inputs: Sequence[TagInput],
        *,
        providers: str = "openai",
        client: LlmClient | None = None,
        deadline: float = 60.0,
        settings_: dict[str, Any] | None = None,
        **options: Any,
    ) -> Run:
        results: list[TagResult] = []

        async def scene() -> TaggingOutcome:
            async with client or build_client(settings(providers, **(settings_ or {}))) as asked:
                return await tag_events(
                    inputs, asked, deadline=Deadline.after(deadline), on_results=results.extend, **options
                )

        outcome = asyncio.run(scene())
        # The accounting holds for every run of every test: each input once, in one state.
        assert sorted(result.event_id for result in results) == sorted(item.event_id for item in inputs)
        assert outcome.done + outcome.pending + outcome.error == len(inputs)
        return Run(outcome, results)

    return run
