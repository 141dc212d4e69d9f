"""Tagging through Dagster with the offline rules: who is asked, who is not, and what a broken run leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ingestion_assets.events import tagging
from resources.errors import TransientError
from tests.assets.runs import CITY, EVENTS, TAGS, Runs

COUNTS = ("fetched", "created", "updated", "skipped", "errors")


@pytest.fixture
def tagged(runs: Runs) -> Runs:
    """Twelve events, deduplicated and not tagged yet."""
    runs.csv.numbers = range(12)
    runs.ok(CITY, EVENTS)
    return runs


class Asked:
    """Notes what the engine is asked, and can break it after some results."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ids: list[list[str]] = []
        self.break_after: int | None = None
        engine = tagging.tag_events

        async def tag_events(
            items: Sequence[Any], client: Any, *, on_results: Callable[..., Any], **options: Any
        ) -> Any:
            self.ids.append([item.event_id for item in items])
            if self.break_after is not None:
                await engine(items[: self.break_after], client, on_results=on_results, **options)
                on_results.flush()
                raise TransientError("the connection broke", retry_after=0.001)
            return await engine(items, client, on_results=on_results, **options)

        monkeypatch.setattr(tagging, "tag_events", tag_events)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


def _run(said: dict[str, Any]) -> list[int]:
    return [said[f"run_{name}"] for name in COUNTS]


def _statuses(runs: Runs) -> dict[str, int]:
    return {
        row["status"]: row["n"] for row in runs.query("SELECT status, count(*) AS n FROM tag_enrichments GROUP BY 1")
    }


def test_every_event_is_tagged_and_a_second_run_asks_nothing(tagged: Runs, asked: Asked) -> None:
    said = tagged.ok(TAGS)
    assert _run(said) == [12, 12, 0, 0, 0]
    assert (said["asked"], said["pending"], said["failed"]) == (12, 0, 0)
    assert sum(week["created"] for week in tagged.materializations(TAGS).values()) == 12
    assert all(row["type"] for row in tagged.query("SELECT type FROM tag_enrichments"))
    before = tagged.query("SELECT event_id, xmin::text FROM tag_enrichments ORDER BY 1")
    said = tagged.ok(TAGS)
    assert _run(said) == [12, 0, 0, 12, 0]
    assert said["asked"] == 0
    assert len(asked.ids) == 1
    assert tagged.query("SELECT event_id, xmin::text FROM tag_enrichments ORDER BY 1") == before


def test_only_events_whose_text_changed_are_asked_about_again(tagged: Runs, asked: Asked) -> None:
    tagged.ok(TAGS)
    tagged.csv.texts = {3: "Une soirée de musique classique avec un quatuor à cordes, pour toute la famille."}
    tagged.csv.numbers = range(13)
    tagged.ok(CITY, EVENTS)
    said = tagged.ok(TAGS)
    assert said["asked"] == 2
    assert (said["run_created"], said["run_fetched"]) == (1, 13)
    assert said["run_updated"] + said["run_skipped"] == 12


def test_a_text_that_comes_back_is_answered_from_what_is_known(tagged: Runs, asked: Asked) -> None:
    tagged.ok(TAGS)
    tagged.csv.texts = {3: "Une soirée de musique classique avec un quatuor à cordes."}
    tagged.ok(CITY, EVENTS, TAGS)
    tagged.csv.texts = {}
    tagged.ok(CITY, EVENTS)
    said = tagged.ok(TAGS)
    assert (said["asked"], said["reused"]) == (0, 1)
    assert len(asked.ids) == 2


def test_tagging_that_is_switched_off_says_so_and_goes_on_later(tagged: Runs, asked: Asked) -> None:
    said = tagged.ok(TAGS, settings={"DISABLE_TAG_ENRICHMENT": "true"})
    assert said["disabled"] == "DISABLE_TAG_ENRICHMENT is true: nothing was asked."
    assert _run(said) == [12, 0, 0, 12, 0]
    assert asked.ids == []
    assert tagged.ok(TAGS)["run_created"] == 12


def test_weeks_that_passed_while_tagging_was_off_fail_no_run_when_it_is_on_again(tagged: Runs) -> None:
    """Their events had no row, which the next run of any other week took for lost, every night."""
    tagged.ok(TAGS, settings={"DISABLE_TAG_ENRICHMENT": "true"})
    assert _statuses(tagged) == {"pending": 12}
    tagged.ok(TAGS, weeks=(tagged.first, tagged.first))
    assert tagged.ok(TAGS)["failed"] == 0
    assert _statuses(tagged) == {"done": 12}


def test_a_bound_leaves_the_others_pending_until_the_next_runs(tagged: Runs, asked: Asked) -> None:
    bound = {"TAG_ENRICHMENT_MAX_EVENTS_PER_RUN": "5"}
    said = [tagged.ok(TAGS, settings=bound) for _ in range(4)]
    assert [each["asked"] for each in said] == [5, 5, 2, 0]
    assert [each["pending"] for each in said] == [7, 2, 0, 0]
    assert [each["run_created"] for each in said] == [5, 5, 2, 0]
    assert all(each["run_fetched"] == 12 for each in said)
    assert len({event for ids in asked.ids for event in ids}) == 12


def test_a_run_that_breaks_is_finished_by_its_retry_without_asking_twice(tagged: Runs, asked: Asked) -> None:
    asked.break_after = 4
    said = tagged.ok(TAGS, settings={"TAG_ENRICHMENT_EVENTS_PER_PROMPT": "2"})
    assert [len(ids) for ids in asked.ids] == [12, 8, 4], "each attempt asks for what is left"
    assert _run(said) == [12, 12, 0, 0, 0]
    assert _statuses(tagged) == {"done": 12}
    [job] = tagged.jobs(TAGS)
    assert job["attempt"] == 4


def test_withdrawn_and_replaced_events_are_not_asked_about(tagged: Runs, asked: Asked) -> None:
    some, other = tagged.query("SELECT event_id FROM deduplicated_events ORDER BY event_id LIMIT 2")
    tagged.execute("UPDATE deduplicated_events SET withdrawn_at = now() WHERE event_id = %(id)s", id=some["event_id"])
    tagged.execute(
        "UPDATE deduplicated_events SET replaced_by = %(by)s WHERE event_id = %(id)s",
        id=other["event_id"],
        by=tagged.query("SELECT max(event_id) AS id FROM deduplicated_events")[0]["id"],
    )
    assert tagged(TAGS).success
    assert tagged.metadata(TAGS)["asked"] == 10


def test_tags_follow_the_whole_way_in_one_run(runs: Runs) -> None:
    runs.csv.numbers = runs.calendar.numbers = range(9)
    outcome = runs(CITY, "raw_events/ics", EVENTS, TAGS)
    assert (outcome.problems, outcome.failed_checks) == ([], [])
    assert [job["source"] for job in runs.jobs()][-2:] == [EVENTS, TAGS]
    assert _statuses(runs) == {"done": 9}
