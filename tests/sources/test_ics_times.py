"""Dates, times, zones and ends of calendar events."""

from datetime import date

import pytest

from ingestion_assets.events.model import FetchWindow, Precision
from tests.fakes.calendars import one, read, read_bytes, shown
from tests.fakes.ics_server import vcalendar

QUEBEC_BY_HAND = """BEGIN:VTIMEZONE
TZID:Heure normale de chez nous
BEGIN:STANDARD
DTSTART:16010101T020000
TZOFFSETFROM:-0400
TZOFFSETTO:-0500
RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE"""
PARIS_BY_HAND = """BEGIN:VTIMEZONE
TZID:Custom
BEGIN:STANDARD
DTSTART:19961027T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19810329T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
END:VTIMEZONE"""
FIXED = """BEGIN:VTIMEZONE
TZID:Fixed
BEGIN:STANDARD
DTSTART:19700101T000000
TZOFFSETFROM:-0300
TZOFFSETTO:-0300
END:STANDARD
END:VTIMEZONE"""
BY_MONTH_DAYS = """BEGIN:VTIMEZONE
TZID:Old style
BEGIN:DAYLIGHT
DTSTART:20070311T020000
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
RRULE:FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=8,9,10,11,12,13,14;BYDAY=SU
END:DAYLIGHT
BEGIN:STANDARD
DTSTART:20071104T020000
TZOFFSETFROM:-0400
TZOFFSETTO:-0500
RRULE:FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=1,2,3,4,5,6,7;BYDAY=SU
END:STANDARD
END:VTIMEZONE"""
ONE_OFF = """BEGIN:VTIMEZONE
TZID:This winter
BEGIN:STANDARD
DTSTART:20261101T020000
TZOFFSETFROM:-0400
TZOFFSETTO:-0500
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:20270314T020000
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
END:DAYLIGHT
END:VTIMEZONE"""
NAMED_INSIDE = "BEGIN:VTIMEZONE\nTZID:/own/1\nX-LIC-LOCATION:America/Montreal\nEND:VTIMEZONE"

TORONTO = "America/Toronto"


