"""Time zone names in every spelling that feeds use."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest

from ingestion_assets.events.sources.zones import canonical_zone, zone_or, zones_in_use


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("America/Toronto", "America/Toronto"),
        ("america/TORONTO", "America/Toronto"),
        (' "America/Toronto" ', "America/Toronto"),
        ("America/Montreal", "America/Toronto"),
        ("Canada/Eastern", "America/Toronto"),
        ("US/Eastern", "America/New_York"),
        ("US-Eastern", "America/New_York"),
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("America/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("America/Indianapolis", "America/Indiana/Indianapolis"),
        # In use in their country, although the data of another zone serves them.
        ("Europe/Stockholm", "Europe/Stockholm"),
        ("America/Nassau", "America/Nassau"),
        ("Europe/Amsterdam", "Europe/Amsterdam"),
        ("UTC", "UTC"),
        ("Etc/UTC", "UTC"),
        ("z", "UTC"),
        ("Zulu", "UTC"),
        ("GMT", "Etc/GMT"),
        ("EST5EDT", "America/New_York"),
        # Prefixes of calendar programs.
        ("/mozilla.org/20050126_1/America/Toronto", "America/Toronto"),
        ("/freeassociation.sourceforge.net/Tzfile/America/Montreal", "America/Toronto"),
        ("/softwarestudio.org/Olson_20011030_5/America/Argentina/Cordoba", "America/Argentina/Cordoba"),
        ("tzone://Microsoft/Utc", "UTC"),
        # Windows.
        ("Eastern Standard Time", "America/New_York"),
        ("Eastern Daylight Time", "America/New_York"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("Romance Standard Time", "Europe/Paris"),
        ("newfoundland standard time", "America/St_Johns"),
        # What is shown to people.
        ("(UTC-05:00) Eastern Time (US & Canada)", "America/New_York"),
        ("(GMT-05:00) Eastern Time (US & Canada)", "America/New_York"),
        ("(GMT-05.00) Eastern Time", None),
        ("Eastern Time (US & Canada)", "America/New_York"),
        ("(GMT-05:00) Eastern Time - Toronto", "America/Toronto"),
        ("Eastern Time - Toronto", "America/Toronto"),
        ("(UTC-05:00) Est (É.-U. et Canada)", "America/New_York"),
        ("Heure de l’Est (Canada)", "America/Toronto"),
        ("(UTC+01:00) Brussels, Copenhagen, Madrid, Paris", "Europe/Brussels"),
        ("(UTC+01:00) Bruxelles, Copenhague, Madrid, Paris", "Europe/Madrid"),
        ("(UTC-07:00) La Paz, Mazatlan", "America/Mazatlan"),
        ("(UTC-04:00) Georgetown, La Paz, Manaus, San Juan", "America/La_Paz"),
        ("(UTC+00:00) Dublin, Edinburgh, Lisbon, London", "Europe/London"),
        ("(UTC) Coordinated Universal Time", "UTC"),
        ("(UTC+05:30) Chennai, Kolkata, Mumbai, New Delhi", "Asia/Kolkata"),
        ("Montréal", "America/Toronto"),
        # Offsets.
        ("UTC-05:00", "Etc/GMT+5"),
        ("GMT+0100", "Etc/GMT-1"),
        ("-05:00", "Etc/GMT+5"),
        ("+00:00", "UTC"),
        ("+05:30", None),
        ("UTC+25", None),
        # Nobody knows.
        ("", None),
        ("Custom", None),
        ("tzone://Microsoft/Custom", None),
        ("America/Nowhere", None),
        ("../../etc/passwd", None),
        ("localtime", None),
        ("Factory", None),
        ("x" * 10_000, None),
        ("\x00", None),
    ],
)
def test_canonical_zone(name: str, zone: str | None):
    assert canonical_zone(name) == zone


def test_every_name_of_the_database_has_a_canonical_one_with_the_same_clocks():
    strange = {"Factory", "localtime", "posixrules"}
    for name in sorted(available_timezones() - strange):
        zone = canonical_zone(name)
        assert zone is not None, name
        assert canonical_zone(zone) == zone
        for month in (1, 7):
            moment = datetime(2026, month, 10, 12, tzinfo=UTC)
            assert moment.astimezone(ZoneInfo(zone)).utcoffset() == moment.astimezone(ZoneInfo(name)).utcoffset(), name


def test_every_windows_name_has_a_zone():
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    for name, zone in WINDOWS_TO_OLSON.items():
        assert canonical_zone(name) == canonical_zone(zone)
        assert canonical_zone(name) is not None


def test_an_offset_in_front_of_a_city_must_be_that_of_its_zone():
    assert canonical_zone("(UTC-05:00) Toronto") == "America/Toronto"
    assert canonical_zone("(UTC+09:00) Toronto") is None


def test_zone_or_takes_the_default_for_what_is_missing_or_unknown():
    assert zone_or("America/Montreal", "UTC") == "America/Toronto"
    assert zone_or("Custom", "America/Toronto") == "America/Toronto"
    assert zone_or(None, "America/Toronto") == "America/Toronto"


def test_the_zones_in_use_are_places_and_canonical():
    zones = zones_in_use()
    assert zones[0] == "America/Toronto"
    assert len(zones) == len(set(zones)) > 300
    assert all(canonical_zone(zone) == zone for zone in zones)
