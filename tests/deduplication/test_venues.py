from datetime import date, time

import pytest

from ingestion_assets.events.deduplication.addresses import compare_addresses, parse_address, parse_city, split_place
from ingestion_assets.events.deduplication.records import record_from_event
from ingestion_assets.events.deduplication.venues import Likeness, compare_venues, parse_venue
from ingestion_assets.events.model import Event, Moment, Venue


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("Bibliothèque Mordecai-Richler", "Mordecai Richler Library", Likeness.SAME),
        ("Centre Bell", "Bell Centre", Likeness.SAME),
        ("Le Belmont", "Belmont", Likeness.SAME),
        ("Club Soda", "Club Soda (Montréal)", Likeness.SAME),
        ("Salle Wilfrid-Pelletier (Place des Arts)", "Place des Arts - Salle Wilfrid-Pelletier", Likeness.SAME),
        ("Théâtre du Nouveau Monde", "TNM", Likeness.STRONG),
        ("CCSL", "Saint-Léonard Community Centre", Likeness.STRONG),
        ("MDC Joliette - Grande salle", "Maison de la culture Joliette", Likeness.STRONG),
        ("Studio B, Théâtre Atwater", "Théâtre Atwater – Salle 2", Likeness.SAME),
        ("New Bellerive Theatre", "Nouveau Théâtre Bellerive", Likeness.SAME),
        ("Cinéma Ondine Verdun", "Ondine Cinema Lachine", Likeness.WEAK),
        ("Webinaire Zoom", "Club Soda", Likeness.UNKNOWN),
        ("Théâtre Ondine (formerly Vega Hall)", "Ondine Theatre", Likeness.SAME),
        ("Le Transbo", "Le Transbordeur", Likeness.SAME),
        ("MTELUS", "M Telus", Likeness.STRONG),
        ("Parc La Fontaine", "Parc Lafontaine", Likeness.STRONG),
        ("Théâtre Bellerive", "Théâtre Bellerve", Likeness.SAME),
        ("Bibliothèque de Verdun", "Théâtre de Verdun", Likeness.CLASHING),
        ("Église Saint-Jean", "Bar Saint-Jean", Likeness.CLASHING),
        ("Salle Lemay-Brisebois", "Cabaret Lemay-Brisebois", Likeness.STRONG),
        ("Bibliothèque Lemay-Brisebois", "Cabaret Lemay-Brisebois", Likeness.CLASHING),
        ("NAC - Southam Hall", "National Arts Centre", Likeness.STRONG),
        ("Place des Arts", "PdA (Cinquième Salle)", Likeness.STRONG),
        ("UdeM", "Pavillon Roger-Gaudry, Université de Montréal", Likeness.STRONG),
        ("UMontréal", "University of Montreal", Likeness.STRONG),
        ("S.A.T.", "Society for Arts and Technology", Likeness.STRONG),
        ("MCM", "Musée de la civilisation", Likeness.STRONG),  # with its city
        ("University of Montreal", "Université de Montréal - Pavillon Roger-Gaudry, salle M-415", Likeness.STRONG),
        ("BPM – Cumberland", "Bibliothèque publique de Montréal, Rideau", Likeness.DIFFERENT),
        ("Mayfair Theatre", "Cinéma Mayfair", Likeness.STRONG),
        ("Théâtre du Feu", "Fire Theatre", Likeness.SAME),  # its name is a word
        ("Salle du Vieux-Renard", "Old Fox Hall", Likeness.SAME),
        ("Théâtre du Feu", "Théâtre de l'Eau", Likeness.DIFFERENT),
        ("Bibliothèque du Feu", "Fire Theatre", Likeness.CLASHING),
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
    ("name", "room"),
    [
        ("Cinéma Beaubien – Salle 3", "3"),
        ("Salle B (Centre Mercier)", "b"),
        ("Studio A, Centre Mercier", "a"),
        ("Théâtre d'Aujourd'hui", ""),
        ("Théâtre d’Aujourd’hui – Salle B", "b"),
        ("Salle à manger du Ritz", ""),
        ("Place des Arts", ""),
    ],
)
def test_a_room_has_a_number_or_a_letter(name, room):
    assert parse_venue(name, "montreal").room == room


