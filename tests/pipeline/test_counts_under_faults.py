"""Every source against its fake with a third of all answers broken: the ledger and the tables hold the known truth."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fakes._server import Fault, FaultPlan
from tests.pipeline.importing import Pipeline, assert_counted
from tests.pipeline.services import SERVICES, Service

# Good records: enough requests for every kind of fault, and no more.
SIZES = {
    "ics": 1_000,
    "allevents": 1_500,
    "lavitrine": 150,
    "lavitrine by pages": 150,
    "ticketmaster": 2_000,
    "meetup": 800,
}


def _three_passes(pipeline: Pipeline, service: Service, size: int, malformed: int, seed: int) -> Counter[Fault]:
    with service.make(size, malformed, FaultPlan.usual(seed)) as fake:
        pipeline.load(fake)
        assert_counted(pipeline, service.source, fake.truth(1), service.days(fake))

        fake.advance_to_pass(2)
        second = fake.truth(2)
        before = second.updated + second.skipped
        assert second.updated == pytest.approx(before * 0.10, rel=0.5)  # what the pass is said to be: a tenth changed
        assert second.created == pytest.approx(before * 0.02, rel=0.6)  # and a fiftieth new
        pipeline.load(fake)
        assert_counted(pipeline, service.source, second, service.days(fake))

        # The server says everything again with other key orders, counters and time stamps than in pass 1.
        pipeline.load(fake)
        assert_counted(pipeline, service.source, fake.repeat_truth(2), service.days(fake))
        assert (fake.repeat_truth(2).created, fake.repeat_truth(2).updated) == (0, 0)

        assert fake.early == []
        return fake.served


@pytest.mark.parametrize("name", SERVICES)
def test_counts_are_the_known_truth_in_every_pass(name: str, pipeline: Pipeline) -> None:
    service = SERVICES[name]
    served = _three_passes(pipeline, service, SIZES.get(name, 600), 8, service.seed)
    if "file" not in name:
        assert set(served) == set(Fault), "a test without one of the faults proves less than it says"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", SERVICES)
def test_counts_are_the_known_truth_whatever_goes_wrong_when(name: str, seed: int, pipeline: Pipeline) -> None:
    _three_passes(pipeline, SERVICES[name], SIZES.get(name, 600), 20, 100 + seed)
