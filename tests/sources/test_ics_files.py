"""What a whole file means: nesting, encodings, invitations, damage; and that no file makes a fetch fail."""

import json
import random
import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingestion_assets.events.model import Event, FetchWindow, RejectReason, Unread
from ingestion_assets.events.sources.ics.components import MAX_EVENTS, parse_line, read_calendar
from ingestion_assets.events.sources.ics.feed import read_feed
from ingestion_assets.events.sources.ics.payload import cleaned_uid, identity
from ingestion_assets.events.sources.ics.values import Zones
from ingestion_assets.events.sources.ics.vevent import read_event
from tests.fakes.calendars import WINDOW, read, read_bytes, starts
from tests.fakes.fetching import Fetched
from tests.fakes.ics_server import vcalendar

SAMPLES = Path(__file__).parents[2] / "samples"
A = "UID:a\nSUMMARY:A\nDTSTART:20261205T190000"
B = "UID:b\nSUMMARY:B\nDTSTART:20261206T190000"


def titles(body: str | bytes, **options: str) -> list[str]:
    found = read_bytes(body if isinstance(body, bytes) else body.encode(), charset=options.get("charset"))
    return [event.title for event in found.events]


def vevent(lines: str) -> str:
    return f"BEGIN:VEVENT\n{lines}\nEND:VEVENT\n"


@pytest.mark.parametrize(
    "body",
    [
        vcalendar(A) + vcalendar(B),
        vcalendar(A, vcalendar(B).replace("\r\n", "\n")),
        f"BEGIN:VCALENDAR\nBEGIN:VCALENDAR\n{vevent(A)}END:VCALENDAR\n{vevent(B)}END:VCALENDAR\n",
        vevent(A) + vevent(B),
        f"BEGIN:VTIMEZONE\nTZID:x\nEND:VTIMEZONE\n{vevent(A)}{vevent(B)}",
        "\ufeff" + vcalendar(A, B),
        "\n\n  \n" + vcalendar(A, B),
        vcalendar(A, B).replace("\r\n", "\n"),
        vcalendar(A, B).replace("\r\n", "\r"),
        vcalendar(A, B).replace("\r\n", "\r\r\n"),
        vcalendar(A, B).replace("BEGIN:", "begin:").replace("END:", "end:").replace("SUMMARY", "summary"),
        vcalendar(A, B).replace("SUMMARY:", "SUM\r\n MARY:"),
        # An END that is missing, or one too many.
        vcalendar(A, B).replace("END:VEVENT\r\n", "", 1),
        vcalendar(A, B).replace("END:VEVENT\r\n", "END:VEVENT\r\nEND:VEVENT\r\nEND:VALARM\r\n"),
        vcalendar(A, B).replace("END:VEVENT\r\nEND:VCALENDAR", "END:VCALENDAR"),
        vcalendar(A, f"{B}\nBEGIN:VALARM\nTRIGGER:-PT5M\nSUMMARY:non").replace("\r\n", "\n"),
        vcalendar(A, f"{B}\nBEGIN:VALARM\nBEGIN:X-Y\nSUMMARY:non\nEND:X-Y\nEND:VALARM"),
        vcalendar("BEGIN:VALARM\nSUMMARY:non\nEND:VALARM\n" + A, B),
        vcalendar("item1.X-ABLABEL:x\n" + A.replace("SUMMARY", "item2.SUMMARY"), B),
    ],
)
def test_events_are_found_however_the_file_is_built(body: str):
    assert titles(body) == ["A", "B"]


def test_a_calendar_without_events_is_complete_and_empty():
    found = read_bytes(vcalendar().encode())
    assert (found.events, found.rejected, found.incomplete, found.warnings) == ([], [], [], [])


