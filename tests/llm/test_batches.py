"""Batch mode from submit to rows, over HTTP, with batches that complete, expire, fail, or are refused in part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from ingestion_assets.events.tagging import RowStatus, TagInput, tag_input
from ingestion_assets.events.tagging.batch import BatchQuestions, BatchRows, batch_questions, read_batch
from ingestion_assets.events.tagging.engine import PURPOSE
from ingestion_assets.events.tagging.model import TagAnswer, TagBatch
from resources.llm import LlmSettings
from resources.llm.batch_ledger import (
    claim,
    open_batches,
    record_announced,
    record_found,
    record_ingested,
    record_polled,
)
from resources.llm.errors import LlmAuthenticationError, LlmUnavailableError
from resources.llm.openai_batch import BatchResult, BatchState, BatchStatus, OpenAiBatches
from resources.postgres.database import Database
from tests.fakes.llm_provider import FakeProvider


def inputs(count: int, copies: int = 1) -> list[TagInput]:
    return [
        tag_input(event_id=f"evt-{number}-{copy}", title=f"Événement numéro {number} du parc")
        for number in range(count)
        for copy in range(copies)
    ]


@pytest.fixture
def batches(provider: FakeProvider) -> Iterator[OpenAiBatches]:
    settings = LlmSettings(openai_api_key="sk-test", openai_base_url=provider.openai_url, openai_model="gpt-4o-mini")  # type: ignore[arg-type]
    client = OpenAiBatches(settings)
    yield client
    client.close()


def finish(batches: OpenAiBatches, batch_id: str, polls: int = 10) -> BatchStatus:
    for _ in range(polls):
        status = batches.poll(batch_id)
        if status.state.ended:
            return status
    raise AssertionError("the batch does not end")


def play(batches: OpenAiBatches, questions: BatchQuestions) -> tuple[BatchStatus, BatchRows]:
    (submitted,) = batches.submit(questions.requests)
    status = finish(batches, submitted.batch_id)
    rows = read_batch(questions.items, batches.collect(status, TagBatch), provider="openai", model=status.model)
    asked = [event_id for events in questions.items.values() for event_id, _ in events]
    assert sorted(row.event_id for row in rows.done + rows.left) == sorted(asked), "no event is lost"
    return status, rows


def test_a_batch_tags_every_event_whatever_the_order_of_its_answers(
    batches: OpenAiBatches, provider: FakeProvider
) -> None:
    status, rows = play(batches, batch_questions(inputs(47), events_per_prompt=10))

    assert status.state is BatchState.COMPLETED
    assert (status.total, status.completed) == (5, 5)
    assert len(rows.done) == 47
    assert all(row.tags is not None and row.status is RowStatus.DONE for row in rows.done)
    assert rows.usage.input_tokens > 1000
    assert provider.books()["requests"] == rows.usage.requests == 5


def test_equal_texts_are_in_the_batch_once(batches: OpenAiBatches) -> None:
    questions = batch_questions(inputs(5, copies=4), events_per_prompt=10)
    _, rows = play(batches, questions)

    assert len(questions.requests) == 1
    assert questions.requests["tags-000000"].prompt.count("event_id") == 5
    assert len(rows.done) == 20


def test_an_expired_batch_gives_what_it_finished_and_names_the_rest(
    batches: OpenAiBatches, provider: FakeProvider
) -> None:
    provider.configure(batch_outcome="expired")

    status, rows = play(batches, batch_questions(inputs(40), events_per_prompt=10))

    assert status.state is BatchState.EXPIRED
    assert (len(rows.done), len(rows.left)) == (20, 20)
    assert {(row.status, row.error_code) for row in rows.left} == {(RowStatus.PENDING, "batch_expired")}


def test_a_failed_batch_leaves_every_row_pending(batches: OpenAiBatches, provider: FakeProvider) -> None:
    provider.configure(batch_outcome="failed")

    status, rows = play(batches, batch_questions(inputs(20), events_per_prompt=10))

    assert status.error_text == "invalid_json_line"
    assert {row.error_code for row in rows.left} == {"batch_incomplete"}
    assert len(rows.left) == 20


def test_one_refused_question_does_not_take_the_others_along(batches: OpenAiBatches, provider: FakeProvider) -> None:
    provider.configure(refuse_when="numéro 3 ")

    _, rows = play(batches, batch_questions(inputs(20), events_per_prompt=2))

    assert len(rows.done) == 18
    assert {row.error_code for row in rows.left} == {"refused"}


def test_a_model_that_thinks_has_room_for_it_in_a_batch_too(provider: FakeProvider) -> None:
    provider.configure(thinking=1500)
    settings = LlmSettings(openai_api_key="sk-test", openai_base_url=provider.openai_url, openai_reasoning_effort="low")  # type: ignore[arg-type]
    client = OpenAiBatches(settings)

    _, rows = play(client, batch_questions(inputs(20), events_per_prompt=10))

    assert len(rows.done) == 20
    client.close()


def test_a_word_that_the_sdk_does_not_know_costs_no_answer(batches: OpenAiBatches, provider: FakeProvider) -> None:
    provider.configure(batch_service_tier="of-next-year")

    _, rows = play(batches, batch_questions(inputs(20), events_per_prompt=10))

    assert len(rows.done) == 20


def test_a_state_that_is_not_known_yet_is_waited_for() -> None:
    assert BatchState("paused-by-next-year") is BatchState.IN_PROGRESS
    assert not BatchState("paused-by-next-year").ended


def test_a_line_that_is_cut_off_costs_its_own_events_only(batches: OpenAiBatches, provider: FakeProvider) -> None:
    provider.configure(batch_torn=True)

    _, rows = play(batches, batch_questions(inputs(20), events_per_prompt=5))

    assert len(rows.done) == 15
    assert {row.error_code for row in rows.left} == {"batch_incomplete"}


def test_a_separator_inside_an_answer_ends_no_line(batches: OpenAiBatches) -> None:
    questions = batch_questions([tag_input(event_id="evt\u2028\x85-1", title="Concert au parc")])

    _, rows = play(batches, questions)

    assert [row.event_id for row in rows.done] == ["evt\u2028\x85-1"]


def test_a_large_backfill_is_split_by_requests_and_by_tokens(batches: OpenAiBatches) -> None:
    questions = batch_questions(inputs(30), events_per_prompt=1)
    tokens = sum(request.prompt_tokens + request.max_output_tokens for request in questions.requests.values())

    by_requests = list(batches.submit(questions.requests, max_requests=10))
    by_tokens = list(batches.submit(questions.requests, max_tokens=tokens // 3 + 1000))

    assert [len(status.custom_ids) for status in by_requests] == [10, 10, 10]
    assert len(by_tokens) in (3, 4)
    assert [custom_id for status in by_tokens for custom_id in status.custom_ids] == list(questions.requests)


def test_a_wrong_key_is_the_same_error_as_online(provider: FakeProvider) -> None:
    provider.configure(keys=["another"])
    settings = LlmSettings(openai_api_key="sk-test", openai_base_url=provider.openai_url)  # type: ignore[arg-type]
    with pytest.raises(LlmAuthenticationError, match="OPENAI_API_KEY"):
        list(OpenAiBatches(settings).submit(batch_questions(inputs(1)).requests))


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        ("<html>cloud edge</html>", "text/html"),
        ("<html>cloud edge</html>", "application/json"),
        ("{}", "application/json"),
        ('{"error": {"code": 502}}', "application/json"),
    ],
)
def test_a_page_with_status_200_is_an_outage_and_no_batch(
    batches: OpenAiBatches, provider: FakeProvider, page: str, kind: str
) -> None:
    """It ended the run that collects others as well; an empty list would have a batch paid twice."""
    (submitted,) = batches.submit(batch_questions(inputs(1)).requests)
    provider.configure(batch_page=page, batch_page_type=kind)
    with pytest.raises(LlmUnavailableError, match="OPENAI_BASE_URL"):
        batches.poll(submitted.batch_id)
    with pytest.raises(LlmUnavailableError):
        batches.find(submitted.submission, since=datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(LlmUnavailableError):
        list(batches.submit(batch_questions(inputs(1)).requests))


def test_without_a_key_there_is_no_batch_mode() -> None:
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        OpenAiBatches(LlmSettings(openai_api_key=None))


def answer(event_id: str, kind: str = "concert") -> TagAnswer:
    return TagAnswer.model_validate(
        {"event_id": event_id, "type": kind, "genres": [], "ambiance": [], "audience": ["everyone"]}
    )


def test_answers_to_other_questions_and_second_answers_are_ignored() -> None:
    items = {"a": [["one", "h1"], ["two", "h2"]]}
    good = BatchResult(custom_id="a", value=TagBatch(answers=(answer("one"), answer("two"))))
    other = BatchResult(custom_id="z", value=TagBatch(answers=(answer("one", "sport"),)))
    again = BatchResult(custom_id="a", value=TagBatch(answers=(answer("one", "sport"), answer("two", "sport"))))

    rows = read_batch(items, [other, good, again], provider="openai", model="m")

    assert [(row.event_id, row.tags and row.tags.type) for row in rows.done] == [("one", "concert"), ("two", "concert")]
    assert rows.left == []


def test_two_different_answers_for_one_event_are_none() -> None:
    items = {"a": [["one", "h1"], ["two", "h2"]]}
    result = BatchResult(custom_id="a", value=TagBatch(answers=(answer("one"), answer("one", "sport"), answer("two"))))

    rows = read_batch(items, [result], provider="openai", model="m")

    assert [row.event_id for row in rows.done] == ["two"]
    assert [(row.event_id, row.error_code) for row in rows.left] == [("one", "conflicting_answers")]


def test_a_batch_is_remembered_polled_and_collected_once(batches: OpenAiBatches, database: Database) -> None:
    questions = batch_questions(inputs(20), events_per_prompt=10)

    def announce(submission: str, custom_ids: Sequence[str]) -> None:
        items = {custom_id: questions.items[custom_id] for custom_id in custom_ids}
        with database.transaction() as connection:
            record_announced(
                connection, submission, provider="openai", model=batches.model, purpose=PURPOSE, items=items
            )
            assert submission in {batch.submission for batch in open_batches(connection, purpose=PURPOSE)}

    for submitted in batches.submit(questions.requests, max_requests=1, announce=announce):
        with database.transaction() as connection:
            record_found(connection, submitted.submission, submitted)
    with database.transaction() as connection:
        stored = open_batches(connection, purpose=PURPOSE)
    assert [batch.submission for batch in stored] == [None, None]

    statuses = {batch.batch_id: finish(batches, batch.batch_id) for batch in stored}
    with database.transaction() as connection:
        for status in statuses.values():
            record_polled(connection, status)

    first, second = stored
    with database.transaction() as one, database.transaction() as other:
        assert claim(one, first.batch_id)
        assert claim(other, second.batch_id), "two collectors, two batches"
        rows = read_batch(
            first.items, batches.collect(statuses[first.batch_id], TagBatch), provider="openai", model=first.model
        )
        assert len(rows.done) == 10
        record_ingested(one, first.batch_id)
        # The other collector dies before it is done: its transaction ends without a mark.
        other.rollback()
    with database.transaction() as connection:
        assert not claim(connection, first.batch_id)
        assert claim(connection, second.batch_id)