@pytest.mark.parametrize(
    ("start", "head", "expected"),
    [
        # A zone that is known by some name.
        ("DTSTART;TZID=America/Toronto:20261205T190000", "", f"2026-12-05 19:00 {TORONTO}"),
        ("DTSTART;TZID=America/Montreal:20261205T190000", "", f"2026-12-05 19:00 {TORONTO}"),
        ("DTSTART;TZID=US/Eastern:20261205T190000", "", "2026-12-05 19:00 America/New_York"),
        ("DTSTART;TZID=Eastern Standard Time:20261205T190000", "", "2026-12-05 19:00 America/New_York"),
        ("DTSTART;TZID=W. Europe Standard Time:20261205T190000", "", "2026-12-05 19:00 Europe/Berlin"),
        (
            'DTSTART;TZID="(UTC-05:00) Eastern Time (US & Canada)":20261205T190000',
            "",
            "2026-12-05 19:00 America/New_York",
        ),
        # Names with a colon that nobody has quoted, as Exchange writes them.
        (
            "DTSTART;TZID=(UTC-05:00) Eastern Time (US & Canada):20261205T190000",
            "",
            "2026-12-05 19:00 America/New_York",
        ),
        ("DTSTART;TZID=tzone://Microsoft/Utc:20261206T003000", "", f"2026-12-05 19:30 {TORONTO}"),
        ("DTSTART;TZID=tzone://Microsoft/Custom:20261205T190000", "", f"2026-12-05 19:00 {TORONTO}?"),
        (
            "DTSTART;TZID=tzone://Microsoft/Custom:20261205T190000",
            QUEBEC_BY_HAND.replace("TZID:Heure normale de chez nous", "TZID:tzone://Microsoft/Custom"),
            f"2026-12-05 19:00 {TORONTO}",
        ),
        ("DTSTART;TZID=America/Toronto:2026-12-05T19:00:00", "", f"2026-12-05 19:00 {TORONTO}"),
        (
            "DTSTART;TZID=/freeassociation.sourceforge.net/America/Toronto:20261205T190000",
            "",
            f"2026-12-05 19:00 {TORONTO}",
        ),
        # A zone that the file defines itself.
        ("DTSTART;TZID=Heure normale de chez nous:20261205T190000", QUEBEC_BY_HAND, f"2026-12-05 19:00 {TORONTO}"),
        ("DTSTART;TZID=Custom:20261205T190000", PARIS_BY_HAND, "2026-12-05 19:00 Europe/Paris"),
        ("DTSTART;TZID=Fixed:20261205T190000", FIXED, "2026-12-05 19:00 Etc/GMT+3"),
        ("DTSTART;TZID=Old style:20261205T190000", BY_MONTH_DAYS, f"2026-12-05 19:00 {TORONTO}"),
        ("DTSTART;TZID=This winter:20261205T190000", ONE_OFF, f"2026-12-05 19:00 {TORONTO}"),
        ("DTSTART;TZID=/own/1:20261205T190000", NAMED_INSIDE, f"2026-12-05 19:00 {TORONTO}"),
        # No zone, or one that nobody knows.
        ("DTSTART:20261205T190000", "", f"2026-12-05 19:00 {TORONTO}?"),
        ("DTSTART;TZID=Chez nous:20261205T190000", "", f"2026-12-05 19:00 {TORONTO}?"),
        ("DTSTART:20261205T190000", "X-WR-TIMEZONE:Europe/Paris", "2026-12-05 19:00 Europe/Paris"),
        ("DTSTART;TZID=Chez nous:20261205T190000", "X-WR-TIMEZONE:Europe/Paris", "2026-12-05 19:00 Europe/Paris?"),
        ("DTSTART:20261205T190000", "X-WR-TIMEZONE:Chez nous", f"2026-12-05 19:00 {TORONTO}?"),
        # UTC is shown on local clocks.
        ("DTSTART:20261206T003000Z", "", f"2026-12-05 19:30 {TORONTO}"),
        ("DTSTART:20261205T190000Z", "X-WR-TIMEZONE:America/Montreal", f"2026-12-05 14:00 {TORONTO}"),
        ("DTSTART:20261205T190000Z", "X-WR-TIMEZONE:Europe/Paris", "2026-12-05 20:00 Europe/Paris"),
        ("DTSTART;TZID=Etc/UTC:20261206T003000", "", f"2026-12-05 19:30 {TORONTO}"),
        ("DTSTART;TZID=America/Vancouver:20261206T003000Z", "", f"2026-12-05 19:30 {TORONTO}"),
        # UTC as the zone of a whole calendar says how instants are written, not where people are.
        ("DTSTART:20261206T003000Z", "X-WR-TIMEZONE:UTC", f"2026-12-05 19:30 {TORONTO}"),
        ("DTSTART:20261206T003000Z", "X-WR-TIMEZONE:Etc/UTC", f"2026-12-05 19:30 {TORONTO}"),
        ("DTSTART;TZID=UTC:20261206T003000", "X-WR-TIMEZONE:UTC", f"2026-12-05 19:30 {TORONTO}"),
        ("DTSTART:20261205T190000", "X-WR-TIMEZONE:UTC", f"2026-12-05 19:00 {TORONTO}?"),
        ("DTSTART;TZID=Europe/Paris:20261205T190000", "X-WR-TIMEZONE:UTC", "2026-12-05 19:00 Europe/Paris"),
        # Days.
        ("DTSTART;VALUE=DATE:20261205", "", "2026-12-05"),
        ("DTSTART:20261205", "", "2026-12-05"),
        ("DTSTART;VALUE=DATE:20261205T000000", "", "2026-12-05"),
        ("DTSTART;TZID=America/Toronto:20261205T000000\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE", "", "2026-12-05"),
        ("DTSTART;TZID=America/Toronto:20261205T000000", "", f"2026-12-05 00:00 {TORONTO}"),
        ("DTSTART:20261205T000000Z\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE", "", "2026-12-05"),
        ("DTSTART:20261205T000000Z\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE", "X-WR-TIMEZONE:America/Toronto", "2026-12-05"),
        ("DTSTART:20261205T050000Z\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE", "", "2026-12-05"),
        ("DTSTART:20261205T050000Z\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE", "X-WR-TIMEZONE:America/Toronto", "2026-12-05"),
        ("DTSTART:20261205T190000Z\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE", "", f"2026-12-05 14:00 {TORONTO}"),
        ("DTSTART:20261205T000000Z\nX-MICROSOFT-CDO-ALLDAYEVENT:FALSE", "", f"2026-12-04 19:00 {TORONTO}"),
        # Spellings that are not iCalendar, and unmistakable.
        ("DTSTART:2026-12-05T19:00:00-05:00", "", f"2026-12-05 19:00 {TORONTO}"),
        ("DTSTART:2026-12-05", "", "2026-12-05"),
        ("DTSTART;TZID=America/Toronto:20261205T1900", "", f"2026-12-05 19:00 {TORONTO}"),
        ("DTSTART;TZID=America/Toronto:20261205T235960", "", f"2026-12-05 23:59 {TORONTO}"),
        ("dtstart;tzid=America/Toronto:20261205T190000", "", f"2026-12-05 19:00 {TORONTO}"),
    ],
)
def test_when_an_event_starts(start: str, head: str, expected: str):
    event = one(start, head=head)
    assert shown(event.start) == expected
    assert ("zone_assumed" in event.warnings) == expected.endswith("?")
    assert event.precision is (Precision.DATETIME if ":" in expected else Precision.DATE)


