"""Memory of the whole path, from the wire to the tables, does not grow with the number of events."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from resources.settings import PROJECT_ROOT
from tests.conftest import Databases
from tests.fakes._server import FakeService
from tests.fakes.allevents import FakeAllEvents
from tests.fakes.ckan import FakeCkan
from tests.fakes.fetching import environment
from tests.fakes.meetup import FakeMeetup
from tests.fakes.ticketmaster import FakeTicketmaster
from tests.pipeline.importing import ALLOW

GROWTH_MIB = 30.0
"""What ten times as many events may cost: ids met so far are kept (about 100 bytes each), pages are not."""

FAKES: dict[str, Callable[[int], FakeService]] = {
    "ticketmaster": lambda count: FakeTicketmaster(count=count, days=84),
    "meetup": lambda count: FakeMeetup(count=count, groups=20, days=84),
    "allevents": lambda count: FakeAllEvents(events=count, bad=0),
    "open_data_montreal": lambda count: FakeCkan(events=count, bad=0),
}


def _imported(fake: FakeService, url: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.pipeline.load_process", url, fake.name]
    with fake, environment({**ALLOW, **fake.environment()}):
        done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "few", "many"),
    [
        ("open_data_montreal", 3_000, 12_000),
        *(pytest.param(name, 10_000, 100_000, marks=pytest.mark.soak) for name in FAKES),
    ],
)
@pytest.mark.timeout(1800)
def test_memory_stays_flat(
    name: str,
    few: int,
    many: int,
    databases: Databases,
    migrated_template: str,
    record_property: Callable[[str, object], None],
) -> None:
    peaks = {}
    for count in (few, many):
        url = databases.create(template=migrated_template)
        said = _imported(FAKES[name](count), url)
        assert (said["created"], said["errors"]) == (count, 0)
        peaks[count] = said["peak_mib"]
        record_property(f"peak MiB, {count:,} events", float(said["peak_mib"]))
    assert peaks[many] - peaks[few] < GROWTH_MIB, peaks
