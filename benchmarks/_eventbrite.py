"""The fake Eventbrite with records as wide as the service's own, of about 3 KB.

The fake of the tests holds what our parser reads. A real event object says more: seating and checkout flags, the crop
of the picture, links of its parts, addresses by line. A peer that makes a column of every value pays for each of them,
so a fair comparison has them. Names of the fields as in the service's answers; the values are ours.
"""

from __future__ import annotations

import random
from typing import Any

from tests.fakes._server import Answer, Request
from tests.fakes.eventbrite import FakeEventbrite, Row

FIRST_DAY, DAYS = "2026-11-16", 28
WINDOW = ("2026-11-16", "2026-12-14")
"""Local start dates of the records, the end exclusive: four whole weeks."""

_API = "https://www.eventbriteapi.com/v3"
_FLAGS: dict[str, Any] = {
    "privacy_setting": "unlocked",
    "source": "coyote",
    "version": None,
    "tx_time_limit": 1200,
    "show_seatmap_thumbnail": False,
    "show_colors_in_seatmap_thumbnail": False,
    "show_pick_a_seat": False,
    "is_reserved_seating": False,
    "is_externally_ticketed": False,
    "is_locked": False,
    "inventory_type": "limited",
    "facebook_event_id": None,
    "subcategory_id": None,
    "format_id": "9",
}
_WORDS = [
    "atelier",
    "soirée",
    "concert",
    "marché",
    "quartier",
    "famille",
    "musique",
    "jardin",
    "evening",
    "workshop",
    "été",
]


class WideEventbrite(FakeEventbrite):
    """The fake of the tests with `count` events over four weeks, their records widened.

    An answer is made once a pass. It stands for a service on another machine: one that builds its pages anew on this
    one empties the caches of the processor between two pages, and the client seems to work slower than it does.
    """

    def __init__(self, *, count: int) -> None:
        super().__init__(count=count, start=FIRST_DAY, days=DAYS)
        self._answers: dict[tuple[Any, ...], Answer] = {}

    def answer(self, request: Request) -> Answer:
        asked = (request.headers.get("authorization"), request.path, *sorted(request.query.items()))
        key = (self.current_pass, *asked)
        if key not in self._answers:
            self._answers[key] = super().answer(request)
        return self._answers[key]

    def rows(self) -> list[Row]:
        known = self.current_pass in self._made
        rows = super().rows()
        if not known:
            for row in rows:
                widen(row.fields)
        return rows


def widen(fields: dict[str, Any]) -> None:
    """Give one record the fields that the service has and the tests do not need."""
    key = fields["id"]
    summary = " ".join(random.Random(key).choices(_WORDS, k=18)).capitalize() + "."
    fields |= _FLAGS
    # The service repeats the summary in the description.
    fields |= {"summary": summary, "description": {"text": summary, "html": summary}}
    fields["logo"] |= {
        "crop_mask": {"top_left": {"x": 0, "y": 33}, "width": 2160, "height": 1080},
        "aspect_ratio": "2",
        "edge_color": "#eee8d8",
        "edge_color_set": True,
    }
    fields["organizer"] |= {
        "description": {"text": "Un lieu de rencontre.", "html": "<p>Un lieu de rencontre.</p>"},
        "url": f"https://www.eventbrite.ca/o/{fields['organizer_id']}",
        "num_future_events": 3,
        "resource_uri": f"{_API}/organizers/{fields['organizer_id']}/",
    }
    fields["category"] |= {
        "resource_uri": f"{_API}/categories/103/",
        "name_localized": "Musique",
        "short_name": "Music",
    }
    fields["format"] |= {"resource_uri": f"{_API}/formats/9/", "name_localized": "Cours", "short_name": "Class"}
    fields["ticket_availability"] |= {"start_sales_date": fields["start"], "waitlist_available": False}
    if fields["venue"]:
        lines = ["100 rue Sainte-Catherine", "Montréal, QC H2X 1K4"]
        fields["venue"] |= {
            "resource_uri": f"{_API}/venues/{fields['venue_id']}/",
            "age_restriction": None,
            "capacity": None,
        }
        fields["venue"]["address"] |= {
            "latitude": "45.5017",
            "longitude": "-73.5673",
            "localized_area_display": "Montréal, QC",
            "localized_multi_line_address_display": lines,
        }
