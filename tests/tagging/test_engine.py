"""Tagging many events over HTTP without losing one, whatever the provider does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.events.tagging import EventTags, RowStatus, TagInput, TagResult, tag_events, tag_input
from ingestion_assets.events.tagging.engine import tag_request
from ingestion_assets.events.tagging.model import TagAnswer, TagBatch
from ingestion_assets.events.tagging.outcome import RowError
from resources.llm import Deadline, LlmSettings, build_client
from resources.llm.errors import (
    ErrorCode,
    Flaw,
    LlmAuthenticationError,
    LlmQuotaError,
    LlmRateLimitError,
    LlmRefusalError,
    LlmRequestError,
    LlmResponseError,
    LlmUnavailableError,
    QuotaScope,
)
from resources.llm.openai_provider import unknown_model
from resources.llm.protocol import Closing, Completion, CompletionRequest, T, Usage
from tests.fakes.llm_content import ids_in
from tests.fakes.llm_provider import FakeProvider
from tests.fakes.llm_time import Loop, play
from tests.tagging.conftest import Tag


def events(count: int, **fields: object) -> list[TagInput]:
    return [
        tag_input(event_id=f"evt-{number:04}", title=f"Événement numéro {number}", **fields)  # type: ignore[arg-type]
        for number in range(count)
    ]


@pytest.mark.parametrize("providers", ["openai", "gemini", "offline"])
def test_every_event_is_tagged_in_a_tenth_of_the_requests(tag: Tag, provider: FakeProvider, providers: str) -> None:
    run = tag(events(43), providers=providers, events_per_prompt=10)

    assert run.outcome.done == 43
    assert {result.provider for result in run.results} == {providers}
    assert all(isinstance(result.tags, EventTags) for result in run.results)
    assert run.outcome.prompts == 5
    assert provider.books()["requests"] == (0 if providers == "offline" else 5)


@pytest.mark.parametrize("fault", ["drop", "repeat", "alter", "off_taxonomy"])
def test_ids_that_are_missing_repeated_unknown_or_badly_tagged_are_asked_again(
    tag: Tag, provider: FakeProvider, fault: str
) -> None:
    provider.configure(**{fault: 0.5})

    run = tag(events(60), events_per_prompt=6)

    assert run.outcome.done + run.outcome.error == 60
    assert run.outcome.reasked > 0
    assert run.outcome.done >= 55
    assert set(run.outcome.reasons) <= set(RowError)


def test_what_is_asked_again_is_asked_without_its_neighbours(tag: Tag, provider: FakeProvider) -> None:
    provider.configure(drop=0.4)

    run = tag(events(50), events_per_prompt=10)

    rows = sum(count for _, _, count in provider.books()["entries"])
    assert rows == 50 + run.outcome.reasked
    assert run.outcome.reasked < 20


def test_an_event_that_is_never_answered_is_an_error_with_a_reason(tag: Tag, provider: FakeProvider) -> None:
    provider.configure(alter=1.0)

    run = tag(events(1))

    assert run.outcome.error == 1
    assert run.results[0].error_code == RowError.NO_ANSWER
    assert provider.books()["requests"] == 3, "asked, and asked again twice"


def test_a_value_outside_the_taxonomy_is_refused_not_mapped(tag: Tag, provider: FakeProvider) -> None:
    provider.configure(off_taxonomy=1.0)

    run = tag(events(1))

    assert run.results[0].error_code == RowError.OFF_TAXONOMY
    assert run.results[0].error_text == "type: not in the taxonomy"


def test_answers_that_are_cut_off_are_asked_in_halves(tag: Tag, provider: FakeProvider) -> None:
    provider.configure(truncate_above=3)

    run = tag(events(20), events_per_prompt=10)

    assert run.outcome.done == 20
    # 10 -> 5, 5 -> 2, 3, 2, 3: each prompt of ten takes seven requests.
    assert provider.books()["requests"] == 14


def test_a_prompt_that_no_minute_has_room_for_is_asked_in_halves(tag: Tag, provider: FakeProvider) -> None:
    """It was sent again and again until the deadline, and all events stayed pending."""
    one, ten = (tag_request(events(count)).admission_tokens for count in (1, 10))
    provider.configure(too_large_above=(one + ten) // 2)

    run = tag(events(40), events_per_prompt=10, concurrency=1)

    assert run.outcome.done == 40
    assert provider.books()["rejected"] == 1, "the others are halved before they are sent"


def test_an_event_that_no_minute_has_room_for_is_an_error_that_says_so(tag: Tag, provider: FakeProvider) -> None:
    long = tag_input(event_id="long", title="Concert", description="Une grande fête. " * 400)
    short = tag_request(events(3)).admission_tokens
    provider.configure(too_large_above=(short + tag_request([long]).admission_tokens) // 2)

    run = tag([long, *events(3)], events_per_prompt=4)

    assert (run.outcome.done, run.outcome.error) == (3, 1)
    assert run.by_id()["long"].error_code == ErrorCode.INVALID_REQUEST
    assert "tokens per minute" in (run.by_id()["long"].error_text or "")


def test_a_text_that_the_model_refuses_does_not_take_its_neighbours_along(tag: Tag, provider: FakeProvider) -> None:
    provider.configure(refuse_when="numéro 7 ")
    inputs = [tag_input(event_id=f"evt-{number}", title=f"Événement numéro {number} du parc") for number in range(10)]

    run = tag(inputs, events_per_prompt=10)

    assert run.outcome.done == 9
    assert run.by_id()["evt-7"].error_code == ErrorCode.REFUSED
    assert run.outcome.error == 1


def test_a_blocked_prompt_is_found_the_same_way(tag: Tag, provider: FakeProvider) -> None:
    provider.configure(block="SAFETY", block_when="numéro 3 ")
    inputs = [tag_input(event_id=f"evt-{number}", title=f"Événement numéro {number} du parc") for number in range(8)]

    run = tag(inputs, providers="gemini", events_per_prompt=8)

    assert (run.outcome.done, run.outcome.error) == (7, 1)


def test_equal_texts_are_asked_once_and_answered_for_each_event(tag: Tag, provider: FakeProvider) -> None:
    inputs = [tag_input(event_id=f"night-{number}", title="Stand-up du mardi") for number in range(30)]

    run = tag(inputs)

    assert run.outcome.done == 30
    assert provider.books()["requests"] == 1
    assert len({result.tags for result in run.results}) == 1


def test_the_same_id_twice_is_a_defect_of_the_caller(tag: Tag) -> None:
    with pytest.raises(ValueError, match="twice"):
        tag([*events(2), *events(1)])


def test_nothing_to_do_asks_nothing(tag: Tag, provider: FakeProvider) -> None:
    assert tag([]).outcome.total == 0
    assert provider.books()["requests"] == 0


def test_a_wrong_key_is_one_request_and_every_row_stays_pending(tag: Tag, provider: FakeProvider) -> None:
    provider.configure(keys=["another"])

    run = tag(events(200), events_per_prompt=5)

    assert provider.books()["requests"] == 1
    assert run.outcome.pending == 200
    with pytest.raises(LlmAuthenticationError, match="OPENAI_API_KEY"):
        run.outcome.raise_if_fatal()


@pytest.mark.parametrize("fault", ["html_ok", "error_ok", "nothing_ok"])
def test_a_body_without_a_completion_is_an_outage_and_no_event_s_fault(
    tag: Tag, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A gateway's page with status 200 ended eight events as errors, after 38 calls."""
    monkeypatch.setattr("ingestion_assets.events.tagging.engine.OUTAGE_PAUSE", 0.0)
    provider.configure(**{fault: 1.0})

    run = tag(events(8), settings_={"llm_attempts": 1})

    assert (run.outcome.pending, run.outcome.reasons) == (8, {"unavailable": 8})
    assert provider.books()["requests"] == 3, "as with any other outage"