def test_names_of_zones_that_nobody_knows_are_counted_once():
    found = read(*["DTSTART;TZID=Chez nous:20261205T190000"] * 3, "DTSTART;TZID=Ailleurs:20261205T190000")
    assert found.warnings == ["zone_unknown"]


def test_the_setting_decides_where_a_calendar_says_nothing():
    assert shown(one("DTSTART:20261205T190000", default_zone="Europe/Paris").start) == "2026-12-05 19:00 Europe/Paris?"
    assert shown(one("DTSTART:20261205T190000Z", default_zone="Europe/Paris").start) == "2026-12-05 20:00 Europe/Paris"


def test_two_calendars_in_one_file_keep_their_own_zones():
    first = vcalendar(
        "UID:1\nSUMMARY:A\nDTSTART;TZID=Custom:20261205T190000", head="X-WR-TIMEZONE:America/Halifax\n" + PARIS_BY_HAND
    )
    second = vcalendar(
        "UID:2\nSUMMARY:B\nDTSTART;TZID=Custom:20261205T190000",
        "UID:3\nSUMMARY:C\nDTSTART:20261205T190000",
        head="X-WR-TIMEZONE:America/Winnipeg",
    )
    events = read_bytes((first + second).encode()).events
    assert [shown(event.start) for event in events] == [
        "2026-12-05 19:00 Europe/Paris",
        "2026-12-05 19:00 America/Winnipeg?",
        "2026-12-05 19:00 America/Winnipeg",
    ]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("SUMMARY:x", "missing_start"),
        ("DTSTART:", "missing_start"),
        ("DTSTART:20260231T190000", "invalid_start"),
        ("DTSTART:20261305", "invalid_start"),
        ("DTSTART:20261205T256100", "invalid_start"),
        ("DTSTART:bientôt", "invalid_start"),
        ("DTSTART:00000000", "invalid_start"),
        ("DTSTART;TZID=America/Toronto", "missing_start"),
        ("DTSTART:99991231T235959-1200", "invalid_start"),
        ("DTSTART:00010101T000000", "invalid_start"),
    ],
)
def test_a_start_that_cannot_be_read_is_one_rejected_record_and_the_neighbours_stay(lines: str, reason: str):
    found = read("DTSTART:20261205T190000", lines, "DTSTART:20261206T190000")
    assert len(found.events) == 2
    assert [(record.reason, record.source_id) for record in found.rejected] == [(reason, "f:e2")]
    assert found.rejected[0].payload["UID"] == "e2"
    assert not found.incomplete


