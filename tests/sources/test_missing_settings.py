"""What a source says of settings that are absent or wrong, without taking its neighbours down."""

from __future__ import annotations

import pytest

from ingestion_assets.events.raw_events import build_raw_events, raw_events_key
from ingestion_assets.events.sources import SOURCE_NAMES, missing_settings


def test_every_source_says_what_it_needs_when_nothing_is_set() -> None:
    assert missing_settings("ticketmaster") == ["TICKETMASTER_API_KEY"]
    assert missing_settings("open_data_montreal") == []
    for name in SOURCE_NAMES:
        assert all(
            variable.startswith((name.upper().replace("LA_", "LA"), "ICS_")) for variable in missing_settings(name)
        )


def test_a_malformed_setting_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETMASTER_API_KEY", "a-key-that-works")
    monkeypatch.setenv("TICKETMASTER_RADIUS", "hunter2-kilometres")
    [problem] = missing_settings("ticketmaster")
    assert problem.startswith("TICKETMASTER_RADIUS (input should be a valid integer")
    assert "hunter2" not in problem


def test_a_malformed_setting_switches_its_own_source_off_and_the_definitions_still_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ICS_FEEDS", "city=https://events.example/feed.ics")
    monkeypatch.setenv("ICS_MAX_OCCURRENCES", "many")
    asset = build_raw_events("ics")
    key = raw_events_key("ics")
    assert asset.tags_by_key[key]["enabled"] == "false"
    assert "ICS_MAX_OCCURRENCES" in asset.descriptions_by_key[key]
    city = build_raw_events("open_data_montreal")
    assert city.tags_by_key[raw_events_key("open_data_montreal")]["enabled"] == "true"


@pytest.mark.parametrize(
    ("name", "variable", "value", "says"),
    [
        ("ics", "ICS_FEEDS", "./club.ics", "ICS_FEEDS (entry 1 (without a name): write name=URL-or-path"),
        ("allevents", "ALLEVENTS_TIMEZONE", "Nowhere", "ALLEVENTS_TIMEZONE (is no time zone: 'Nowhere')"),
        ("lavitrine", "LAVITRINE_LINK_PATTERN", "(", "LAVITRINE_LINK_PATTERN (is not a regular expression"),
    ],
)
def test_a_mistake_that_a_source_finds_itself_reads_as_what_to_set(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert any(problem.startswith(says) for problem in missing_settings(name)), missing_settings(name)
