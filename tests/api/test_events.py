from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime, time, timedelta

import httpx
import icalendar
import pytest

from resources.postgres.database import Database
from tests.api.conftest import Calls
from tests.api.seeds import add_event, add_many, days

DAY = date(2026, 12, 4)


def ids(reply: object) -> list[str]:
    return [event["id"] for event in reply.json()["events"]]  # type: ignore[attr-defined]


def test_pages_together_are_the_whole_list_in_order_even_when_events_are_added_between(
    api: Calls, database: Database
) -> None:
    for number, day in enumerate(days(DAY, 5)):
        add_event(database, f"late-{number}", day=day, at=time(20))
        add_event(database, f"early-{number}", day=day, at=time(9))
        add_event(database, f"whole-{number}", day=day, at=None)

    async def pages(client: object) -> list[str]:
        seen: list[str] = []
        cursor = None
        while True:
            reply = await client.get("/events", params={"limit": 4, **({"cursor": cursor} if cursor else {})})  # type: ignore[attr-defined]
            seen += ids(reply)
            cursor = reply.json()["next_cursor"]
            if cursor is None:
                return seen
            if len(seen) == 4:  # before what was read: not seen; after it: seen once
                add_event(database, "added-before", day=DAY - timedelta(days=1))
                add_event(database, "added-after", day=DAY + timedelta(days=9))

    seen = api(pages)
    expected = [f"{part}-{n}" for n in range(5) for part in ("whole", "early", "late")]
    assert seen == [*expected, "added-after"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("from=2026-12-05", ["b", "c"]),
        ("to=2026-12-04", ["a"]),
        ("from=2026-12-04&to=2026-12-05", ["a", "b"]),
        ("city=montreal", ["a", "c"]),
        ("city=MONTRÉAL&city=laval", ["a", "b", "c"]),
        ("type=concert", ["a", "b"]),
        ("genre=jazz&genre=rock", ["a", "b"]),
        ("genre=jazz&audience=family", []),
        ("audience=family", ["c"]),
        ("tag=family&tag=jazz", ["a", "c"]),
        ("source=meetup", ["b"]),
        ("q=eleve+ECOLE", ["c"]),
        ("q=100%25", ["b"]),
        ("q=_", []),
        ("withdrawn=true", ["a", "b", "c", "gone"]),
        ("q=%27%3B+DROP+TABLE+users", []),
    ],
)
def test_filters_choose(api: Calls, database: Database, query: str, expected: list[str]) -> None:
    add_event(database, "a", day=DAY, tags={"type": "concert", "genres": ["jazz"]})
    add_event(
        database,
        "b",
        day=DAY + timedelta(days=1),
        title="100% rock!",
        city="Laval",
        sources=("ics", "meetup"),
        tags={"type": "concert", "genres": ["rock"]},
    )
    add_event(
        database,
        "c",
        day=DAY + timedelta(days=2),
        title="L'École des élèves",
        tags={"type": "theatre", "audience": ["family"]},
    )
    add_event(database, "gone", day=DAY + timedelta(days=3), withdrawn=True, city="Québec")
    assert ids(api.get(f"/events?{query}")) == expected


def test_what_began_earlier_and_is_still_on_is_listed_until_it_ends(api: Calls, database: Database) -> None:
    begun = DAY - timedelta(days=13)
    add_event(database, "show", day=begun, at=None, end={"date": "2027-01-10"})
    add_event(database, "last-day", day=begun, end={"date": "2026-12-04", "time": "17:00:00"})
    add_event(database, "over", day=begun, at=None, end={"date": "2026-12-03"})
    add_event(database, "until-midnight", day=DAY - timedelta(days=1), end={"date": "2026-12-04", "time": "00:00:00"})
    add_event(
        database, "night", day=DAY - timedelta(days=1), at=time(23), end={"date": "2026-12-04", "time": "03:00:00"}
    )
    add_event(database, "no-end", day=begun)
    add_event(database, "new", day=DAY, end={"date": "2026-12-04", "time": "23:00:00"})
    expected = ["show", "last-day", "night", "new"]
    assert ids(api.get("/events?from=2026-12-04")) == expected
    assert ids(api.get("/events?from=2026-12-05&to=2026-12-05")) == ["show"]
    first = api.get("/events?from=2026-12-04&limit=2")
    rest = api.get("/events", params={"from": "2026-12-04", "cursor": first.json()["next_cursor"]})
    assert ids(first) + ids(rest) == expected
    feed = api.get("/events.json?from=2027-01-10").json()
    assert [item["id"] for item in feed["items"]] == ["show"]


@pytest.mark.parametrize(
    "word", ["(x)*", "a.c", "[a", "b]", "^$|", "{2}", "\\d", "***:", "हिन्दी", "ŒUVRE", "É́té", "naîve"]
)
def test_a_word_means_itself_however_it_is_accented(api: Calls, database: Database, word: str) -> None:
    add_event(database, "a", day=DAY, title="Something else: abc, bb, 5, aax")
    add_event(database, "b", day=DAY, title=f"Before{word.lower()}after")
    assert ids(api.get("/events", params={"q": word})) == ["b"]