def test_a_wrong_model_stops_the_task_before_it_marks_rows(tag: Tag, provider: FakeProvider) -> None:
    provider.configure(models=["another"])

    run = tag(events(200), events_per_prompt=5)

    assert run.outcome.error == 0
    assert isinstance(run.outcome.fatal, LlmRequestError)
    assert provider.books()["requests"] == 1


def test_a_quota_that_runs_out_defers_the_rest_and_sends_no_more(tag: Tag, provider: FakeProvider) -> None:
    provider.configure(always="insufficient_quota", after=5)

    run = tag(events(400), events_per_prompt=1, concurrency=8)

    books = provider.books()
    assert books["answered"] == run.outcome.done == 5
    assert books["rejected"] <= 8, "at most what was under way"
    pending = [result for result in run.results if result.status is RowStatus.PENDING]
    assert len(pending) == 395
    assert {result.error_code for result in pending} == {"quota_exceeded"}
    assert run.outcome.fatal is None
    assert run.outcome.not_before is not None
    assert run.outcome.not_before > datetime.now(UTC) + timedelta(minutes=30)


def test_a_gemini_day_that_is_used_up_is_deferred_to_the_next_with_its_warning(
    tag: Tag, provider: FakeProvider
) -> None:
    provider.configure(always="minute_and_day", after=3)

    run = tag(events(300), providers="gemini", events_per_prompt=1, concurrency=4)

    assert provider.books()["rejected"] <= 4
    assert (run.outcome.done, run.outcome.pending) == (3, 297)
    assert run.outcome.warnings["gemini-quota-exceeded"] > 0
    assert run.outcome.reasons == {"quota_exceeded": 297}