@pytest.mark.parametrize(
    ("city", "expected"),
    [
        ("Montréal, QC", "montreal"),
        ("Rosemont–La Petite-Patrie", "montreal"),
        ("VERDUN", "montreal"),
        ("Ville de Québec", "quebec"),
        ("Québec", "quebec"),
        ("St-Jérôme", "saint jerome"),
        ("Bruxelles", "brussels"),
        ("Brussel", "brussels"),
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
        ("175, rue Sainte-Catherine", "177 Sainte-Catherine St", 1),
        ("175, rue Sainte-Catherine", "195 Sainte-Catherine St", 0),
        ("rue Sainte-Catherine", "175 rue Sainte-Catherine", 0),
        ("rue de Flandre 120 1000", "120, rue de Flandre", 1),
        (None, "175 rue Sainte-Catherine", 0),
    ],
)
def test_addresses_compare_by_door_and_street(one, two, expected):
    assert compare_addresses(parse_address(one), parse_address(two)) == expected


@pytest.mark.parametrize(
    ("name", "address", "city", "expected"),
    [
        (
            "Le Ondine, 1815, rue Sherbrooke Ouest, Montréal, QC H1A 7K1",
            None,
            None,
            ("Le Ondine", "1815, rue Sherbrooke Ouest, Montréal, QC H1A 7K1", "Montréal"),
        ),
        ("Ondine", "774 Yonge Street, Ottawa, ON", None, ("Ondine", "774 Yonge Street, Ottawa, ON", "Ottawa")),
        ("Ondine, 1 King St", None, "Toronto", ("Ondine", "1 King St", "Toronto")),
        ("Ondine (5737, rue Fleury Est)", None, "Laval", ("Ondine", "5737, rue Fleury Est", "Laval")),
        (
            "890 Dalhousie Street, Ottawa, ON K3J 3N1",
            None,
            None,
            (None, "890 Dalhousie Street, Ottawa, ON K3J 3N1", "Ottawa"),
        ),
        ("Ondine", "12 rue X, Montréal, Québec", None, ("Ondine", "12 rue X, Montréal, Québec", "Montréal")),
        ("Ondine", "12 rue X, 2e étage", None, ("Ondine", "12 rue X, 2e étage", None)),
        ("3604", "3604, rue Victor-Hugo, Laval", "Laval", (None, "3604, rue Victor-Hugo, Laval", "Laval")),
        ("1642 Bar", None, "Montréal", ("1642 Bar", None, "Montréal")),
        (
            "3604 rue Victor-Hugo",
            "3604 rue Victor-Hugo, Laval",
            "Laval",
            (None, "3604 rue Victor-Hugo, Laval", "Laval"),
        ),
        ("3604 rue Victor-Hugo", "12 King St", "Laval", ("3604 rue Victor-Hugo", "12 King St", "Laval")),
        ("6653", "rue Sherbrooke Ouest", "Montréal", (None, "6653 rue Sherbrooke Ouest", "Montréal")),
        ("87, rue Sainte-Hélène", None, "Lyon", (None, "87, rue Sainte-Hélène", "Lyon")),
        ("6182 Dundas St W", None, "Toronto", (None, "6182 Dundas St W", "Toronto")),
        ("Salle A, Place des Arts", None, None, ("Salle A, Place des Arts", None, None)),
        (None, None, None, (None, None, None)),
    ],
)
def test_a_place_in_one_line_is_taken_apart(name, address, city, expected):
    assert split_place(name, address, city) == expected


def test_events_of_the_platform_have_their_places_taken_apart_too():
    when = Moment(date=date(2026, 9, 25), time=time(20), zone="America/Toronto")
    event = Event(source_id="1", title="Marée", payload={}, start=when, venue=Venue(name="6182 Dundas St W"))
    record = record_from_event("allevents", event)
    assert (record.venue_name, record.address) == (None, "6182 Dundas St W")
