import pytest

from ingestion_assets.events.deduplication.venues import (
    Likeness,
    compare_addresses,
    compare_venues,
    parse_address,
    parse_city,
    parse_venue,
)


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("Bibliothèque Mordecai-Richler", "Mordecai Richler Library", Likeness.SAME),
        ("Centre Bell", "Bell Centre", Likeness.SAME),
        ("Le Belmont", "Belmont", Likeness.SAME),
        ("Club Soda", "Club Soda (Montréal)", Likeness.SAME),
        ("Salle Wilfrid-Pelletier (Place des Arts)", "Place des Arts - Salle Wilfrid-Pelletier", Likeness.SAME),
        ("Théâtre du Nouveau Monde", "TNM", Likeness.STRONG),
        ("MTELUS", "M Telus", Likeness.STRONG),
        ("Parc La Fontaine", "Parc Lafontaine", Likeness.STRONG),
        ("Théâtre Bellerive", "Théâtre Bellerve", Likeness.SAME),
        ("Bibliothèque de Verdun", "Théâtre de Verdun", Likeness.CLASHING),
        ("Église Saint-Jean", "Bar Saint-Jean", Likeness.CLASHING),
        ("Bibliothèque X", "Library Y", Likeness.DIFFERENT),
        ("Studio 2", "Studio 3", Likeness.DIFFERENT),
        ("En ligne", "Club Soda", Likeness.UNKNOWN),
        (None, "Club Soda", Likeness.UNKNOWN),
    ],
)
def test_venues_compare_by_their_proper_names(one, two, expected):
    a, b = parse_venue(one, "montreal"), parse_venue(two, "montreal")
    assert compare_venues(a, b) is expected
    assert compare_venues(b, a) is expected


@pytest.mark.parametrize(
    ("city", "expected"),
    [
        ("Montréal, QC", "montreal"),
        ("Rosemont–La Petite-Patrie", "montreal"),
        ("VERDUN", "montreal"),
        ("Ville de Québec", "quebec"),
        ("Québec", "quebec"),
        ("St-Jérôme", "saint jerome"),
        (None, ""),
    ],
)
def test_a_city_has_one_name(city, expected):
    assert parse_city(city) == expected


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("175, rue Sainte-Catherine Ouest", "175 Sainte-Catherine St W", 1),
        ("175, rue Sainte-Catherine Ouest", "1225, rue Sainte-Catherine Ouest", -1),
        ("175, rue Sainte-Catherine", "175 King Street", 0),
        ("rue Sainte-Catherine", "175 rue Sainte-Catherine", 0),
        (None, "175 rue Sainte-Catherine", 0),
    ],
)
def test_addresses_compare_by_door_and_street(one, two, expected):
    assert compare_addresses(parse_address(one), parse_address(two)) == expected
