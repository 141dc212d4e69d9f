"""Memory of a fetch does not grow with the number of events: the service runs in a process of its own."""

import gc
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from resources.http import OutboundClient
from tests.fakes._server import VirtualClock
from tests.fakes.fetching import WINDOW, build

ROOT = Path(__file__).parents[2]


def peak_of(name: str, factory: str, events: int, *, csv: bool = False) -> tuple[int, int]:
    """Events and peak bytes of Python objects in one whole fetch."""
    options = json.dumps({"events": events, "bad": 0})
    command = [sys.executable, "-m", "tests.fakes._server", factory, options]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        values = json.loads(process.stdout.readline())
        if csv:
            values["OPEN_DATA_MONTREAL_CSV"] = (
                values["OPEN_DATA_MONTREAL_BASE_URL"] + "/dataset/x/resource/y/download/evenements.csv"
            )
        source = build(name, values)
        gc.collect()
        tracemalloc.start()
        clock = VirtualClock()
        with OutboundClient(
            source.policy, allow_private=True, clock=clock.monotonic, sleep=clock.sleep, wall_clock=clock.time
        ) as client:
            count = sum(len(page.records) for page in source.fetch(WINDOW, client))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)
    return count, peak


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "factory", "few", "many"),
    [
        ("open_data_montreal", "tests.fakes.ckan:FakeCkan", 5_000, 50_000),
        ("allevents", "tests.fakes.allevents:FakeAllEvents", 3_000, 30_000),
    ],
)
def test_ten_times_the_events_take_the_same_memory(name, factory, few, many, record_property):
    small_count, small = peak_of(name, factory, few)
    large_count, large = peak_of(name, factory, many)
    record_property("bytes at the peak, ten times the events / as few", large / small)
    assert (small_count, large_count) == (few, many)
    # The ids that were seen are kept, to leave out what shifting pages repeat: about 150 bytes each.
    assert large < small + 200 * (many - few) + 2_000_000
    assert large < 3 * small


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_csv_file_costs_its_bytes_and_no_more(record_property):
    small_count, small = peak_of("open_data_montreal", "tests.fakes.ckan:FakeCkan", 10_000, csv=True)
    large_count, large = peak_of("open_data_montreal", "tests.fakes.ckan:FakeCkan", 50_000, csv=True)
    record_property("bytes a row at the peak", (large - small) / 40_000)
    assert (small_count, large_count) == (10_000, 50_000)
    # About 400 bytes a row, of which the client may hold two copies while it puts the answer together.
    assert large - small < 40_000 * 1_000
