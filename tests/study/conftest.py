"""What several files of study tests ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resources.postgres.database import Database
from tests.fakes.llm_provider import FakeProvider
from tests.study.studio import Studio
from tests.study.study_provider import study_provider


@pytest.fixture
def studio(database: Database, platform_environment: dict[str, str]) -> Iterator[Studio]:
    made = Studio(database)
    yield made
    made.instance.dispose()


@pytest.fixture(scope="module")
def _provider() -> Iterator[FakeProvider]:
    with study_provider() as provider:
        yield provider


@pytest.fixture
def provider(_provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    _provider.reset(latency=0.0)
    for name, value in {
        "LLM_PROVIDERS": "openai",
        # Judging is paid for on its own; what is counted here are questions about chunks.
        "STUDY_JUDGE_SHARE": "0",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": _provider.openai_url,
        "OPENAI_REQUESTS_PER_MINUTE": "60000",
        "OPENAI_TOKENS_PER_MINUTE": "1000000000",
    }.items():
        monkeypatch.setenv(name, value)
    return _provider
