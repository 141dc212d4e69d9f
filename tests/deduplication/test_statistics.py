"""What a corpus teaches: translations, sources with shifted clocks, midnights that mean no time."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time, timedelta

from ingestion_assets.events.deduplication.records import Record
from ingestion_assets.events.deduplication.resolve import resolve
from ingestion_assets.events.deduplication.statistics import CorpusStatistics, build_statistics

FIRST = date(2026, 3, 2)
PLACES = ("Prospero", "Usine C", "Gesù", "La Chapelle", "Espace Libre")


def listing(
    source: str, number: int, title: str, clock: time | None = time(20), *, place: str = "Gesù", day: int = 0
) -> Record:
    return Record(
        source=source,
        source_id=str(number),
        title=title,
        local_date=FIRST + timedelta(days=day),
        local_time=clock,
        zone="America/Toronto",
        venue_name=place,
        city="Montréal",
    )


def in_two_languages(places: int) -> list[Record]:
    return [
        listing(source, number, title, place=place, day=number)
        for number, place in enumerate(PLACES[:places])
        for source, title in (("a", "La Cagnotte du notaire"), ("b", "Piggy Banks of Rimouski"))
    ]


def test_two_titles_of_one_place_and_minute_teach_a_translation_from_the_second_place_on() -> None:
    assert not build_statistics(in_two_languages(1)).translations
    taught = build_statistics(in_two_languages(3))
    assert len(taught.translations) == 1
    elsewhere = [
        listing("a", 90, "La Cagnotte du notaire", place="Salle Odyssée", day=40),
        listing("b", 90, "Piggy Banks of Rimouski", place="Salle Odyssée", day=40),
    ]
    assert len(resolve(elsewhere, statistics=taught).clusters) == 1


def branch(number: int, name: str, *, north: float) -> Record:
    return replace(listing("a", number, f"Cours {number}", place=name, day=number), lat=45.5 + north, lon=-73.6)


def test_three_houses_that_stand_apart_teach_a_chain() -> None:
    apart = [
        branch(i, f"Namasté {name}", north=i / 50) for i, name in enumerate(("Verdun-Nord", "LaSalle", "Rosemont"))
    ]
    here = [branch(i, f"Namasté {name}", north=0.0) for i, name in enumerate(("Verdun-Nord", "LaSalle", "Rosemont"))]
    assert build_statistics(apart).chain_names == {"namast"}
    assert not build_statistics(here).chain_names  # one house under three names
    assert not build_statistics(apart[:2]).chain_names


def test_two_branches_of_a_chain_are_two_places() -> None:
    chain = [branch(i, f"Namasté {name}", north=i / 50) for i, name in enumerate(("Verdun", "LaSalle", "Rosemont"))]
    classes = [
        listing("a", 1, "Yoga doux", place="Namasté LaSalle", day=30),
        listing("b", 2, "Yoga doux", None, place="Namasté Rosemont", day=30),
    ]
    assert len(resolve(classes, statistics=build_statistics(chain)).clusters) == 2


def test_a_source_that_lists_both_titles_teaches_that_they_are_two() -> None:
    records = [
        listing(source, number * 10 + i, title, place=place, day=number)
        for number, place in enumerate(PLACES)
        for source in ("a", "b")
        for i, title in enumerate(("La Cagnotte du notaire", "Piggy Banks of Rimouski"))
    ]
    assert not build_statistics(records).translations


def test_small_hours_tell_a_source_whose_clock_is_shifted() -> None:
    calm = [listing("calm", number, f"Act {number}", time(20), day=number) for number in range(100)]
    shifted = [
        listing("shifted", number, f"Act {number}", time(1) if number % 20 == 0 else time(20), day=number)
        for number in range(100)
    ]
    statistics = build_statistics([*calm, *shifted])
    assert statistics.shifting_sources == {"shifted"}

    def joined(source: str) -> bool:
        """An evening and another source's afternoon, where the evening's source lists an afternoon as well."""
        listed = [
            listing("other", 500, "Salomé Rivet", time(15)),
            listing(source, 500, "Salomé Rivet", time(20)),
            listing(source, 501, "Salomé Rivet", time(11)),
        ]
        return len(resolve(listed, statistics=statistics).clusters) == 2

    assert joined("shifted")
    assert not joined("calm")


def test_midnights_of_a_source_that_knows_no_small_hours_mean_no_time() -> None:
    records = [
        listing("city", number, f"Act {number}", time(0) if number % 5 == 0 else time(19), day=number)
        for number in range(60)
    ]
    statistics = build_statistics(records)
    assert statistics.midnight_sources == {"city"}
    pair = [listing("city", 0, "Act 0", time(0)), listing("hall", 0, "Act 0", time(20))]
    assert len(resolve(pair, statistics=statistics).clusters) == 1


def test_all_of_it_survives_the_snapshot_s_json() -> None:
    statistics = build_statistics(in_two_languages(4))
    again = CorpusStatistics.from_json(statistics.to_json())
    assert again == statistics
    assert again.version == statistics.version
