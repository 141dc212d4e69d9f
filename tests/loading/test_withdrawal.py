"""Events that a complete fetch no longer lists are marked; a broken feed marks nothing; nothing is deleted."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from ingestion_assets.counts import Counts
from ingestion_assets.events import loading
from ingestion_assets.events.model import Page, Unread
from tests.ledger.faults import LostCommits
from tests.loading.imports import LAST, W1, W2, W3, Importer, counts, event, page, rejected


def _withdrawn(importer: Importer) -> set[str]:
    return {key for key, row in importer.rows().items() if row["withdrawn_at"] is not None}


def _ten(day: date = W2) -> list[object]:
    return [event(f"e{n}", day) for n in range(10)]


def _warnings(importer: Importer) -> list[str]:
    [row] = importer.database.fetch_all("SELECT warnings FROM import_jobs ORDER BY id DESC LIMIT 1")
    return [warning["code"] for warning in row["warnings"]]


def test_what_a_complete_fetch_no_longer_lists_is_marked_and_not_counted(importer: Importer) -> None:
    importer(_ten())
    result = importer(_ten()[1:])
    assert counts(result) == (0, 0, 9, 0)
    w = result.withdrawal
    assert (w.known, w.missing, w.withdrawn, w.refused) == (10, 1, 1, None)
    assert _withdrawn(importer) == {"e0"}
    [row] = importer.database.fetch_all("SELECT nb_withdrawn FROM import_jobs ORDER BY id DESC LIMIT 1")
    assert row == {"nb_withdrawn": 1}


def test_what_was_withdrawn_is_said_when_only_the_acknowledgement_of_the_commit_was_lost(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    importer(_ten())
    LostCommits(monkeypatch)
    w = importer(_ten()[1:]).withdrawal
    assert (w.known, w.missing, w.withdrawn, w.refused) == (10, 1, 1, None)
    w = importer(_ten()[1:2]).withdrawal
    assert (w.missing, w.withdrawn) == (8, 0)
    assert w.refused is not None


def test_what_was_withdrawn_stays_so_and_is_not_counted_again(importer: Importer) -> None:
    importer(_ten())
    importer(_ten()[1:])
    since = importer.rows()["e0"]["withdrawn_at"]
    result = importer(_ten()[1:])
    assert (result.withdrawal.known, result.withdrawal.missing, result.withdrawal.withdrawn) == (9, 0, 0)
    assert importer.rows()["e0"]["withdrawn_at"] == since


def test_an_event_that_reappears_is_updated_though_its_text_is_the_same(importer: Importer) -> None:
    importer(_ten())
    importer(_ten()[1:])
    assert counts(importer(_ten())) == (0, 1, 9, 0)
    assert _withdrawn(importer) == set()
    assert counts(importer(_ten())) == (0, 0, 10, 0)


@pytest.mark.parametrize(("gone", "marked"), [(1, 1), (3, 3), (4, 0), (10, 0)])
def test_a_fetch_that_misses_more_than_a_fifth_marks_nothing(gone: int, marked: int, importer: Importer) -> None:
    importer(_ten())
    result = importer(_ten()[gone:])
    assert (result.withdrawal.missing, result.withdrawal.withdrawn) == (gone, marked)
    assert len(_withdrawn(importer)) == marked
    assert (result.withdrawal.refused is None) is bool(marked)
    assert _warnings(importer) == ([] if marked else ["withdrawal_refused"])
    if not marked:
        assert f"{gone} of 10 known events are gone, over 20%" in (result.withdrawal.refused or "")
        assert "accept_withdrawals" in (result.withdrawal.refused or "")


def test_the_guard_holds_until_a_person_accepts(importer: Importer) -> None:
    importer(_ten())
    importer(_ten()[5:])
    assert _withdrawn(importer) == set()
    result = importer(_ten()[5:], accept=True)
    assert result.withdrawal.withdrawn == 5
    assert _withdrawn(importer) == {f"e{n}" for n in range(5)}


def test_an_empty_feed_is_a_broken_feed(importer: Importer) -> None:
    importer(_ten())
    assert importer([]).withdrawal.refused is not None
    assert _withdrawn(importer) == set()


def test_the_only_event_of_a_window_does_not_vanish_with_the_whole_feed(importer: Importer) -> None:
    importer([event("a")])
    assert importer([]).withdrawal.withdrawn == 0


def test_of_a_few_known_events_one_may_vanish(importer: Importer) -> None:
    """One of four is over a fifth; it used to be refused every night, until it was over."""
    four = [event(f"e{n}") for n in range(4)]
    importer(four)
    result = importer(four[1:])
    assert (result.withdrawal.known, result.withdrawal.withdrawn, result.withdrawal.refused) == (4, 1, None)
    importer([event("new")])
    assert _withdrawn(importer) == {"e0", "e1", "e2", "e3"}


def test_a_share_of_many_events_is_allowed_beyond_the_few(importer: Importer) -> None:
    many = [event(f"e{n}") for n in range(50)]
    importer(many)
    assert importer(many[10:]).withdrawal.withdrawn == 10
    assert importer(many[19:]).withdrawal.withdrawn == 0, "nine of forty"


def test_new_events_do_not_dilute_the_guard(importer: Importer) -> None:
    """Five of ten are gone; that a hundred others came is how a feed looks whose ids all changed."""
    importer(_ten())
    result = importer([*_ten()[5:], *(event(f"new{n}", W2) for n in range(100))])
    assert (result.withdrawal.known, result.withdrawal.missing, result.withdrawal.withdrawn) == (10, 5, 0)


def test_an_incomplete_fetch_withdraws_nothing_even_when_a_person_accepts(importer: Importer) -> None:
    importer(_ten())
    result = importer(page(*_ten()[:5], incomplete="one feed did not answer"), _ten()[5:9], accept=True)
    assert result.withdrawal.withdrawn == 0
    assert "the fetch was not complete: one feed did not answer" in (result.withdrawal.refused or "")
    assert _withdrawn(importer) == set()
    assert _warnings(importer) == ["incomplete"]


def test_an_incomplete_fetch_that_misses_nothing_refuses_nothing(importer: Importer) -> None:
    importer(_ten())
    result = importer(page(*_ten(), incomplete="one feed did not answer"))
    assert result.withdrawal.refused is None
    assert _warnings(importer) == ["incomplete"]


def test_what_is_over_is_not_withdrawn(importer: Importer) -> None:
    """Most feeds drop an event on the day after it; that says nothing."""
    today = W2 + timedelta(days=2)
    importer(
        [*(event(f"p{n}", W2 + timedelta(days=1)) for n in range(10)), *(event(f"t{n}", today) for n in range(10))]
    )
    result = importer([event(f"t{n}", today) for n in range(1, 10)], today=today)
    assert (result.withdrawal.known, result.withdrawal.missing, result.withdrawal.withdrawn) == (10, 1, 1)
    assert _withdrawn(importer) == {"t0"}


def test_only_the_weeks_of_the_run_are_judged(importer: Importer) -> None:
    importer([*_ten(W2), event("before", W1), event("after", W3), event("undated", None)])
    result = importer(_ten(W2)[1:], weeks=(W2, W2))
    assert result.withdrawal.known == 10
    assert _withdrawn(importer) == {"e0"}


def test_an_event_that_is_listed_outside_the_window_was_moved_and_not_withdrawn(importer: Importer) -> None:
    """It used to keep its old date, withdrawn, until the week of its new one was imported."""
    importer([*_ten(W2), event("x", W3)])
    later = LAST + timedelta(days=70)
    moved = Page(records=_ten(W2)[1:], outside=[event("e0", later), event("unknown", later)], outside_window=2)
    result = importer(moved)
    assert counts(result) == (0, 1, 9, 0)
    assert result.by_week[W1] == Counts(updated=1), "what has no week in the run is counted by its first"
    assert result.outside_window == 1
    assert importer.rows()["e0"]["local_date"] == later
    assert "unknown" not in importer.rows(), "it belongs to the import of its own week"
    assert _withdrawn(importer) == {"x"}
    assert counts(importer(moved)) == (0, 0, 9, 0), "outside from now on"
    assert counts(importer([event("e0", later)], weeks=(later, later))) == (0, 0, 1, 0)


def test_of_what_a_source_hands_on_unread_only_what_is_known_inside_the_window_is_read(importer: Importer) -> None:
    importer([*_ten(), event("hidden", W2)])
    later = LAST + timedelta(days=70)

    def never() -> None:
        raise AssertionError("read although it is not known inside the window")

    outside = [
        Unread("e0", lambda: event("e0", later)),
        Unread("hidden", lambda: None),
        Unread("unknown", never),
        Unread(None, never),
    ]
    result = importer(Page(records=_ten()[1:], outside=outside, outside_window=4))
    assert counts(result) == (0, 1, 9, 0)
    assert result.outside_window == 3
    assert importer.rows()["e0"]["local_date"] == later
    assert _withdrawn(importer) == {"hidden"}


def test_an_event_that_is_not_handed_on_is_withdrawn_until_its_new_week_is_imported(importer: Importer) -> None:
    """All that a service can say which is asked by dates."""
    importer([*_ten(W2), event("x", W3)])
    later = LAST + timedelta(days=70)
    importer(_ten(W2)[1:])
    assert _withdrawn(importer) == {"e0", "x"}
    result = importer([event("e0", later)], weeks=(later, later))
    assert counts(result) == (0, 1, 0, 0)
    assert _withdrawn(importer) == {"x"}


def test_an_id_that_is_listed_inside_the_window_and_outside_of_it_stays_inside(importer: Importer) -> None:
    importer(_ten())
    outside = Page(records=(), outside=[event("e0", LAST + timedelta(days=70))], outside_window=1)
    result = importer(outside, _ten(), outside)
    assert counts(result) == (0, 0, 10, 0)
    assert result.outside_window == 2
    assert importer.rows()["e0"]["local_date"] == W2


def test_an_event_that_was_moved_out_of_the_window_twice_has_the_date_told_first(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "BATCH_RECORDS", 1)
    importer(_ten())
    dates = [LAST + timedelta(days=70), LAST + timedelta(days=77)]
    result = importer(_ten()[1:], *(Page(records=(), outside=[event("e0", day)], outside_window=1) for day in dates))
    assert counts(result) == (0, 1, 10, 0)
    assert importer.rows()["e0"]["local_date"] == dates[0]


def test_a_record_outside_the_window_that_cannot_be_read_leaves_its_event_as_it_is(importer: Importer) -> None:
    importer(_ten())
    later = LAST + timedelta(days=70)
    unreadable = [rejected("e0", later), rejected(None, later), rejected("e\x001", later), rejected("\ud800", later)]
    result = importer(Page(records=_ten()[1:], outside=unreadable, outside_window=4))
    assert counts(result) == (0, 0, 9, 1)
    assert (result.withdrawal.missing, importer.rows()["e0"]["local_date"]) == (0, W2)


def test_other_sources_are_left_alone(importer: Importer) -> None:
    other = Importer(importer.database, source="other")
    other(_ten())
    importer(_ten())
    importer(_ten()[1:])
    assert _withdrawn(other) == set()


def test_a_listed_record_that_cannot_be_read_is_not_gone(importer: Importer) -> None:
    importer(_ten())
    result = importer([*_ten()[1:], rejected("e0", W2)])
    assert (result.withdrawal.missing, result.withdrawal.withdrawn) == (0, 0)
    assert _withdrawn(importer) == set()


def test_what_an_earlier_attempt_of_the_run_saw_is_not_gone(importer: Importer) -> None:
    """The first attempt stored e0 and broke; the feed dropped it before the second: the run as a whole did see it."""
    importer(_ten())
    importer(_ten(), run_id="r")
    result = importer(_ten()[1:], run_id="r")
    assert result.withdrawal.missing == 0
    assert importer(_ten()[1:]).withdrawal.withdrawn == 1


def test_a_withdrawal_is_a_change_that_what_follows_can_see(importer: Importer) -> None:
    importer(_ten())
    before = importer.rows()["e0"]["changed_at"]
    importer(_ten()[1:])
    assert importer.rows()["e0"]["changed_at"] > before


def test_nothing_is_withdrawn_when_the_fetch_breaks(importer: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    importer(_ten())

    def refuse(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(loading, "withdraw", refuse)
    with pytest.raises(OSError, match="disk"):
        importer(_ten()[1:])
    assert _withdrawn(importer) == set()
    [row] = importer.database.fetch_all("SELECT status FROM import_jobs ORDER BY id DESC LIMIT 1")
    assert row == {"status": "ERROR"}