def test_a_word_that_occurs_nowhere_is_looked_for_in_time(api: Calls, database: Database) -> None:
    add_many(database, 4000, day=DAY)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE deduplicated_events SET event = jsonb_build_object('description', repeat('Une soirée d''été. ', 200))"
        )

    async def search(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get("/events?q=chouette")

    assert ids(api(search, statement_seconds=1.5)) == []


def test_a_merged_event_leads_to_the_end_of_its_chain(api: Calls, database: Database) -> None:
    add_event(database, "last", day=DAY)
    add_event(database, "middle", day=DAY, replaced_by="last")
    add_event(database, "first", day=DAY, replaced_by="middle")
    reply = api.get("/events/first")
    assert (reply.status_code, reply.headers["location"], reply.json()["replaced_by"]) == (301, "/events/last", "last")
    assert ids(api.get("/events")) == ["last"]
    assert api.get("/events/last").status_code == 200
    assert api.get("/events/never").status_code == 404


def test_an_unchanged_list_is_not_sent_again(api: Calls, database: Database) -> None:
    add_event(database, "a", day=DAY)
    first = api.get("/events")
    again = api.get("/events", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    add_event(database, "b", day=DAY)
    assert api.get("/events", headers={"If-None-Match": first.headers["etag"]}).status_code == 200


@pytest.mark.parametrize("cursor", ["x", "W10", "WyIyMDI2LTEyLTA0VDIwOjAwOjAwKzAwOjAwIiwiYSJd", "é", "WzEsMl0"])
def test_a_cursor_that_was_not_given_out_is_refused(api: Calls, cursor: str) -> None:
    reply = api.get("/events", params={"cursor": cursor})
    assert (reply.status_code, reply.headers["content-type"]) == (400, "application/problem+json")


def test_events_can_be_kept_for_users(api: Calls, ada: dict[str, str]) -> None:
    async def ask(client: object) -> tuple[int, int, int]:
        replies = [
            await client.get(path, headers=h) for path, h in (("/events", {}), ("/events.ics", {}), ("/events", ada))
        ]  # type: ignore[attr-defined]
        return tuple(reply.status_code for reply in replies)  # type: ignore[return-value]

    assert api(ask, public_events=False) == (401, 401, 200)


HOSTILE = 'A & B <script>alert(1)</script> ]]> \x0b "q"; x, y\\z\r\nATTACH:http://evil.example'


def _hostile(database: Database) -> date:
    today = datetime.now(UTC).date() + timedelta(days=2)
    add_event(
        database,
        "hostile",
        day=today,
        title=HOSTILE,
        description="line one\nEND:VEVENT\n<b>bold</b>",
        url="javascript:alert(1)",
        image_url="data:text/html,x",
        venue={"name": "Café & Cie", "lat": 45.5, "lon": -73.6},
        tags={"type": "concert", "genres": ["jazz"]},
    )
    add_event(database, "whole-day", day=today, at=None, title="Salon", end={"date": str(today + timedelta(days=1))})
    return today


def test_text_of_others_stays_text_in_the_calendar(api: Calls, database: Database) -> None:
    today = _hostile(database)
    reply = api.get("/events.ics")
    assert reply.headers["content-type"] == "text/calendar; charset=utf-8"
    calendar = icalendar.Calendar.from_ical(reply.text)
    whole, hostile = sorted(calendar.walk("VEVENT"), key=lambda e: str(e["UID"]), reverse=True)
    assert [str(e["UID"]) for e in (whole, hostile)] == ["whole-day@127.0.0.1", "hostile@127.0.0.1"]
    assert "ATTACH" not in hostile
    assert "URL" not in hostile
    assert "ATTACH:http://evil.example" in str(hostile["SUMMARY"])
    assert str(hostile["DESCRIPTION"]).endswith("END:VEVENT\n<b>bold</b>")
    assert (whole["DTSTART"].dt, whole["DTEND"].dt) == (today, today + timedelta(days=2))
    assert hostile["DTSTART"].dt.tzinfo is not None


def test_text_of_others_stays_text_in_rss(api: Calls, database: Database) -> None:
    _hostile(database)
    reply = api.get("/events.rss")
    root = ET.fromstring(reply.content)
    [item] = [item for item in root.iter("item") if item.findtext("guid") == "hostile"]
    assert "<script>alert(1)</script>" in (item.findtext("title") or "")
    assert "&lt;b&gt;bold" in (item.findtext("description") or "")
    assert item.find("link") is None


def test_the_json_feed_holds_whole_events_and_no_links_that_run(api: Calls, database: Database) -> None:
    _hostile(database)
    feed = api.get("/events.json").json()
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    item = next(item for item in feed["items"] if item["id"] == "hostile")
    assert "url" not in item
    assert "image" not in item
    assert item["_event"]["title"] == HOSTILE
    assert json.dumps(item["tags"]) == '["concert", "jazz"]'


@pytest.mark.parametrize(
    ("path", "entry", "most"), [("ics", "BEGIN:VEVENT", 5000), ("json", '"_event"', 5000), ("rss", "<item>", 500)]
)
def test_a_feed_that_does_not_hold_everything_says_where_the_rest_is(
    api: Calls, database: Database, path: str, entry: str, most: int
) -> None:
    add_many(database, most + 3, day=datetime.now(UTC).date() + timedelta(days=2))
    first = api.get(f"/events.{path}?withdrawn=false")
    assert first.text.count(entry) == most
    rest = first.links["next"]["url"]
    assert "withdrawn=false" in rest
    last = api.get(rest)
    assert last.text.count(entry) == 3
    assert "next" not in last.links
    if path == "json":
        assert first.json()["next_url"] == rest
        assert "next_url" not in last.json()
        ids = [item["id"] for reply in (first, last) for item in reply.json()["items"]]
        assert ids == [f"many-{n}" for n in range(1, most + 4)]


def test_a_feed_leads_home_and_a_long_question_is_refused_by_its_characters(api: Calls) -> None:
    home = api.get("/events.json").json()["home_page_url"]
    assert home == ET.fromstring(api.get("/events.rss").content).findtext("channel/link")
    assert api.get(home).status_code == 200
    reply = api.get("/events", params={"q": "x" * 201})
    assert (reply.status_code, reply.json()["detail"]) == (422, "q: should have at most 200 characters")
