"""Points in the local calendar as instants."""

from datetime import UTC, date, datetime, time

import pytest

from ingestion_assets.events import model
from ingestion_assets.events.model import Moment
from ingestion_assets.events.sources.schema_time import moment

TORONTO = "America/Toronto"
FIRST_PASS = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)


@pytest.mark.parametrize("offsets", [("-04:00", "-05:00"), ("-05:00", "-04:00")])
def test_the_hour_that_comes_twice_is_its_first_pass_whatever_was_read_before(offsets):
    model._instant.cache_clear()
    found = [moment(f"2026-11-01T01:30:00{offset}", TORONTO) for offset in offsets]
    assert [start.time for start in found] == [time(1, 30), time(1, 30)]
    assert [start.utc for start in found] == [FIRST_PASS, FIRST_PASS]


def test_equal_moments_are_the_same_instant():
    first, second = (Moment(date(2026, 11, 1), time(1, 30, fold=fold), TORONTO) for fold in (0, 1))
    assert first == second
    model._instant.cache_clear()
    assert second.utc == first.utc == FIRST_PASS


def test_an_hour_that_is_left_out_in_spring_is_an_instant_all_the_same():
    for fold in (0, 1):
        model._instant.cache_clear()
        start = Moment(date(2026, 3, 8), time(2, 30, fold=fold), TORONTO)
        assert start.utc == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
