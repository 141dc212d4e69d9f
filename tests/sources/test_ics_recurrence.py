"""Recurring calendar events: rules, exceptions, overrides, and what is left when a rule is broken or too much."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.events.model import EventStatus, FetchWindow
from ingestion_assets.events.sources.ics import recurrence
from tests.fakes.calendars import WINDOW, one, read, read_bytes, shown, starts
from tests.fakes.ics_server import vcalendar

TORONTO = "America/Toronto"
WEEKLY = f"UID:w\nSUMMARY:Jam\nDTSTART;TZID={TORONTO}:20270303T190000\nDURATION:PT2H\nRRULE:FREQ=WEEKLY;COUNT=4"
"""Wednesdays 3, 10, 17 and 24 March 2027; the clocks change on the 14th."""
DAILY = "UID:d\nSUMMARY:Foire\nDTSTART;VALUE=DATE:20270301\nRRULE:FREQ=DAILY;COUNT=4"


def start(zone: str = TORONTO, at: str = "20270303T190000") -> str:
    return f"DTSTART;TZID={zone}:{at}\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (start() + "RRULE:FREQ=WEEKLY;COUNT=3", ["03-03 19:00", "03-10 19:00", "03-17 19:00"]),
        (start() + "RRULE:FREQ=WEEKLY;UNTIL=20270317T230000Z", ["03-03 19:00", "03-10 19:00", "03-17 19:00"]),
        (start() + "RRULE:FREQ=WEEKLY;UNTIL=20270317T225959Z", ["03-03 19:00", "03-10 19:00"]),
        # A date counts to the end of its day, also where DTSTART has a time.
        (start() + "RRULE:FREQ=WEEKLY;UNTIL=20270317", ["03-03 19:00", "03-10 19:00", "03-17 19:00"]),
        (start() + "RRULE:FREQ=WEEKLY;UNTIL=20270317T190000", ["03-03 19:00", "03-10 19:00", "03-17 19:00"]),
        (start() + "RRULE:FREQ=WEEKLY;UNTIL=20270317T185959", ["03-03 19:00", "03-10 19:00"]),
        ("DTSTART;VALUE=DATE:20270301\nRRULE:FREQ=DAILY;UNTIL=20270303", ["03-01", "03-02", "03-03"]),
        ("DTSTART;VALUE=DATE:20270301\nRRULE:FREQ=DAILY;UNTIL=20270303T000000Z", ["03-01", "03-02", "03-03"]),
        ("DTSTART;VALUE=DATE:20270301\nRRULE:FREQ=DAILY;UNTIL=20270303T050000Z", ["03-01", "03-02", "03-03"]),
        ("DTSTART;VALUE=DATE:20270301\nRRULE:FREQ=DAILY;UNTIL=20270303T045959Z", ["03-01", "03-02"]),
        (start() + "RRULE:freq=weekly;count=2", ["03-03 19:00", "03-10 19:00"]),
        (start() + "RRULE:FREQ=WEEKLY;COUNT=2;", ["03-03 19:00", "03-10 19:00"]),
        (start() + "RRULE:FREQ=WEEKLY;COUNT=2;X-NOTE=1;RSCALE=GREGORIAN", ["03-03 19:00", "03-10 19:00"]),
        (start() + "RRULE:FREQ=WEEKLY;UNTIL=20270310;COUNT=-1", ["03-03 19:00", "03-10 19:00"]),
        (start() + "RRULE:FREQ=MONTHLY;BYDAY=1WE;COUNT=2", ["03-03 19:00", "04-07 19:00"]),
        (start(at="20270131T190000") + "RRULE:FREQ=MONTHLY;COUNT=3", ["01-31 19:00", "03-31 19:00", "05-31 19:00"]),
        # DTSTART is an occurrence although the rule does not name it.
        (start() + "RRULE:FREQ=WEEKLY;BYDAY=FR;COUNT=2", ["03-03 19:00", "03-05 19:00", "03-12 19:00"]),
        # ... unless the series was ended before it began.
        (start() + "RRULE:FREQ=WEEKLY;UNTIL=20270302", []),
        # Two rules, of which one has nothing to add.
        (start() + "RRULE:FREQ=WEEKLY;COUNT=2\nRRULE:FREQ=DAILY;COUNT=2", ["03-03 19:00", "03-04 19:00", "03-10 19:00"]),
        (
            start() + "RDATE;TZID=America/Toronto:20270305T190000,20270306T150000",
            ["03-03 19:00", "03-05 19:00", "03-06 15:00"],
        ),
        (start() + "RDATE:20270306T000000Z", ["03-03 19:00", "03-05 19:00"]),
        (start() + "RDATE;VALUE=DATE:20270305", ["03-03 19:00", "03-05 19:00"]),
        (start() + "RDATE:20270303T190000", ["03-03 19:00"]),
        ("DTSTART;VALUE=DATE:20270301\nRDATE;VALUE=DATE:20270305", ["03-01", "03-05"]),
        (start() + "RRULE:FREQ=DAILY;COUNT=4\nEXRULE:FREQ=DAILY;INTERVAL=2;COUNT=2", ["03-04 19:00", "03-06 19:00"]),
    ],
)  # fmt: skip
def test_which_times_a_rule_gives(lines: str, expected: list[str]):
    found = read(lines)
    assert starts(found) == expected
    assert not found.rejected


@pytest.mark.parametrize(
    "exdate",
    [
        "EXDATE;TZID=America/Toronto:20270310T190000",
        "EXDATE:20270311T000000Z",
        "EXDATE:20270310T190000",
        "EXDATE;VALUE=DATE:20270310",
        "EXDATE;TZID=Europe/Paris:20270311T010000",
        "EXDATE;TZID=Eastern Standard Time:20270310T190000",
        "EXDATE;TZID=(UTC-05:00) Eastern Time (US & Canada):20270310T190000,20270324T190000",
        # jazzband/icalevents#97: several values in one line, folded, in a zone as Windows names it.
        "EXDATE;TZID=Eastern Standard Time:20270310T190000,2027\n 0324T190000",
    ],
)
def test_an_excluded_time_is_left_out_in_whatever_zone_it_is_written(exdate: str):
    found = read(f"{WEEKLY}\n{exdate}")
    left = ["03-03 19:00", "03-17 19:00", "03-24 19:00"]
    assert starts(found) == (left[:2] if "0324" in exdate else left)
    assert not found.rejected


@pytest.mark.parametrize(
    "exdate",
    ["EXDATE;VALUE=DATE:20270302", "EXDATE:20270302T000000Z", "EXDATE:20270302T050000Z", "EXDATE:20270302T000000"],
)
def test_an_excluded_day_is_left_out_of_a_series_of_days(exdate: str):
    assert starts(read(f"{DAILY}\n{exdate}")) == ["03-01", "03-03", "03-04"]


def test_wall_time_stays_over_the_change_of_clocks_and_the_key_is_the_instant():
    events = read(WEEKLY).events
    assert [event.source_id for event in events] == [
        "f:w:20270304T000000Z",
        "f:w:20270311T000000Z",
        "f:w:20270317T230000Z",
        "f:w:20270324T230000Z",
    ]
    assert {event.series_id for event in events} == {"f:w"}
    assert [shown(event.end) for event in events][-1] == "2027-03-24 21:00 America/Toronto"


def test_a_series_in_utc_keeps_the_clocks_of_the_zone_its_calendar_names():
    series = "DTSTART:20270310T190000Z\nRRULE:FREQ=WEEKLY;COUNT=2"
    assert starts(read(series, head="X-WR-TIMEZONE:America/Toronto")) == ["03-10 14:00", "03-17 14:00"]
    assert starts(read(series)) == ["03-10 14:00", "03-17 15:00"]


def test_a_floating_series_is_read_in_the_feeds_zone():
    events = read("DTSTART:20270310T190000\nRRULE:FREQ=WEEKLY;COUNT=2").events
    assert [shown(event.start) for event in events] == [
        "2027-03-10 19:00 America/Toronto?",
        "2027-03-17 19:00 America/Toronto?",
    ]
    assert all("zone_assumed" in event.warnings for event in events)


def test_the_days_of_a_series_of_days_are_its_keys():
    events = read(DAILY).events
    assert [event.source_id for event in events] == [f"f:d:2027030{day}" for day in (1, 2, 3, 4)]
    assert [shown(event.end) for event in events] == ["-"] * 4


def test_an_rdate_that_is_a_period_brings_its_own_length():
    lines = (
        start()
        + "DURATION:PT1H\nRDATE;VALUE=PERIOD;TZID=America/Toronto:20270305T190000/PT3H,20270306T190000/20270306T193000"
    )
    events = read(lines).events
    assert [shown(event.end)[:16] for event in events] == ["2027-03-03 20:00", "2027-03-05 22:00", "2027-03-06 19:30"]


# Overrides.


@pytest.mark.parametrize(
    "rid",
    [
        "RECURRENCE-ID;TZID=America/Toronto:20270310T190000",
        "RECURRENCE-ID:20270311T000000Z",
        "RECURRENCE-ID:20270310T190000",
        "RECURRENCE-ID;VALUE=DATE:20270310",
        "RECURRENCE-ID;TZID=Eastern Standard Time:20270310T190000",
    ],
)
def test_a_moved_occurrence_keeps_its_key_in_whatever_form_it_is_named(rid: str):
    found = read(WEEKLY, f"UID:w\n{rid}\nDTSTART;TZID=America/Toronto:20270311T200000\nSUMMARY:Jam du jeudi")
    assert starts(found) == ["03-03 19:00", "03-11 20:00", "03-17 19:00", "03-24 19:00"]
    moved = found.by_id["f:w:20270311T000000Z"]
    assert (moved.title, moved.series_id) == ("Jam du jeudi", "f:w")


def test_an_override_may_come_before_its_master():
    found = read("UID:w\nRECURRENCE-ID:20270311T000000Z\nDTSTART:20270312T000000Z", WEEKLY)
    assert starts(found) == ["03-03 19:00", "03-11 19:00", "03-17 19:00", "03-24 19:00"]


def test_a_cancelled_occurrence_is_cancelled_and_not_gone():
    found = read(WEEKLY, "UID:w\nRECURRENCE-ID:20270311T000000Z\nDTSTART:20270311T000000Z\nSTATUS:CANCELLED")
    assert found.by_id["f:w:20270311T000000Z"].status is EventStatus.CANCELLED
    assert sum(event.status is EventStatus.SCHEDULED for event in found.events) == 3


def test_a_cancellation_that_names_nothing_but_its_occurrence_takes_time_and_title_of_the_series():
    body = vcalendar(WEEKLY, "UID:w\nRECURRENCE-ID:20270311T000000Z\nSTATUS:CANCELLED")
    cancelled = read_bytes(body.encode()).by_id["f:w:20270311T000000Z"]
    assert cancelled.status is EventStatus.CANCELLED
    assert cancelled.title == "Jam"
    assert shown(cancelled.start) == "2027-03-10 19:00 America/Toronto"


def test_a_cancelled_series_is_cancelled_on_every_date():
    found = read(f"{WEEKLY}\nSTATUS:CANCELLED")
    assert {event.status for event in found.events} == {EventStatus.CANCELLED}
    assert len(found.events) == 4


def test_a_calendar_that_cancels_cancels_everything_in_it():
    found = read(WEEKLY, "DTSTART:20261205T190000", head="METHOD:CANCEL")
    assert [event.status for event in found.events] == [EventStatus.CANCELLED] * 5


def test_an_occurrence_moved_into_or_out_of_the_window_is_where_it_was_moved_to():
    week = FetchWindow(date(2027, 3, 8), date(2027, 3, 15), TORONTO)
    out = "UID:w\nRECURRENCE-ID:20270311T000000Z\nDTSTART:20270401T230000Z"
    into = "UID:w\nRECURRENCE-ID:20270324T230000Z\nDTSTART:20270312T230000Z"
    found = read(WEEKLY, out, into, window=week)
    assert [event.source_id for event in found.events] == ["f:w:20270324T230000Z"]
    assert starts(found) == ["03-12 18:00"]
    moved = found.handed_on.pop("f:w:20270311T000000Z")
    assert moved is not None
    assert shown(moved.start) == f"2027-04-01 19:00 {TORONTO}"
    assert found.handed_on == {}, "occurrences of the rule are not"
    assert found.outside == 1


def test_from_a_date_on_a_series_is_like_its_override():
    onward = (
        "UID:w\nSUMMARY:Jam au sous-sol\nRECURRENCE-ID;RANGE=THISANDFUTURE;TZID=America/Toronto:20270317T190000\n"
        "DTSTART;TZID=America/Toronto:20270318T203000\nDURATION:PT1H"
    )
    found = read(WEEKLY, onward)
    assert starts(found) == ["03-03 19:00", "03-10 19:00", "03-18 20:30", "03-25 20:30"]
    last = found.by_id["f:w:20270324T230000Z"]
    assert (last.title, shown(last.end)) == ("Jam au sous-sol", "2027-03-25 21:30 America/Toronto")


def test_occurrences_moved_into_the_window_by_a_change_from_a_date_on_are_found():
    onward = (
        "UID:w\nRECURRENCE-ID;RANGE=THISANDFUTURE;TZID=America/Toronto:20270310T190000\n"
        "DTSTART;TZID=America/Toronto:20270510T190000"
    )
    may = FetchWindow(date(2027, 5, 1), date(2027, 6, 1), TORONTO)
    assert starts(read(WEEKLY, onward, window=may)) == ["05-10 19:00", "05-17 19:00", "05-24 19:00"]


def test_occurrences_moved_out_of_the_window_by_a_change_from_a_date_on_are_handed_on():
    onward = (
        "UID:w\nRECURRENCE-ID;RANGE=THISANDFUTURE;TZID=America/Toronto:20270310T190000\n"
        "DTSTART;TZID=America/Toronto:20270510T190000"
    )
    week = FetchWindow(date(2027, 3, 15), date(2027, 3, 22), TORONTO)
    before, after = read(WEEKLY, window=week), read(WEEKLY, onward, window=week)
    [known] = before.by_id
    assert not after.events
    moved = after.handed_on[known]
    assert moved is not None
    assert shown(moved.start) == f"2027-05-17 19:00 {TORONTO}"
    assert after.outside == len(after.handed_on) == 2, "the override itself, and what is like it"


def test_an_override_of_its_own_is_an_event_like_any_other():
    found = read("UID:x\nRECURRENCE-ID:20270311T000000Z\nDTSTART:20270312T000000Z")
    assert [event.source_id for event in found.events] == ["f:x:20270311T000000Z"]


def test_an_override_of_a_time_that_the_series_does_not_have_is_kept():
    found = read(WEEKLY, "UID:w\nRECURRENCE-ID:20270401T000000Z\nDTSTART:20270401T000000Z")
    assert starts(found)[-1] == "03-31 20:00"
    assert len(found.events) == 5


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("SEQUENCE:1\nLAST-MODIFIED:20261103T000000Z", "SEQUENCE:2\nLAST-MODIFIED:20261102T000000Z"),
        ("SEQUENCE:1\nLAST-MODIFIED:20261101T000000Z", "SEQUENCE:1\nLAST-MODIFIED:20261102T000000Z"),
        ("DTSTAMP:20261101T000000Z", "DTSTAMP:20261102T000000Z"),
        ("SEQUENCE:deux", "SEQUENCE:1"),
    ],
)
def test_of_two_versions_the_newer_one_counts_wherever_it_stands(older: str, newer: str):
    old, new = (
        f"UID:v\nSUMMARY:{title}\nDTSTART:20261205T{hour}0000\n{stamp}"
        for title, hour, stamp in (("old", 18, older), ("new", 19, newer))
    )
    for events in ((old, new), (new, old)):
        found = read(*events)
        assert [event.title for event in found.events] == ["new"]
        assert found.warnings == ["superseded"]


def test_of_two_versions_of_an_occurrence_the_newer_one_counts():
    rid = "UID:w\nRECURRENCE-ID:20270311T000000Z\nDTSTART:20270312T000000Z\n"
    found = read(WEEKLY, f"{rid}SUMMARY:new\nSEQUENCE:3", f"{rid}SUMMARY:old\nSEQUENCE:2")
    assert found.by_id["f:w:20270311T000000Z"].title == "new"
    assert found.warnings == ["superseded"]


@pytest.mark.parametrize("ended", ["EXDATE:20270311T000000Z", "RRULE:FREQ=WEEKLY;UNTIL=20270305"])
def test_a_change_to_an_occurrence_that_was_deleted_since_is_gone(ended: str):
    rule = "" if ended.startswith("RRULE") else "RRULE:FREQ=WEEKLY;COUNT=2\n"
    master = f"UID:w\n{start()}{rule}{ended}\nSEQUENCE:"
    override = "UID:w\nRECURRENCE-ID:20270311T000000Z\nDTSTART:20270312T000000Z\nSEQUENCE:"
    gone = read(f"{master}3", f"{override}2")
    assert starts(gone) == ["03-03 19:00"]
    assert gone.warnings == ["superseded"]
    # As new as its master: somebody changed it after the rest was deleted.
    assert starts(read(f"{master}3", f"{override}3")) == ["03-03 19:00", "03-11 19:00"]
    # Of a rule that cannot be read nobody knows what it has deleted.
    assert "03-11 19:00" in starts(read(f"{master}3\nRRULE:UNTL=1", f"{override}2"))


def test_a_newer_master_keeps_older_changes_to_times_that_it_still_has():
    found = read(f"{WEEKLY}\nSEQUENCE:9", "UID:w\nRECURRENCE-ID:20270311T000000Z\nDTSTART:20270312T000000Z")
    assert starts(found) == ["03-03 19:00", "03-11 19:00", "03-17 19:00", "03-24 19:00"]


def test_an_empty_rule_is_none():
    event = one("UID:s\nDTSTART:20261205T190000\nRRULE:\nEXDATE:\nRDATE:")
    assert (event.source_id, event.series_id) == ("f:s", None)


# What other occurrences leave alone.


def test_one_more_excluded_date_does_not_change_the_other_occurrences():
    before, after = (
        read(f"{WEEKLY}\nEXDATE:{dates}") for dates in ("20270311T000000Z", "20270311T000000Z,20270317T230000Z")
    )
    assert len(before.events) == 3
    assert after.events == [event for event in before.events if event.source_id != "f:w:20270317T230000Z"]


# Broken and boundless rules.


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=WEEKLY;UNTL=20270401",
        "FREQ=SOMETIMES",
        "COUNT=3",
        "FREQ=WEEKLY;INTERVAL=0",
        "FREQ=WEEKLY;INTERVAL=-1",
        "FREQ=WEEKLY;COUNT=0",
        "FREQ=WEEKLY;COUNT=trois",
        "FREQ=WEEKLY;BYDAY=XX",
        "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=DAILY;BYHOUR=25",
        "FREQ=WEEKLY;UNTIL=demain",
        "FREQ=WEEKLY;UNTIL=20270231",
        "FREQ=WEEKLY;WKST=XX",
        "FREQ=YEARLY;RSCALE=HEBREW",
        "FREQ=MINUTELY;INTERVAL=120;BYHOUR=3;BYMINUTE=1",
        "n'importe quoi",
        "FREQ=DAILY;BYMONTH=" + ",".join(["1"] * 3000),
    ],
)
def test_a_broken_rule_leaves_its_first_date_and_is_reported_once(rule: str):
    found = read(f"{start(at='20270303T190000')}RRULE:{rule}", WEEKLY)
    assert starts(found) == sorted(["03-03 19:00", "03-03 19:00", "03-10 19:00", "03-17 19:00", "03-24 19:00"])
    assert found.reasons == {"invalid_recurrence": 1}
    assert found.rejected[0].source_id == "f:e1"
    assert found.rejected[0].payload["RRULE"] == rule
    assert not found.incomplete


def test_what_is_wrong_with_a_series_that_begins_after_the_window_is_reported_when_it_is_due():
    events = f"{start(at='20281205T190000')}RRULE:UNTL=1", f"{start(at='20200105T190000')}RRULE:UNTL=1"
    found = read(*events)
    assert [record.source_id for record in found.rejected] == ["f:e2"]
    later = FetchWindow(date(2028, 12, 4), date(2028, 12, 11), TORONTO)
    assert len(read(*events, window=later).rejected) == 2


def test_a_series_without_a_title_is_one_rejected_record():
    body = vcalendar("UID:t\nDTSTART;VALUE=DATE:20270301\nRRULE:FREQ=DAILY;COUNT=9")
    assert read_bytes(body.encode()).reasons == {"missing_title": 1}


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY",
        "FREQ=SECONDLY;COUNT=1000000000",
        "FREQ=SECONDLY;INTERVAL=86400",
        "FREQ=MINUTELY",
        "FREQ=MINUTELY;COUNT=1000000000",
        "FREQ=MINUTELY;INTERVAL=29",
        "FREQ=DAILY;BYHOUR=8,9,10,11,12,13,14;BYMINUTE=0,5,10,15,20,25,30",
        "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=3;BYHOUR=19;BYMINUTE=" + ",".join(map(str, range(60))),
    ],
)
def test_a_rule_that_fires_without_pause_leaves_its_first_date_and_is_reported(rule: str):
    found = read(f"{start(at='20270303T190000')}RRULE:{rule}")
    assert starts(found) == ["03-03 19:00"]
    assert found.reasons == {"too_many_occurrences": 1}


@pytest.mark.parametrize(
    ("begin", "rule", "expected"),
    [
        # dateutil looks for these until the year 9999.
        ("20200101T190000", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", 0),
        ("20200101T190000", "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", 0),
        ("20200101T190000", "FREQ=MINUTELY;INTERVAL=7;BYMONTH=2;BYMONTHDAY=30;BYHOUR=3", 0),
        ("20200101T190000", "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO;BYMONTH=6", 0),
        ("20200101T190000", "FREQ=MONTHLY;BYDAY=5MO;BYMONTH=2;BYMONTHDAY=1", 0),
        ("20260301T190000", "FREQ=DAILY;COUNT=1000000000", 364),
        ("00020101T190000", "FREQ=DAILY", 364),
        ("00020101T190000", "FREQ=YEARLY;INTERVAL=100", 0),
        ("20261205T190000", "FREQ=YEARLY;UNTIL=99991231T235959Z", 1),
        ("99981230T190000", "FREQ=DAILY", 0),
        ("20261205T190000", "FREQ=DAILY;INTERVAL=100000", 1),
    ],
)
def test_a_rule_costs_little_however_far_it_reaches(begin: str, rule: str, expected: int):
    found = read(f"{start(at=begin)}RRULE:{rule}")
    assert len(found.events) == expected
    assert not found.rejected


def test_a_rule_that_counts_from_the_beginning_of_time_is_given_up():
    found = read(f"{start(at='00020101T190000')}RRULE:FREQ=DAILY;COUNT=1000000000")
    assert found.reasons == {"too_many_occurrences": 1}


def test_the_work_for_all_rules_of_a_feed_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recurrence, "FEED_STEPS", 2000)
    found = read(*[f"{start()}RRULE:FREQ=DAILY" for _ in range(20)])
    assert 0 < found.reasons["too_many_occurrences"] < 20
    assert len(found.incomplete) == 1
    # Each that was given up still has its first date.
    assert sum(event.start.date == date(2027, 3, 3) for event in found.events if event.start) == 20


def test_a_series_beyond_the_cap_keeps_its_first_occurrences_and_withdraws_nothing():
    found = read(f"{start(at='20261201T190000')}RRULE:FREQ=DAILY", WEEKLY, max_occurrences=10)
    assert len(found.events) == 14
    assert starts(found)[0] == "03-03 19:00"
    assert "12-10 19:00" in starts(found)
    assert "12-11 19:00" not in starts(found)
    assert found.reasons == {"too_many_occurrences": 1}
    assert "first 10 are kept" in found.rejected[0].detail
    assert len(found.incomplete) == 1


def test_a_listed_date_that_cannot_be_read_costs_only_itself():
    found = read(f"{WEEKLY}\nRDATE:bientôt,20270305T000000Z")
    assert starts(found) == ["03-03 19:00", "03-04 19:00", "03-10 19:00", "03-17 19:00", "03-24 19:00"]
    assert found.reasons == {"invalid_recurrence": 1}


# Against the reference libraries.


def some(*values: str, most: int) -> st.SearchStrategy[str]:
    """One to `most` of the values, as a rule part writes them."""
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True).map(",".join)


FREQUENCIES = st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "INTERVAL": st.integers(1, 4).map(str),
        "BYDAY": some("MO", "TU", "WE", "TH", "FR", "SA", "SU", most=3),
        "BYMONTH": some(*map(str, range(1, 13)), most=4),
        "BYMONTHDAY": some("1", "13", "15", "29", "31", "-1", most=3),
        "BYHOUR": some(*map(str, range(8, 23)), most=2),
        "WKST": st.sampled_from(["MO", "SU"]),
    },
)  # fmt: skip
ENDS = st.one_of(
    st.just(""),
    st.integers(1, 300).map(lambda count: f";COUNT={count}"),
    st.dates(date(2026, 1, 1), date(2028, 1, 1)).map(lambda day: f";UNTIL={day:%Y%m%d}T235959Z"),
)


@settings(max_examples=120, deadline=None)
@given(
    freq=FREQUENCIES,
    parts=PARTS,
    end=ENDS,
    first=st.dates(date(2019, 1, 1), date(2027, 10, 1)),
    excluded=st.lists(st.integers(0, 60), max_size=3),
)
def test_occurrences_are_those_of_the_reference_library(
    freq: str, parts: dict[str, str], end: str, first: date, excluded: list[int]
):
    import recurring_ical_events
    from icalendar import Calendar

    if "BYHOUR" in parts:
        # The reference also compares the naive EXDATE with the occurrence in UTC: 19:00 takes out 15:00 of UTC-4.
        excluded = []
    rule = ";".join([f"FREQ={freq}", *(f"{name}={value}" for name, value in parts.items())]) + end
    lines = [f"UID:1\nSUMMARY:x\nDTSTART;TZID={TORONTO}:{first:%Y%m%d}T190000\nDURATION:PT1H\nRRULE:{rule}"]
    lines += [f"EXDATE;TZID={TORONTO}:{first + timedelta(days=7 * weeks):%Y%m%d}T190000" for weeks in excluded]
    text = vcalendar("\n".join(lines))
    bounds = [datetime.combine(day, time(), ZoneInfo(WINDOW.zone)) for day in (WINDOW.start, WINDOW.end)]
    expected = sorted(
        occurrence.start.replace(tzinfo=None).isoformat()
        for occurrence in recurring_ical_events.of(Calendar.from_ical(text)).between(*bounds)
        if WINDOW.start <= occurrence.start.date() < WINDOW.end
    )
    found = read_bytes(text.encode(), max_occurrences=100_000)
    assert (
        sorted(event.start.local.isoformat() for event in found.events if event.start and event.start.local) == expected
    )


def test_a_window_never_changes_which_occurrences_there_are():
    rules = [
        "FREQ=MONTHLY;BYDAY=-1FR",
        "FREQ=WEEKLY;INTERVAL=3;BYDAY=MO,SA;WKST=SU",
        "FREQ=YEARLY;BYYEARDAY=60,-1",
        "FREQ=DAILY;INTERVAL=5",
    ]
    events = [f"{start(at='20240229T190000')}RRULE:{rule}" for rule in rules]
    whole = read(*events).by_id
    parts: dict[str, object] = {}
    for week in range(52):
        monday = WINDOW.start + timedelta(days=7 * week)
        parts |= read(*events, window=FetchWindow(monday, monday + timedelta(days=7), TORONTO)).by_id
    assert parts == whole
    assert len(whole) > 100


def test_a_single_event_that_begins_to_recur_is_told_apart_from_its_occurrences():
    assert one("UID:s\nDTSTART:20261205T190000").source_id == "f:s"
    assert one("UID:s\nDTSTART:20261205T190000\nRRULE:FREQ=WEEKLY;COUNT=1").source_id == "f:s:20261206T000000Z"
