"""A record that cannot be read any more is refused under the id that its event is known by: it is not gone."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ingestion_assets.events.model import RejectedRecord
from ingestion_assets.events.sources.jsonld import read_html
from ingestion_assets.events.sources.schema_event import Rules
from tests.fakes._server import Answer, FakeService, Request, json_answer
from tests.fakes.allevents import FakeAllEvents
from tests.fakes.eventbrite import FakeEventbrite
from tests.fakes.fetching import WINDOW, fetch_from
from tests.fakes.lavitrine import FakeLaVitrine
from tests.fakes.meetup import FakeMeetup
from tests.fakes.ticketmaster import FakeTicketmaster

PAGE = "https://salle.example/spectacles/bal"
LARGE = "x" * 1_100_000
"""A picture pasted into a description."""


def first_meetup(body: Any) -> Any:
    edges = body["data"]["groupByUrlname"]["events"]["edges"]
    return edges[0]["node"] if edges else None


SERVICES: list[tuple[Callable[[], FakeService], Callable[[Any], Any]]] = [
    (lambda: FakeAllEvents(events=20, bad=0), lambda body: body["data"][0]),
    (lambda: FakeEventbrite(count=20), lambda body: body["events"][0] if body.get("events") else None),
    (lambda: FakeMeetup(count=20, groups=1), first_meetup),
    (lambda: FakeTicketmaster(count=20), lambda body: body.get("_embedded", {}).get("events", [None])[0]),
    (lambda: FakeLaVitrine(events=20, bad=0), lambda body: body if isinstance(body, dict) else None),
]


@pytest.mark.parametrize(
    ("build", "find"), SERVICES, ids=["allevents", "eventbrite", "meetup", "ticketmaster", "lavitrine"]
)
def test_a_record_that_has_grown_too_large_keeps_its_id(build: Callable[[], FakeService], find: Callable[[Any], Any]):
    with build() as service:
        before = fetch_from(service)
        healthy = service.answer

        def swollen(request: Request) -> Answer:
            body = json.loads(healthy(request).body)
            record = find(body)
            if record is not None:
                record["description"] = LARGE
            return json_answer(body)

        service.answer = swollen  # type: ignore[method-assign]
        after = fetch_from(service)
    assert not before.rejected
    assert set(after.reasons) == {"too_large"}
    assert {record.source_id for record in after.rejected} == set(before.by_id) - set(after.by_id)


@pytest.mark.parametrize("named", [{}, {"url": PAGE}, {"url": "/spectacles/bal?utm_source=infolettre"}])
def test_a_page_whose_data_broke_is_refused_under_the_id_of_its_event(named: dict[str, str]):
    node = {"@type": "Event", "name": "Bal", "startDate": "2026-12-05T19:30:00-05:00", **named}
    good = json.dumps(node)
    event, broken = (
        read_html(f'<script type="application/ld+json">{block}</script>', window=WINDOW, rules=Rules(page_url=PAGE))
        for block in (good, good.replace("Bal", 'Le "Bal"'))
    )
    [record] = event.records
    [refused] = broken.records
    assert isinstance(refused, RejectedRecord)
    assert (refused.reason, refused.source_id) == ("unparsable", record.source_id)
