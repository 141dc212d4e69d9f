"""More events on single days than the service shows of any query: all of them in the tables."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from tests.fakes._server import FaultPlan
from tests.fakes.ticketmaster import WALL, FakeTicketmaster
from tests.pipeline.importing import FIRST, Pipeline, assert_counted
from tests.pipeline.services import SERVICES


@pytest.mark.parametrize(
    ("count", "days", "same_minute"),
    [
        pytest.param(3_000, 2, 0, id="3000 in 2 days"),
        pytest.param(2_600, 30, 2_300, id="2300 in one minute"),
        pytest.param(20_000, 30, 0, marks=pytest.mark.soak, id="20000 in 30 days"),
        pytest.param(20_000, 30, 2_500, marks=pytest.mark.soak, id="20000, 2500 of them in one minute"),
    ],
)
@pytest.mark.parametrize("faults", [None, pytest.param(FaultPlan.usual(5), marks=pytest.mark.soak, id="faults")])
def test_all_events_are_stored_although_single_days_exceed_the_cap(
    count: int, days: int, same_minute: int, faults: FaultPlan | None, pipeline: Pipeline
) -> None:
    with FakeTicketmaster(count=count, days=days, same_minute=same_minute, undated=4, faults=faults) as fake:
        truth = SERVICES["ticketmaster"].days(fake)
        by_day = Counter(day for day in truth.values() if day is not None)
        assert max(by_day.values()) > WALL, "no day is above the cap, so this proves nothing"
        assert max(day for day in truth.values() if day) < FIRST + timedelta(days=days)
        result = pipeline.load(fake)
        assert_counted(pipeline, "ticketmaster", fake.truth(1), truth)
        assert not any(warning.code == "incomplete" for warning in result.warnings)
        assert result.withdrawal.refused is None
        assert fake.early == []
        # What it took: the day's quota of a key is 5,000 requests.
        assert len(fake.requests) < count / 20 + 200 if faults is None else True
