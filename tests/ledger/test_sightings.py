"""How long a watcher has seen the same heartbeat, by its own clock."""

from __future__ import annotations

from datetime import timedelta

from ingestion_assets.ledger.sightings import Sightings


def test_a_stamp_counts_from_when_it_was_first_seen_and_from_anew_when_it_changed_or_was_away() -> None:
    moments = iter([0.0, 10.0, 15.0, 20.0, 30.0])
    sightings = Sightings(clock=lambda: next(moments))

    def seconds(stamps: dict[str, int]) -> dict[str, float]:
        return {key: age / timedelta(seconds=1) for key, age in sightings.unchanged(stamps).items()}

    assert seconds({"a": 1, "b": 1}) == {"a": 0, "b": 0}
    assert seconds({"a": 1, "b": 2}) == {"a": 10, "b": 0}
    assert seconds({"a": 1}) == {"a": 15}
    assert seconds({"a": 1, "b": 2}) == {"a": 20, "b": 0}
    assert seconds({"a": 2, "b": 2}) == {"a": 0, "b": 10}