def test_gemini_asking_for_34_s_with_20_s_left_lets_the_next_provider_take_over_at_once(
    tag: Tag, provider: FakeProvider
) -> None:
    provider.configure(always="minute", retry_in=34.0)

    run = tag(events(50), providers="gemini,offline", deadline=20.0, events_per_prompt=10)

    assert run.outcome.done == 50
    assert run.outcome.by_provider == {"offline": 50}
    assert run.outcome.warnings["gemini-quota-exceeded"] == 5
    assert provider.books()["requests"] == 1
    calls = {name: usage.requests for (name, _), usage in run.outcome.usage_by_model.items()}
    assert calls == {"gemini": 1, "offline": 0}, "each provider's calls stand on its own line in the books"


def test_the_rules_explain_themselves_and_sign_with_their_version(tag: Tag) -> None:
    run = tag([tag_input(event_id="1", title="Atelier de poterie pour enfants")], providers="offline")

    result = run.results[0]
    assert result.model == "rules-1"
    assert result.explanation is not None
    assert {"axis": "genres", "value": "ceramics", "term": "poterie"}.items() <= result.explanation[1].items() or any(
        entry["term"] == "poterie" for entry in result.explanation
    )


def test_a_store_that_fails_ends_the_task_with_its_own_error(settings: Callable[..., LlmSettings]) -> None:
    class DiskFullError(Exception):
        pass

    def store(results: Sequence[TagResult]) -> None:
        raise DiskFullError

    async def scene() -> None:
        async with build_client(settings("offline")) as client:
            await tag_events(events(30), client, deadline=Deadline.after(60), on_results=store)

    with pytest.raises(DiskFullError):
        asyncio.run(scene())


def test_rows_are_handed_over_while_others_are_still_being_asked(
    settings: Callable[..., LlmSettings], provider: FakeProvider
) -> None:
    """A killed process has stored what was answered: nothing is kept until the end."""
    seen: list[int] = []
    threads: set[str] = set()

    def store(results: Sequence[TagResult]) -> None:
        seen.append(provider.books()["requests"])
        threads.add(threading.current_thread().name)

    async def scene() -> None:
        async with build_client(settings()) as client:
            await tag_events(
                events(40), client, deadline=Deadline.after(60), on_results=store, events_per_prompt=10, concurrency=1
            )

    asyncio.run(scene())

    assert seen == [1, 2, 3, 4]
    assert threading.main_thread().name not in threads, "storing does not hold up the event loop"