@pytest.mark.parametrize(
    "body", [b"", b" \r\n", b"<html></html>", b'{"events": []}', b"\x00\xff\xfe\x01" * 50, b"SUMMARY:x"]
)
def test_what_is_no_calendar_is_one_rejected_record_and_an_incomplete_fetch(body: bytes):
    found = read_bytes(body)
    assert found.reasons == {"unparsable": 1}
    assert found.warnings == ["feed_unparsable"]
    assert len(found.incomplete) == 1
    json.dumps(found.rejected[0].payload)


def test_a_file_cut_inside_an_event_refuses_that_one_and_is_incomplete():
    body = vcalendar(A, B + "\nDESCRIPTION:une longue histoire")
    found = read_bytes(body[: body.index("longue")].encode())
    assert [event.title for event in found.events] == ["A"]
    assert [(record.reason, record.source_id) for record in found.rejected] == [("unparsable", "f:b")]
    assert found.warnings == ["file_cut"]
    assert len(found.incomplete) == 1


def test_a_file_cut_between_events_is_incomplete():
    body = vcalendar(A, B)
    found = read_bytes(body[: body.index("BEGIN:VEVENT\r\nUID:b")].encode())
    assert [event.title for event in found.events] == ["A"]
    assert len(found.incomplete) == 1


@pytest.mark.parametrize("method", ["REQUEST", "REPLY", "COUNTER", "DECLINECOUNTER", "refresh"])
def test_mail_invitations_publish_nothing(method: str):
    found = read(A, head=f"METHOD:{method}")
    assert not found.events
    assert found.warnings == ["not_a_publication"]
    assert not found.incomplete


def test_a_line_that_is_none_costs_only_itself():
    found = read(f"{A}\nDESCRIPTION:premiere ligne\nsuite sans retrait\n;;;\nURL:https://example.org/a")
    event = found.events[0]
    assert event.description == "premiere ligne"
    assert event.url == "https://example.org/a"
    assert event.warnings == ("zone_assumed", "unreadable_line")
    assert event.payload["?"] == ["suite sans retrait", ";;;"]


# Encodings.


@pytest.mark.parametrize(
    ("body", "charset", "repaired"),
    [
        (vcalendar(A.replace(":A", ":Café œuvre")).encode(), None, False),
        (vcalendar(A.replace(":A", ":Café œuvre")).encode(), "iso-8859-1", False),
        (vcalendar(A.replace(":A", ":Café œuvre")).encode("cp1252"), None, True),
        (vcalendar(A.replace(":A", ":Café œuvre")).encode("cp1252"), "ISO-8859-1", True),
        (vcalendar(A.replace(":A", ":Café œuvre")).encode("cp1252"), "utf-8", True),
        (vcalendar(A.replace(":A", ":Café œuvre")).encode("cp1252"), "no-such-charset", True),
        (vcalendar(A.replace(":A", ":Café œuvre")).encode("iso8859-15"), "iso-8859-15", True),
        (vcalendar(A.replace(":A", ":Café œuvre")).encode("utf-16"), None, False),
        # Mixed: one line of another encoding leaves the others alone.
        (vcalendar(A.replace(":A", ":Café œuvre")).encode() + b"X:\xe9\r\n", None, True),
        # A fold in the middle of a character.
        (vcalendar(A.replace(":A", ":Café œuvre")).encode().replace(b"\xc5\x93", b"\xc5\r\n \x93"), None, False),
    ],
)
def test_accents_arrive_whatever_the_encoding(body: bytes, charset: str | None, repaired: bool):
    found = read_bytes(body, charset=charset)
    assert [event.title for event in found.events] == ["Café œuvre"]
    assert found.warnings == (["encoding_repaired"] if repaired else [])


def test_nul_and_lone_surrogates_never_reach_a_payload():
    body = vcalendar(A.replace(":A", ":A\x00B")).encode() + b"\xed\xa0\x80"
    event = read_bytes(body).events[0]
    assert event.title == "AB"
    assert "\x00" not in json.dumps(event.payload)


# Lines.


