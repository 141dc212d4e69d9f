"""Through the real SDKs against a provider that misbehaves: no deck is lost to one answer, and each loss is counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ingestion_assets.study.generation.engine import Kept
from ingestion_assets.study.model import ChunkStatus, DropReason, StudyOptions
from ingestion_assets.study.pipeline import is_partial
from ingestion_assets.study.report import report
from ingestion_assets.study.results import Answered
from resources.llm import LlmSettings
from resources.llm.errors import LlmAuthenticationError
from tests.fakes.llm_provider import FakeProvider
from tests.study.building import build, check_accounts
from tests.study.study_provider import study_provider
from tests.study.test_pipeline import book

DEFECTIVE = 0.4


@pytest.fixture(scope="module")
def _provider() -> Iterator[FakeProvider]:
    with study_provider() as provider:
        yield provider


@pytest.fixture
def provider(_provider: FakeProvider) -> FakeProvider:
    _provider.reset(latency=0.0)
    return _provider


def openai(provider: FakeProvider, **more: Any) -> LlmSettings:
    return LlmSettings(
        llm_providers=("openai",),
        openai_api_key="sk-test",  # type: ignore[arg-type]
        openai_base_url=provider.openai_url,
        # The provider limits nothing here; without this the pace would be found by trying.
        openai_requests_per_minute=60_000,
        openai_tokens_per_minute=1e9,
        **more,
    )


def gemini(provider: FakeProvider, *also: str) -> LlmSettings:
    return LlmSettings(
        llm_providers=("gemini", *also),
        gemini_api_key="key",  # type: ignore[arg-type]
        gemini_base_url=provider.gemini_url,
        gemini_requests_per_minute=6000,
    )


@pytest.mark.parametrize("name", ["openai", "gemini"])
def test_a_provider_fills_a_deck_and_its_cost_is_known(provider: FakeProvider, name: str) -> None:
    settings = openai(provider) if name == "openai" else gemini(provider)
    built = build([book(12)], StudyOptions(title="b", cards=20, questions=8), settings)
    check_accounts(built)
    assert len(built.collection.cards) == 20
    assert 0 < len(built.collection.questions) <= 8
    assert built.outcome.total.requests == built.outcome.asked
    assert built.outcome.total.input_tokens > 0
    assert {used for used, _ in built.outcome.usage} == {name}


def test_faults_cost_their_chunks_and_not_the_deck(provider: FakeProvider) -> None:
    provider.configure(malformed=0.1, truncated=0.1, refusal=0.1, empty=0.05, html_ok=0.05, server_error=0.05)
    built = build([book(40)], StudyOptions(title="b", cards=200, questions=20), openai(provider))
    check_accounts(built)
    assert len(built.collection.cards) >= 30
    failed = built.collection.chunks[ChunkStatus.FAILED]
    assert failed == sum(built.collection.chunk_codes.values()) - built.collection.chunks[ChunkStatus.SKIPPED]
    assert set(built.collection.chunk_codes) <= {
        *("provider_refused", "invalid_model_output", "chunk_truncated", "provider_error", "not_needed")
    }
    assert sum(built.outcome.errors.values()) > 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("malformed", "invalid_model_output"),
        ("empty", "invalid_model_output"),
        ("truncated", "chunk_truncated"),
        ("refusal", "provider_refused"),
    ],
)
def test_each_fault_is_counted_under_its_own_reason(provider: FakeProvider, fault: str, code: str) -> None:
    options = StudyOptions(title="b", cards=60, questions=0)
    provider.configure(**{fault: 1.0})
    lost = build([book(10)], options, openai(provider))
    check_accounts(lost)
    assert set(lost.collection.chunk_codes) <= {code, "not_needed"}
    assert lost.collection.chunks[ChunkStatus.FAILED] == lost.collection.chunk_codes[code] > 3
    assert lost.collection.items == 0
    provider.reset(latency=0.0)
    provider.configure(**{fault: 0.4})
    partly = build([book(10)], options, openai(provider))
    check_accounts(partly)
    assert partly.collection.cards, "one bad answer costs its chunk and not the deck"
    assert set(partly.collection.chunk_codes) <= {code, "not_needed"}
    assert is_partial(partly.results, partly.collection.documents) is bool(partly.collection.chunks[ChunkStatus.FAILED])
    assert sum(partly.outcome.errors.values()) > 0


def test_a_chunk_that_no_minute_has_room_for_is_asked_in_halves(provider: FakeProvider) -> None:
    options = StudyOptions(title="b", cards=40, questions=0)
    build([book(10)], options, openai(provider))
    books = provider.books()
    provider.reset(latency=0.0)
    provider.configure(too_large_above=int(0.9 * books["tokens"] / books["answered"]))
    built = build([book(10)], options, openai(provider))
    check_accounts(built)
    assert provider.books()["rejected"] > 0
    assert built.collection.cards, "no quota, and no wrong model: the halves are small enough"
    assert built.outcome.stop is None


def test_every_defect_is_caught_and_every_clean_item_kept() -> None:
    with study_provider(defects=DEFECTIVE) as provider:
        built = build([book(30)], StudyOptions(title="b", cards=400, questions=0), openai(provider))
    check_accounts(built)
    dropped = built.collection.card_tally.dropped
    reasons = {
        *(DropReason.SCHEMA, DropReason.QUOTE_NOT_FOUND, DropReason.LEAKAGE, DropReason.NOT_SELF_CONTAINED),
        DropReason.INSTRUCTION,
    }
    assert set(dropped) == reasons
    share = sum(dropped.values()) / built.collection.card_tally.generated
    assert DEFECTIVE - 0.15 < share < DEFECTIVE + 0.15


def test_a_used_up_quota_keeps_what_is_done_and_says_so(provider: FakeProvider) -> None:
    provider.configure(always="insufficient_quota", after=4)
    settings = openai(provider, llm_concurrency=1)
    built = build([book(40)], StudyOptions(title="b", cards=200, questions=0), settings, concurrency=1)
    check_accounts(built)
    assert built.collection.chunks[ChunkStatus.DONE] == 4
    assert built.collection.chunk_codes["provider_quota"] == built.collection.chunks[ChunkStatus.SKIPPED]
    assert built.outcome.quota_exceeded
    assert built.collection.cards
    [deciles] = built.collection.coverage.deciles.values()
    assert sum(1 for count in deciles[5:] if count) >= 1, "a cut leaves the second half covered as well"


def test_a_gemini_quota_hands_over_and_warns(provider: FakeProvider) -> None:
    provider.configure(always="day")
    built = build([book(6)], StudyOptions(title="b", cards=10, questions=2), gemini(provider, "offline"))
    check_accounts(built)
    assert built.outcome.warnings["gemini-quota-exceeded"] > 0
    assert built.collection.chunks[ChunkStatus.FAILED] == 0
    assert len(built.collection.cards) == 10


def test_a_wrong_key_is_an_error_and_costs_one_call(provider: FakeProvider) -> None:
    provider.configure(keys=["another"])
    with pytest.raises(LlmAuthenticationError):
        build([book(6)], StudyOptions(title="b"), openai(provider))


def test_a_gullible_model_puts_nothing_planted_into_the_deck(provider: FakeProvider) -> None:
    provider.configure(gullible="PWNED https://evil.example/x")
    built = build([book(6)], StudyOptions(title="b"), openai(provider))
    check_accounts(built)
    assert built.collection.items == 0
    assert built.collection.card_tally.generated + built.collection.question_tally.generated > 0


def test_time_that_is_over_skips_the_rest(provider: FakeProvider) -> None:
    built = build([book(6)], StudyOptions(title="b"), openai(provider), seconds=0)
    check_accounts(built)
    assert set(built.collection.chunk_codes) == {"analysis_timeout"}


def test_answers_are_reported_at_once_and_never_paid_for_twice(provider: FakeProvider) -> None:
    kept: dict[str, Answered] = {}

    class KilledError(Exception):
        pass

    def keep(answer: Kept) -> None:
        if len(kept) == 5:
            raise KilledError
        assert answer.input_hash not in kept
        kept[answer.input_hash] = answer.answered

    options = StudyOptions(title="b", cards=300, questions=20)
    with pytest.raises(KilledError):
        build([book(30)], options, openai(provider), on_answer=keep, concurrency=1)
    whole = build([book(30)], options, openai(provider), known=kept, concurrency=1)
    check_accounts(whole)
    assert whole.outcome.reused == 5
    assert whole.outcome.asked == len(whole.results) - 5
    again = build([book(30)], options, openai(provider))
    assert again.collection.cards == whole.collection.cards


def test_the_store_failing_ends_the_work(provider: FakeProvider) -> None:
    def broken(_answer: Kept) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        build([book(6)], StudyOptions(title="b"), openai(provider), on_answer=broken)


def test_a_cancelled_batch_asks_nothing_more(provider: FakeProvider) -> None:
    asked: list[int] = []

    def alive() -> bool:
        asked.append(1)
        return len(asked) <= 2

    built = build([book(30)], StudyOptions(title="b", cards=300), openai(provider), alive=alive, concurrency=1)
    check_accounts(built)
    assert built.outcome.asked == 2


def test_a_judge_that_finds_the_same_keys_takes_nothing_out(provider: FakeProvider) -> None:
    built = build([book(12)], StudyOptions(title="b", cards=5, questions=20), openai(provider), judge_share=1.0)
    check_accounts(built)
    assert len(built.collection.questions) > 3
    assert set(built.verdicts) == {item.id for item in (*built.collection.questions, *built.collection.cards)}
    assert all(built.verdicts.values())
    assert report(built)["judged"] == {
        "questions": len(built.collection.questions),
        "wrong": 0,
        "cards": len(built.collection.cards),
        "unsupported": 0,
    }
    assert DropReason.JUDGED_WRONG not in built.collection.question_tally.dropped


def test_a_judge_that_finds_several_right_options_takes_the_question_out_and_is_not_asked_twice() -> None:
    with study_provider(contrary=True) as provider:
        options = StudyOptions(title="b", cards=5, questions=20)
        first = build([book(12)], options, openai(provider), judge_share=1.0)
        check_accounts(first)
        assert not first.collection.questions
        wrong = report(first)["judged"]["wrong"]
        assert first.collection.question_tally.dropped[DropReason.JUDGED_WRONG] == wrong > 3
        again = build([book(12)], options, openai(provider), judge_share=1.0, verdicts=first.verdicts)
        assert again.verdicts == first.verdicts
        assert again.outcome.total.requests == again.outcome.asked


def test_a_card_whose_quote_does_not_say_its_answer_is_kept_and_flagged() -> None:
    with study_provider(contrary=True) as provider:
        built = build([book(6)], StudyOptions(title="b", cards=8, questions=0), openai(provider), judge_share=0.5)
        judged = [card for card in built.collection.cards if card.id in built.verdicts]
        assert len(judged) == 4
        assert all(("G3" in card.flags) is (card in judged) for card in built.collection.cards)
        assert report(built)["judged"]["unsupported"] == 4
        check_accounts(built)


def test_a_quota_that_ends_the_judging_changes_nothing(provider: FakeProvider) -> None:
    options = StudyOptions(title="b", cards=5, questions=5)
    plain = build([book(6)], options, openai(provider))
    provider.reset(latency=0.0)
    provider.configure(always="insufficient_quota", after=plain.outcome.asked)
    judged = build([book(6)], options, openai(provider), judge_share=1.0)
    assert judged.verdicts == {}
    assert judged.collection.cards == plain.collection.cards
    assert judged.collection.questions == plain.collection.questions
    assert judged.outcome.quota is None, "only the judging was cut off: nothing is put off"