class Scripted(Closing):
    """Answers by drawing from a list of what can happen to a question; good answers when the list is used up."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = list(steps)
        self.asked = 0

    async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:
        self.asked += 1
        step = self.steps.pop(0) if self.steps else "good"
        names = {"provider": "openai", "model": "m"}
        if step == "unavailable":
            raise LlmUnavailableError("down", **names)
        if step == "paced":
            raise LlmRateLimitError("paced", **names, retry_after=5.0)
        if step == "quota":
            later = datetime.now(UTC) + timedelta(hours=1)
            raise LlmQuotaError("gone", **names, scope=QuotaScope.PROVIDER_DAY, not_before=later)
        if step == "refusal":
            raise LlmRefusalError("no", **names)
        if step in ("rejected", "no such model"):
            raise LlmRequestError("400", **names) if step == "rejected" else unknown_model("m")
        if step in set(Flaw):
            raise LlmResponseError("bad", flaw=Flaw(step), **names)
        ids = ids_in(request.prompt)
        if step == "missing":
            ids = ids[1:]
        elif step == "repeated":
            ids = [*ids, ids[0]]
        elif step == "unknown":
            ids = [*ids[:-1], "someone-else"]
        answers = tuple(
            TagAnswer(event_id=event_id, type="concert", genres=(), ambiance=(), audience=()) for event_id in ids
        )
        value = TagBatch(answers=answers)
        assert isinstance(value, request.answer)
        return Completion(value=value, usage=Usage(requests=1), **names)


def test_answers_that_come_while_a_slow_store_is_at_work_are_stored_together() -> None:
    stored: list[list[str]] = []

    def store(results: Sequence[TagResult]) -> None:
        time.sleep(0.05)
        stored.append([result.event_id for result in results])

    asyncio.run(
        tag_events(
            events(61),
            Scripted([]),
            deadline=Deadline.after(60),
            on_results=store,
            events_per_prompt=1,
            concurrency=20,
        )
    )

    assert sorted(event_id for batch in stored for event_id in batch) == [item.event_id for item in events(61)]
    assert len(stored) <= 12, "61 answers, of which twenty come at a time"


STEPS = ["good", "unavailable", "paced", "quota", "refusal", "rejected", "no such model"]
STEPS += [*Flaw, "missing", "repeated", "unknown"]


def test_a_model_that_is_gone_after_some_answers_ends_the_task_and_marks_no_row_as_failed() -> None:
    async def scene(loop: Loop) -> None:
        client = Scripted(["good", "good", *["no such model"] * 50])
        outcome = await tag_events(
            events(40),
            client,
            deadline=Deadline.after(600, loop.time),
            on_results=lambda _: None,
            events_per_prompt=4,
            concurrency=2,
        )
        assert (outcome.done, outcome.pending, outcome.error) == (8, 32, 0)
        assert client.asked <= 2 + 2, "what was under way when it was first said"
        with pytest.raises(LlmRequestError, match="OPENAI_MODEL"):
            outcome.raise_if_fatal()

    play(scene)


@settings(deadline=None, max_examples=150)
@given(
    count=st.integers(0, 25),
    per_prompt=st.integers(1, 10),
    concurrency=st.integers(1, 8),
    steps=st.lists(st.sampled_from(STEPS), max_size=40),
)
def test_whatever_happens_each_event_ends_in_exactly_one_state(
    count: int, per_prompt: int, concurrency: int, steps: list[str]
) -> None:
    async def scene(loop: Loop) -> None:
        results: list[TagResult] = []
        client = Scripted(steps)
        outcome = await tag_events(
            events(count),
            client,
            deadline=Deadline.after(600, loop.time),
            on_results=results.extend,
            events_per_prompt=per_prompt,
            concurrency=concurrency,
        )
        assert sorted(result.event_id for result in results) == [item.event_id for item in events(count)]
        assert outcome.total == count
        assert all((result.status is RowStatus.DONE) == (result.tags is not None) for result in results)
        waiting = [result for result in results if result.status is RowStatus.PENDING]
        assert all((result.not_before is None) == (result.error_code == "invalid_request") for result in waiting)
        assert all(result.error_code for result in results if result.status is not RowStatus.DONE)
        # A question can be put again a few times for each way it can go wrong, never without end.
        assert client.asked <= 12 * max(1, count)

    play(scene)


def test_a_deadline_that_passes_leaves_rows_for_the_next_run(tag: Tag, provider: FakeProvider) -> None:
    provider.configure(rpm=60)

    run = tag(events(100), events_per_prompt=1, deadline=2.5)

    assert 2 <= run.outcome.done <= 5
    assert run.outcome.pending == 100 - run.outcome.done
    assert set(run.outcome.reasons) <= {"deadline", "quota_exceeded"}
    assert provider.books()["answered"] == run.outcome.done
