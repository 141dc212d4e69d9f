"""Calendars over HTTP and from files, through the real client: what a fetch brings, and what it does when one fails."""

import logging
from base64 import b64encode
from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from ingestion_assets.events.model import Event, EventStatus, FetchWindow
from ingestion_assets.events.sources.ics import MAX_BODY, IcsSettings, IcsSource
from ingestion_assets.events.sources.ics.settings import parse_feeds
from resources.errors import PermanentError, TransientError
from resources.http import MemoryCache, OutboundClient
from tests.fakes._server import Answer, FaultPlan, Request, Truth
from tests.fakes.fetching import WINDOW, Fetched, build, count, fetch, fetch_from
from tests.fakes.ics_server import FakeIcs, vcalendar

VOLATILE = IcsSource.volatile_paths
SAMPLES = Path(__file__).parents[2] / "samples"
CONCERT = "UID:c1\nSUMMARY:Concert\nDTSTART;TZID=America/Toronto:20261205T190000"


def fetch_feeds(service: FakeIcs, **feeds: str) -> Fetched:
    """One fetch of the named paths of the fake."""
    return fetch_from(service, ICS_FEEDS=",".join(f"{name}={service.origin}{path}" for name, path in feeds.items()))


def test_counts_are_the_known_truth_over_two_passes_under_faults():
    with FakeIcs(events=300, series=8, bad=6, faults=FaultPlan.usual(seed=5)) as service:
        first = fetch_from(service)
        service.advance_to_pass(2)
        second = fetch_from(service)
        again = fetch_from(service)
        assert count(Fetched(), first, VOLATILE) == service.truth(1) == Truth(created=380, errors=6)
        assert count(first, second, VOLATILE) == service.truth(2) == Truth(created=6, updated=30, skipped=350, errors=6)
        assert count(second, again, VOLATILE) == service.repeat_truth(2)
        assert [*first.incomplete, *second.incomplete, *again.incomplete] == []
        assert service.early == []


@pytest.mark.parametrize("seed", range(6))
def test_every_mix_of_faults_is_survived_without_a_record_lost(seed: int):
    with FakeIcs(events=40, bad=3, faults=FaultPlan.usual(seed=seed)) as service:
        for _ in range(4):
            assert count(Fetched(), fetch_from(service), VOLATILE) == service.truth(1)


def test_a_feed_is_asked_for_as_often_as_other_services_are():
    class Busy(FakeIcs):
        def answer(self, request: Request) -> Answer:
            return Answer(status=503) if len(self.requests) < 7 else super().answer(request)

    with Busy(events=5, series=0, bad=0) as service:
        found = fetch_feeds(service, agenda="/agenda.ics")
        asked = len(service.requests)
    assert asked == 8
    assert len(found.events) == 5
    assert found.incomplete == []


def test_an_unchanged_file_is_not_sent_again_and_gives_the_same_events():
    with FakeIcs(events=20) as service:
        source = build("ics", service.environment())
        cache = MemoryCache()
        found = []
        for _ in range(2):
            with OutboundClient(
                source.policy, allow_private=True, cache=cache, clock=service.clock.monotonic, sleep=service.clock.sleep
            ) as client:
                found.append([record for page in source.fetch(WINDOW, client) for record in page.records])
        assert [line.status for line in service.requests] == [200, 304]
        assert found[0] == found[1]
        service.advance_to_pass(2)
        with OutboundClient(
            source.policy, allow_private=True, cache=cache, clock=service.clock.monotonic, sleep=service.clock.sleep
        ) as client:
            changed = [record for page in source.fetch(WINDOW, client) for record in page.records]
        assert service.requests[-1].status == 200
        assert changed != found[0]


def test_a_moved_feed_is_followed():
    with FakeIcs(events=5, series=0, bad=0) as service:
        assert len(fetch_feeds(service, culture="/moved/agenda.ics").events) == 5


def test_the_user_and_password_of_an_address_are_sent_as_a_header_and_shown_nowhere():
    class Closed(FakeIcs):
        def answer(self, request: Request) -> Answer:
            expected = "Basic " + b64encode("léa:pass/wörd@1".encode()).decode()
            if request.headers.get("authorization") != expected:
                return Answer(status=401, body=b"who are you?", content_type="text/plain")
            return super().answer(request)

    with Closed(events=5, series=0, bad=0) as service:
        host = service.origin.removeprefix("http://")
        for address in (f"http://l%C3%A9a:pass%2Fw%C3%B6rd%401@{host}", f"http://léa:pass%2Fwörd%401@{host}"):
            assert len(fetch_from(service, ICS_FEEDS=f"a={address}/agenda.ics").events) == 5
        assert all("@" not in line.request.headers["host"] for line in service.requests)
        with pytest.raises(PermanentError) as refused:
            fetch_from(service, ICS_FEEDS=f"a=http://lea:pass-canary@{host}/agenda.ics")
    assert "401" in str(refused.value)
    assert "canary" not in str(refused.value)


