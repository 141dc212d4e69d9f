"""Records that are no events, over all sources: each is kept with a reason, and none costs a neighbour."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from ingestion_assets.events.model import RejectReason
from tests.fakes import allevents, ckan, eventbrite, ics_server, lavitrine, meetup, ticketmaster
from tests.fakes._server import FaultPlan
from tests.ledger.invariants import assert_books_balance
from tests.pipeline.importing import Pipeline, assert_counted, truth_of
from tests.pipeline.services import SERVICES

MALFORMED = {
    "ticketmaster": (ticketmaster._broken, 100, 2_000),
    "meetup": (meetup._broken, 100, 1_500),
    "eventbrite": (eventbrite._broken, 100, 1_500),
    "allevents": (allevents.BAD_ITEMS, 100, 1_500),
    "lavitrine": (lavitrine.BAD_DETAILS, 60, 800),
    "lavitrine by pages": (None, 40, 400),
    "open_data_montreal": (ckan.BAD_ROWS, 100, 1_300),
    "ics": (ics_server.BAD_EVENTS, 100, 1_000),
}
"""How a fake breaks its records, and how many of them the default suite and the long one take: 700 and 10,000."""

assert sum(size for _, size, _ in MALFORMED.values()) == 700
assert sum(size for _, _, size in MALFORMED.values()) == 10_000


def _sizes(name: str) -> list[Any]:
    _, short, long = MALFORMED[name]
    return [(name, short), pytest.param(name, long, marks=pytest.mark.soak)]


BY_SIZE = [case for name in MALFORMED for case in _sizes(name)]


@pytest.mark.parametrize(("name", "malformed"), BY_SIZE)
def test_each_malformed_record_is_kept_with_its_reason_and_all_good_ones_are_stored(
    name: str, malformed: int, pipeline: Pipeline
) -> None:
    service = SERVICES[name]
    # A site is read page by page, 500 of them unless LAVITRINE_MAX_PAGES says more.
    good = 60 if malformed < 200 or "pages" in name else 500
    with service.make(good, malformed, FaultPlan.usual(2)) as fake:
        pipeline.load(fake)
        assert fake.truth(1).errors == malformed
        assert_counted(pipeline, service.source, fake.truth(1), service.days(fake))
        reasons = pipeline.reasons(service.source)
        assert reasons.total() == malformed
        if hasattr(fake, "reasons"):
            assert reasons == fake.reasons()
        else:
            assert len(reasons) > 1
        pipeline.load(fake)
        assert_counted(pipeline, service.source, fake.repeat_truth(1), service.days(fake))
    assert pipeline.job(service.source)["errors"] == dict(reasons)


# Damage without a known reason: whatever a record looks like, it is either stored or kept with a reason.

NASTY: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, 1.5, 1e308, "", " ", "\u200b", "null", "nan", "0", "-", "\x00", "a\x00b", "\ud800"),
    *("x" * 70_000, "é" * 3_000, "<script>alert(1)</script>", "'; DROP TABLE raw_events; --", "\u202egnirts", "%00"),
    *("2026-02-30", "2026-12-01T25:61:00", "0000-00-00", "99999-01-01", "2026-12-01T20:00:00+99:99", "1e9", "١٢"),
    *(
        [],
        {},
        [[]],
        [None],
        {"": None},
        {"id": {"id": 1}},
        ["a", 1, None],
        {"text": 5},
        {"local": "x"},
        {"\x00": "\x00"},
    ),
)


def _wild(value: Any, draw: random.Random) -> Any:
    """`value` with one to four of its parts replaced, removed or nested."""
    value = json.loads(json.dumps(value))
    for _ in range(draw.randint(1, 4)):
        holder: Any = value
        while isinstance(holder, dict) and holder:
            key = draw.choice(list(holder))
            if isinstance(holder[key], dict) and holder[key] and draw.random() < 0.6:
                holder = holder[key]
            elif draw.random() < 0.15:
                del holder[key]
                break
            else:
                holder[key] = draw.choice(NASTY)
                break
    return value


def _damage(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the fake break its records at random instead of in the ways that it knows."""
    draw = random.Random(count)
    how = MALFORMED[name][0]
    if callable(how):
        module: Any = {"ticketmaster": ticketmaster, "meetup": meetup, "eventbrite": eventbrite}[name]

        def broken(record: Any, number: int) -> tuple[Any, str]:
            wild = _wild(record, draw) if draw.random() < 0.95 else draw.choice(NASTY)
            return (json.dumps(wild).encode() if module is ticketmaster else wild), "whatever"

        monkeypatch.setattr(module, "_broken", broken)
    elif name == "ics":
        lines = (
            "SUMMARY",
            "DTSTART",
            "DTSTART;TZID=Mars/Phobos",
            "RRULE",
            "DURATION",
            "DTEND;VALUE=DATE",
            "GEO",
            "EXDATE",
        )
        values = [str(value).replace("\ud800", "\ufffd") for value in NASTY if not isinstance(value, dict | list)]
        bad = tuple(
            ("", "\n".join(f"{draw.choice(lines)}:{draw.choice(values)}" for _ in range(4))) for _ in range(count)
        )
        monkeypatch.setattr(ics_server, "BAD_EVENTS", bad)
    else:
        module, attribute, keys = {
            "allevents": (allevents, "BAD_ITEMS", list(allevents.event_item(1))),
            "lavitrine": (lavitrine, "BAD_DETAILS", list(lavitrine.detail("Event", 1))),
            "open_data_montreal": (ckan, "BAD_ROWS", list(ckan.COLUMNS)),
        }[name]
        wild = tuple(
            ("", {draw.choice(keys): draw.choice(NASTY) for _ in range(draw.randint(1, 4))}) for _ in range(count)
        )
        monkeypatch.setattr(module, attribute, wild)


FUZZED = [name for name in MALFORMED if name != "lavitrine by pages"]


@pytest.mark.parametrize("name", FUZZED)
@pytest.mark.parametrize("count", [60, pytest.param(1_500, marks=pytest.mark.soak)])
def test_whatever_a_record_looks_like_it_is_stored_or_kept_with_a_reason(
    name: str, count: int, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = SERVICES[name]
    _damage(name, count, monkeypatch)
    with service.make(50, count, None) as fake:
        result = pipeline.load(fake)
        good = service.days(fake)
    counts = truth_of(result.counts)
    stored = pipeline.days(service.source)
    assert len(good) >= 50
    assert {key: stored.get(key) for key in good} == good
    assert counts.created == len(stored)
    assert counts.errors == pipeline.reasons(service.source).total() > 0
    assert set(pipeline.reasons(service.source)) <= {reason.value for reason in RejectReason}
    assert_books_balance(pipeline.database)
    assert pipeline.job(service.source)["status"] == "SUCCESS"
