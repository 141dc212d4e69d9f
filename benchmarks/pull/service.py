"""The service that everybody pulls from: one list an organizer, three organizers, 200 events a page."""

from __future__ import annotations

from datetime import date, timedelta

from benchmarks._eventbrite import WINDOW
from ingestion_assets.events.sources.eventbrite_api import EXPANSIONS
from tests.fakes.eventbrite import ORGANIZERS, TOKEN

PAGE_SIZE = 200
FACTORY = "benchmarks._eventbrite:WideEventbrite"

__all__ = ["FACTORY", "ORGANIZERS", "PAGE_SIZE", "TOKEN", "WINDOW", "parameters"]


def parameters() -> dict[str, str]:
    """What is asked of a list: what ours asks, so that every client gets the same answers, made once."""
    begin, end = (date.fromisoformat(day) for day in WINDOW)
    return {
        "status": "all",
        "order_by": "start_asc",
        "start_date.range_start": f"{begin - timedelta(days=1)}T00:00:00",
        "start_date.range_end": f"{end + timedelta(days=1)}T00:00:00",
        "expand": ",".join(EXPANSIONS),
        "page_size": str(PAGE_SIZE),
    }