@pytest.mark.parametrize(
    "line",
    [
        "SUMMARY:Simple",
        "SUMMARY;LANGUAGE=fr:Avec: deux-points",
        'ATTENDEE;CN="Deux: points; et, virgule";ROLE=CHAIR:mailto:a@example.org',
        "DTSTART;TZID=America/Toronto;VALUE=DATE-TIME:20261205T190000",
        "X-A;B=:vide",
        'X-APPLE-STRUCTURED-LOCATION;VALUE=URI;X-TITLE="A\\nB":geo:1,2',
        "CATEGORIES:A,B\\,C",
        "ORGANIZER;CN=Ren^'e^':mailto:a@example.org",
    ],
)
def test_a_line_is_read_as_the_reference_library_reads_it(line: str):
    from icalendar.parser import Contentline

    name, params, value = (
        Contentline(line).raw_parts() if hasattr(Contentline, "raw_parts") else Contentline(line).parts()
    )
    prop = parse_line(line)
    assert prop is not None
    assert (prop.name, prop.value) == (name.upper(), value)
    assert {key: text.replace('"', "") for key, text in prop.params.items()} == {
        key.upper(): str(text).replace('"', "") for key, text in params.items()
    }


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
@example("A" * 50 + ";" * 50)
@example('A;B="' + 'x"' * 40)
def test_no_line_makes_the_reader_fail(line: str):
    prop = parse_line(line)
    assert prop is None or prop.name == prop.name.upper()


# Damage. Every VEVENT is stored, refused or left out for a reason that is counted; nothing raises.


def accounted(body: bytes, window: FetchWindow = WINDOW) -> None:
    """Read `body`; every UID in it must be stored, refused, outside the window, or counted in a warning."""
    pages = list(read_feed(body, feed="f", window=window, default_zone="America/Toronto", max_occurrences=730))
    records = [record for page in pages for record in page.records]
    for page in pages:
        Fetched().add(page)  # reads what is handed on
    named: set[str | None] = set()
    for record in records:
        json.dumps(record.payload, allow_nan=False).encode()
        if isinstance(record, Event):
            assert record.title
            assert record.start is not None
            assert len(record.source_id) < 500
            named.add(record.series_id or record.source_id)
        else:
            named.add(record.source_id)
            assert record.reason is not RejectReason.INVALID_VALUE, record.detail
    events = [read_event(raw, Zones(raw.calendar, "America/Toronto")) for raw in read_calendar(body).events]
    expected = {f"f:{identity(event, 'f')}" for event in events}
    told = {warning.code: warning.detail.rpartition(": ")[2] for page in pages for warning in page.warnings}
    left_out = sum(page.outside_window for page in pages)
    left_out += sum(int(told.get(code, 0)) for code in ("private_skipped", "not_a_publication", "events_dropped"))
    assert len(expected - named) <= left_out


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_random_damage_to_a_feed_loses_nothing_silently(seed: int, wounds: int):
    draw = random.Random(seed)
    body = bytearray((SAMPLES / "culture-mtl.ics").read_bytes())
    for _ in range(wounds):
        place = draw.randrange(len(body))
        match draw.randrange(4):
            case 0:
                body[place] = draw.randrange(256)
            case 1:
                del body[place : place + draw.randrange(60)]
            case 2:
                body[place:place] = draw.choice(
                    (b"\r\n", b"END:VEVENT\r\n", b"BEGIN:VEVENT\r\n", b":", b'"', b"\x00\xff", b"\\")
                )
            case _:
                source = draw.randrange(len(body))
                body[place:place] = body[source : source + draw.randrange(80)]
    accounted(bytes(body))