@pytest.mark.parametrize(
    ("lines", "expected", "warnings"),
    [
        ("DTSTART;VALUE=DATE:20261205\nDTEND;VALUE=DATE:20261206", "2026-12-05", ()),
        ("DTSTART;VALUE=DATE:20261205\nDTEND;VALUE=DATE:20261208", "2026-12-07", ()),
        ("DTSTART;VALUE=DATE:20261205\nDTEND;VALUE=DATE:20261205", "2026-12-05", ()),
        ("DTSTART;VALUE=DATE:20261205\nDTEND;VALUE=DATE:20261204", "-", ("end_before_start",)),
        ("DTSTART;VALUE=DATE:20261205\nDURATION:P2D", "2026-12-06", ()),
        ("DTSTART;VALUE=DATE:20261205\nDURATION:PT6H", "2026-12-05", ()),
        ("DTSTART;VALUE=DATE:20261205", "-", ()),
        ("DTSTART;VALUE=DATE:20261205\nDTEND;TZID=America/Toronto:20261206T170000", "2026-12-06", ()),
        ("DTSTART;VALUE=DATE:20261205\nDTEND;TZID=America/Toronto:20261206T000000", "2026-12-05", ()),
        ("DTSTART;TZID=America/Toronto:20261205T190000", "-", ()),
        ("DTSTART;TZID=America/Toronto:20261205T190000\nDTEND;TZID=America/Toronto:20261205T190000", "-", ()),
        (
            "DTSTART;TZID=America/Toronto:20261205T190000\nDTEND;TZID=America/Toronto:20261205T213000",
            f"2026-12-05 21:30 {TORONTO}",
            (),
        ),
        (
            "DTSTART;TZID=America/Toronto:20261205T190000\nDTEND;TZID=America/Toronto:20261205T180000",
            "-",
            ("end_before_start",),
        ),
        ("DTSTART;TZID=America/Toronto:20261205T190000\nDTEND:20261206T010000Z", f"2026-12-05 20:00 {TORONTO}", ()),
        (
            "DTSTART;TZID=America/Toronto:20261205T190000\nDTEND;TZID=Europe/Paris:20261206T090000",
            "2026-12-06 09:00 Europe/Paris",
            (),
        ),
        (
            "DTSTART;TZID=America/Toronto:20261205T190000\nDURATION:P1DT1H30M",
            f"2026-12-06 20:30 {TORONTO}",
            (),
        ),
        ("DTSTART;TZID=America/Toronto:20261205T190000\nDURATION:-PT1H", "-", ("end_before_start",)),
        ("DTSTART;TZID=America/Toronto:20261205T190000\nDURATION:une heure", "-", ("end_unreadable",)),
        ("DTSTART;TZID=America/Toronto:20261205T190000\nDURATION:P", "-", ("end_unreadable",)),
        ("DTSTART;TZID=America/Toronto:20261205T190000\nDURATION:P999999W", "-", ("end_unreadable",)),
        ("DTSTART;TZID=America/Toronto:20261205T190000\nDTEND:99980101T000000Z", "-", ("end_too_far",)),
        ("DTSTART;VALUE=DATE:20261205\nDTEND;VALUE=DATE:99991231", "-", ("end_unreadable",)),
        ("DTSTART;TZID=America/Toronto:20261205T190000\nDTEND:plus tard", "-", ("end_unreadable",)),
        ("DTSTART;TZID=America/Toronto:20261205T190000\nDTEND;VALUE=DATE:20261206", "-", ("end_kind_mismatch",)),
    ],
)
def test_when_an_event_ends(lines: str, expected: str, warnings: tuple[str, ...]):
    event = one(lines)
    assert shown(event.end) == expected
    assert event.warnings == warnings


def test_the_window_is_one_of_local_start_dates():
    window = FetchWindow(date(2026, 12, 5), date(2026, 12, 6), TORONTO)
    found = read(
        "SUMMARY:late in Montréal\nDTSTART:20261206T045900Z",
        "SUMMARY:next day in Montréal\nDTSTART:20261206T050000Z",
        "SUMMARY:the day before\nDTSTART:20261205T045900Z",
        "SUMMARY:all day\nDTSTART;VALUE=DATE:20261205",
        "SUMMARY:already running\nDTSTART;VALUE=DATE:20261204\nDTEND;VALUE=DATE:20261210",
        "SUMMARY:its own clocks\nDTSTART;TZID=Asia/Tokyo:20261205T010000",
        window=window,
    )
    assert [event.title for event in found.events] == ["late in Montréal", "all day", "its own clocks"]
    assert found.outside == 3


@pytest.mark.parametrize("head", ["", "X-WR-TIMEZONE:America/Toronto"])
@pytest.mark.parametrize(
    ("written", "last"),
    [
        ("DTSTART:20261207T000000Z\nDTEND:20261208T000000Z", "2026-12-07"),
        ("DTSTART:20261207T050000Z\nDTEND:20261209T050000Z", "2026-12-08"),
    ],
)
def test_a_day_that_is_written_as_midnight_belongs_to_the_week_that_it_lies_in(written: str, last: str, head: str):
    before = FetchWindow(date(2026, 11, 30), date(2026, 12, 7), TORONTO)
    week = FetchWindow(date(2026, 12, 7), date(2026, 12, 14), TORONTO)
    lines = f"{written}\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE"
    event = one(lines, head=head, window=week)
    assert (shown(event.start), shown(event.end)) == ("2026-12-07", last)
    assert event.start.zone == TORONTO
    assert read(lines, head=head, window=before).events == []


def test_seven_in_the_evening_is_not_a_day_although_it_is_midnight_in_utc():
    week = FetchWindow(date(2026, 12, 7), date(2026, 12, 14), TORONTO)
    found = read("DTSTART:20261207T000000Z", "DTSTART:20261214T000000Z", window=week)
    assert [shown(event.start) for event in found.events] == [f"2026-12-13 19:00 {TORONTO}"]
    assert found.outside == 1


def test_the_end_of_an_event_in_a_calendar_of_utc_is_shown_on_local_clocks():
    event = one("DTSTART:20261206T003000Z\nDTEND:20261206T020000Z", head="X-WR-TIMEZONE:UTC")
    assert shown(event.end) == f"2026-12-05 21:00 {TORONTO}"
