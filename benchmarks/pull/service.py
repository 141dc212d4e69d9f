"""The service that everybody pulls from: one list an organizer, three organizers, 200 events a page."""

from __future__ import annotations

from benchmarks._eventbrite import WINDOW
from tests.fakes.eventbrite import ORGANIZERS, TOKEN

PAGE_SIZE = 200
EXPAND = "venue,organizer,category,subcategory,format,event_sales_status,ticket_availability"
FACTORY = "benchmarks._eventbrite:WideEventbrite"

__all__ = ["EXPAND", "FACTORY", "ORGANIZERS", "PAGE_SIZE", "TOKEN", "WINDOW", "parameters"]


def parameters() -> dict[str, str]:
    """What is asked of a list: the same of every client."""
    return {
        "status": "all",
        "order_by": "start_asc",
        "start_date.range_start": f"{WINDOW[0]}T00:00:00",
        "start_date.range_end": f"{WINDOW[1]}T00:00:00",
        "expand": EXPAND,
        "page_size": str(PAGE_SIZE),
    }