NAMES = st.sampled_from(
    [
        *("UID", "SUMMARY", "DTSTART", "DTSTART;TZID=Nulle part", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE"),
        *("RECURRENCE-ID", "RECURRENCE-ID;RANGE=THISANDFUTURE", "GEO", "LOCATION", "SEQUENCE", "CLASS", "STATUS"),
        *("URL", "ATTACH", "X-COST", "CATEGORIES", 'ORGANIZER;CN="x', "X-APPLE-STRUCTURED-LOCATION"),
    ]
)
VALUES = st.sampled_from(
    [
        *(
            "20261205T190000Z",
            "20261205",
            "99991231T235959",
            "00010101T000000",
            "PT1H",
            "-P1D",
            "P999999W",
            "1;2",
            "nan",
        ),
        *("FREQ=DAILY", "FREQ=MONTHLY;BYDAY=5FR", "FREQ=DAILY;UNTIL=99991231", "PRIVATE", "1e999;1e999", "\\,"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NAMES, st.one_of(st.text(max_size=20), VALUES)), max_size=12))
def test_random_properties_lose_nothing_silently(properties: list[tuple[str, str]]):
    lines = "\n".join(f"{name}:{value}" for name, value in properties)
    accounted(vcalendar(lines, A).encode("utf-8", "surrogatepass"))


def test_the_test_calendars_of_public_libraries_lose_nothing_silently():
    """They are a collection of everything that ever broke a reader of calendars."""
    import icalendar
    import recurring_ical_events

    files = [
        path for module in (icalendar, recurring_ical_events) for path in Path(module.__file__).parent.rglob("*.ics")
    ]
    if not files:
        pytest.skip("these builds of the libraries come without their tests")
    for path in files:
        body = path.read_bytes()
        years = sorted(int(year) for year in re.findall(rb"DTSTART[^:\n]*:((?:19|20)\d\d)", body)) or [2026]
        year = years[len(years) // 2]
        accounted(body, FetchWindow(date(year - 1, 1, 1), date(year + 2, 1, 1), "America/Toronto"))


# Size. The worst takes a second or two; without its bound it takes minutes, and the suite's time limit ends it.


@pytest.mark.parametrize(
    "body",
    [
        b"BEGIN:VCALENDAR\n" * 200_000,
        b"BEGIN:A\n" * 200_000 + b"END:B\n" * 200_000,
        b"BEGIN:VCALENDAR\nBEGIN:VEVENT\n" * 20_000,
        b"BEGIN:VEVENT\nEND:VCALENDAR\n" * 20_000,
        b"BEGIN:VCALENDAR\n" + b"\n" * 500_000,
        b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY" + b";A=B" * 300_000 + b":x\nEND:VEVENT\nEND:VCALENDAR",
        b'BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY;A="' + b'"' * 500_001 + b":x\nEND:VEVENT\nEND:VCALENDAR",
        b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261205\nSUMMARY:x\nCATEGORIES:" + b"," * 800_000 + b"\nEND:VEVENT",
        b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261205\nSUMMARY:x\nDESCRIPTION:" + b"<div>" * 150_000 + b"\nEND:VEVENT\n",
        vcalendar(A + "\nRDATE:" + ",".join(["20261206T190000"] * 40_000)).encode(),
        vcalendar(A + "\nLOCATION:" + "\\, ," * 200_000).encode(),
        vcalendar(*[A + "\nX-P:" + "x" * 90] * 3000).encode(),
    ],
)  # fmt: skip
def test_a_file_made_to_be_expensive_is_not(body: bytes):
    accounted(body)


def test_more_events_than_a_file_may_hold_are_counted_and_the_fetch_is_incomplete():
    body = vcalendar(A).encode() + b"BEGIN:VEVENT\nDTSTART:20200101\nEND:VEVENT\n" * MAX_EVENTS
    found = read_bytes(body)
    assert [event.title for event in found.events] == ["A"]
    assert found.warnings == ["events_dropped"]
    assert found.incomplete == [f"the feed 'f' has more than {MAX_EVENTS} events"]
    assert found.outside == MAX_EVENTS - 1


def test_an_event_larger_than_any_real_one_is_refused_without_its_text():
    found = read_bytes(vcalendar(A, f"{B}\nDESCRIPTION:{'x' * 1_100_000}").encode())
    assert [event.title for event in found.events] == ["A"]
    assert found.reasons == {"too_large": 1}
    assert len(json.dumps(found.rejected[0].payload)) < 1000


def test_a_large_feed_comes_in_pages():
    found = read(*[f"UID:{number}\nDTSTART;VALUE=DATE:20261205" for number in range(2500)])
    assert found.pages == 3
    assert len(found.events) == 2500


def test_ten_years_outside_the_window_come_in_pages_and_unread():
    lines = [f"UID:{number}\nSUMMARY:S\nDTSTART;VALUE=DATE:20160105" for number in range(2500)]
    body = vcalendar(*lines, A).encode()
    pages = list(read_feed(body, feed="f", window=WINDOW, default_zone="America/Toronto", max_occurrences=730))
    assert [len(page.outside) for page in pages] == [page.outside_window for page in pages] == [1000, 1000, 500]
    assert all(isinstance(record, Unread) for page in pages for record in page.outside)


def test_what_lies_outside_the_window_is_handed_on_as_it_would_be_read_inside():
    before = FetchWindow(date(2020, 1, 1), date(2021, 1, 1), "America/Toronto")
    body = (SAMPLES / "culture-mtl.ics").read_bytes()
    shown, handed_on = read_bytes(body), read_bytes(body, window=before)
    assert not handed_on.events
    alone = {event.source_id: event for event in shown.events if event.series_id is None}
    assert len(alone) > 10
    assert {key: handed_on.handed_on.get(key) for key in alone if "sha256-" not in key} == {
        key: event for key, event in alone.items() if "sha256-" not in key
    }


@pytest.mark.parametrize(
    ("lines", "handed_on"),
    [
        ("UID:x\nDTSTART;VALUE=DATE:20200105", {"f:x": "Événement 1"}),
        ("UID:a\\, b  c\nDTSTART;VALUE=DATE:20200105", {"f:a, b c": "Événement 1"}),
        (f"UID:{'x' * 300}\nDTSTART;VALUE=DATE:20200105", {f"f:{cleaned_uid('x' * 300)}": "Événement 1"}),
        ("UID:x\nDTSTART;VALUE=DATE:20200105\nSUMMARY: ", {"f:x": "missing_title"}),
        ("UID:x\nDTSTART;VALUE=DATE:20200105\nCLASS:PRIVATE", {"f:x": None}),
        ("UID: \nDTSTART;VALUE=DATE:20200105", {}),
        ("UID:x\nDTSTART;VALUE=DATE:20200105\nRRULE:FREQ=DAILY;COUNT=3", {}),
        ("UID:x\nRECURRENCE-ID:20270311T000000Z\nDTSTART:20200312T000000Z", {"f:x:20270311T000000Z": "Événement 1"}),
        (f"UID:x\nDTSTART;VALUE=DATE:20200105\nDESCRIPTION:{'x' * 1_100_000}", {"f:x": "too_large"}),
    ],
)
def test_which_events_outside_the_window_are_handed_on(lines: str, handed_on: dict[str, str | None]):
    found = read(lines)
    assert (found.events, found.rejected, found.outside) == ([], [], 1)
    assert {
        key: record.title if isinstance(record, Event) else record and record.reason
        for key, record in found.handed_on.items()
    } == handed_on


def test_a_series_and_its_override_in_different_calendars_of_a_file_belong_together():
    series = "UID:w\nSUMMARY:S\nDTSTART;VALUE=DATE:20270301\nRRULE:FREQ=DAILY;COUNT=2"
    override = "UID:w\nSUMMARY:O\nRECURRENCE-ID;VALUE=DATE:20270302\nDTSTART;VALUE=DATE:20270305"
    found = read_bytes((vcalendar(series) + vcalendar(override)).encode())
    assert starts(found) == ["03-01", "03-05"]