def test_the_charset_of_the_answer_reads_the_lines_that_are_not_utf_8():
    body = vcalendar("UID:1\nSUMMARY:Žižkov\nDTSTART:20261205T190000").encode("cp1250")
    with FakeIcs(files={"/a.ics": body}, charset="windows-1250") as service:
        found = fetch_feeds(service, a="/a.ics")
    assert [event.title for event in found.events] == ["Žižkov"]
    assert found.warnings == ["encoding_repaired"]


def test_one_feed_that_fails_costs_only_itself_and_the_fetch_is_incomplete():
    with FakeIcs(events=5, series=0, bad=0) as service:
        found = fetch_feeds(service, gone="/status/404", agenda="/agenda.ics")
    assert len(found.events) == 5
    assert found.warnings == ["feed_failed"]
    assert found.incomplete == ["feeds that could not be read: gone"]


def test_a_fetch_of_which_every_feed_fails_raises_and_is_transient_if_any_may_recover():
    with FakeIcs() as service:
        with pytest.raises(PermanentError, match=r"none of the 2 feeds.*a: .*404.*b: .*410"):
            fetch_feeds(service, a="/status/404", b="/status/410")
        with pytest.raises(TransientError, match="none of the 2 feeds"):
            fetch_feeds(service, a="/status/404", b="/status/503")


def test_a_page_instead_of_a_calendar_is_asked_for_again_and_then_refused_as_one_record():
    page = b"\n<!DOCTYPE html><html><body>Connexion</body></html>"
    with FakeIcs(files={"/login": page, "/ok.ics": vcalendar(CONCERT).encode()}) as service:
        found = fetch_feeds(service, login="/login", ok="/ok.ics")
        asked = [line for line in service.requests if line.request.path == "/login"]
    assert len(asked) > 1
    assert found.reasons == {"unparsable": 1}
    assert "Connexion" in found.rejected[0].payload["start"]
    assert found.warnings == ["feed_unparsable"]
    assert len(found.incomplete) == 1
    assert [event.title for event in found.events] == ["Concert"]


def test_feeds_with_the_same_uid_stay_apart():
    body = vcalendar(CONCERT).encode()
    with FakeIcs(files={"/a.ics": body, "/b.ics": body}) as service:
        found = fetch_feeds(service, a="/a.ics", b="/b.ics")
    assert [event.source_id for event in found.events] == ["a:c1", "b:c1"]


def test_the_address_of_a_private_calendar_is_in_no_error_or_log(caplog: pytest.LogCaptureFixture):
    secret = "private-0123456789abcdef0123456789abcdef"
    caplog.set_level(logging.DEBUG)
    with FakeIcs() as service:
        source = build("ics", {"ICS_FEEDS": f"mine={service.origin}/calendar/{secret}/basic.ics"})
        with pytest.raises(PermanentError) as failure:
            fetch(source, clock=service.clock)
    assert "mine" in str(failure.value)
    assert secret not in str(failure.value) + repr(source.settings) + repr(source.settings.feed_list) + caplog.text


# Files.


def test_the_samples_hold_what_they_promise():
    feeds = f"culture={SAMPLES / 'culture-mtl.ics'}\nquartier={SAMPLES / 'quartier-latin1.ics'}"
    found = fetch(build("ics", {"ICS_FEEDS": feeds}))
    assert len(found.by_id) == len(found.events) == 58
    assert found.reasons == {"missing_start": 1, "invalid_start": 1, "invalid_recurrence": 1, "too_many_occurrences": 1}
    assert sum(event.status is EventStatus.CANCELLED for event in found.events) == 2
    assert sum("zone_assumed" in event.warnings for event in found.events) == 6
    assert found.by_id["quartier:2026-032@quartier.example"].title == "Soirée d'impro à l'Écurie"
    assert not found.incomplete
    jam = [event for event in found.events if event.series_id == "culture:jam-mercredi@culture-mtl.example"]
    days = sorted(event.start.date for event in jam if event.start)
    assert len(days) == 13  # 15 Wednesdays, two of them left out
    assert date(2027, 1, 7) in days
    assert date(2027, 1, 6) not in days


