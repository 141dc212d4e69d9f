from datetime import date, time

import pytest

from ingestion_assets.events.deduplication.records import Record


@pytest.fixture
def sighting():
    """A record with the habits of a Montréal venue; name what matters."""
    serial = 0

    def make(title: str, *, source: str = "a", day: str = "2026-03-05", clock: str | None = "20:00", **more) -> Record:
        nonlocal serial
        serial += 1
        fields = {
            "source": source,
            "source_id": str(serial),
            "title": title,
            "local_date": date.fromisoformat(day),
            "local_time": time.fromisoformat(clock) if clock else None,
            "venue_name": "Club Soda",
            "city": "Montréal",
            "zone": "America/Toronto",
        }
        return Record(**(fields | more))

    return make