def test_the_samples_are_stored_the_same_whatever_the_window():
    feeds = {"ICS_FEEDS": f"culture={SAMPLES / 'culture-mtl.ics'}"}
    whole = fetch(build("ics", feeds)).by_id
    by_week: dict[str, Event] = {}
    for week in range(15):
        start = date.fromordinal(WINDOW.start.toordinal() + 7 * week)
        found = fetch(
            build("ics", feeds), window=FetchWindow(start, date.fromordinal(start.toordinal() + 7), WINDOW.zone)
        )
        assert not by_week.keys() & found.by_id.keys()
        by_week |= found.by_id
    assert by_week == whole


def test_a_file_that_is_missing_or_too_large_is_refused_by_its_feed_name(tmp_path: Path):
    with pytest.raises(PermanentError, match=r"'lost' cannot be read: No such file"):
        fetch(build("ics", {"ICS_FEEDS": f"lost={tmp_path / 'none.ics'}"}))
    large = tmp_path / "large.ics"
    with large.open("wb") as file:
        file.truncate(MAX_BODY + 1)
    with pytest.raises(PermanentError, match=r"'large' is larger than 20971520 bytes"):
        fetch(build("ics", {"ICS_FEEDS": f"large={large}"}))


# Settings.


def test_without_feeds_the_source_is_off_and_says_what_to_set():
    settings = build("ics", {"ICS_FEEDS": ""}).settings
    assert settings.missing() == ["ICS_FEEDS"]
    assert build("ics", {"ICS_FEEDS": "a=b.ics"}).settings.missing() == []
    with pytest.raises(PermanentError, match="ICS_FEEDS"):
        fetch(IcsSource(settings))


def test_feeds_are_named_by_commas_or_lines_and_webcal_is_https():
    feeds = parse_feeds(
        "a=webcal://example.org/x.ics, b=https://example.org/q?cats=1,2&x=y\nc = samples/culture-mtl.ics\n\n,"
        "d=http://127.0.0.1:8000/d.ics,e_2-x=WEBCALS://example.org/e"
    )
    assert [(feed.name, feed.location) for feed in feeds] == [
        ("a", "https://example.org/x.ics"),
        ("b", "https://example.org/q?cats=1,2&x=y"),
        ("c", "samples/culture-mtl.ics"),
        ("d", "http://127.0.0.1:8000/d.ics"),
        ("e_2-x", "https://example.org/e"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://example.org/a.ics", r"entry 1 \(.*write name=URL-or-path"),
        ("a=x.ics,a=y.ics", "entry 2: the name 'a' is given twice"),
        ("a=x.ics,b=", r"entry 2 \('b'\): the address is empty"),
        ("=x.ics", r"entry 1 \(''\): write name="),
        ("Été=x.ics", r"entry 1 \('Été'\): write name="),
        ("a=ftp://example.org/x.ics", "ftp: is not supported"),
        ("a=file:///etc/passwd", "file: is not supported"),
        ("a=https:///x.ics", "names no host"),
        ("a=https://[::1/x.ics", "names no host"),
        ("a=x.ics, Bad Name=y.ics", "entry 2 \\('Bad Name'\\)"),
        ("a=https://example.org/x.ics,https://example.org/y.ics", "entry 2 .*write name="),
        ("a=x.ics\njust-a-name", "entry 2 .*write name="),
    ],
)
def test_a_malformed_entry_is_named(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse_feeds(text)
    with pytest.raises(ValidationError, match=message):
        IcsSettings.model_validate({"ICS_FEEDS": text})


def test_an_error_in_the_settings_does_not_show_an_address():
    text = "good=https://example.org/private-123456/basic.ics,Bad Name=https://example.org/private-abcdef/basic.ics"
    with pytest.raises(ValueError, match="entry 2") as failure:
        parse_feeds(text)
    assert "private" not in str(failure.value)
    with pytest.raises(ValidationError) as invalid:
        build("ics", {"ICS_FEEDS": text})
    assert "private" not in str(invalid.value)


def test_the_default_zone_is_made_canonical_and_an_unknown_one_is_refused():
    assert (
        IcsSettings.model_validate({"ICS_DEFAULT_TIMEZONE": "America/Montreal"}).default_timezone == "America/Toronto"
    )
    with pytest.raises(ValidationError, match="no known time zone: 'Mars/Olympus'"):
        IcsSettings.model_validate({"ICS_DEFAULT_TIMEZONE": "Mars/Olympus"})
