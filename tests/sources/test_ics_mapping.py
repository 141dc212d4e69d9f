"""What the properties of a VEVENT become, and what of them is stored."""

import json

import pytest

from ingestion_assets.events.model import Event, EventStatus, Price, Venue
from tests.fakes.calendars import one, read

DAY = "DTSTART;VALUE=DATE:20261205\n"


def venue(*lines: str) -> Venue | None:
    return one(DAY + "\n".join(lines)).venue


@pytest.mark.parametrize(
    ("summary", "title"),
    [
        ("Concert\\, place d'Armes\\; 20 h", "Concert, place d'Armes; 20 h"),
        ("Deux\\nlignes\\Net trois", "Deux lignes et trois"),
        ("Une barre \\\\ oblique", "Une barre \\ oblique"),
        ("March&eacute; de No&euml;l &amp; cie", "Marché de Noël & cie"),
        ("<b>Gras</b> et <i>italique</i>", "Gras et italique"),
        ("3 < 4 et 5 > 2", "3 < 4 et 5 > 2"),
        ("  trop   d'espaces\t", "trop d'espaces"),
        ("Cafe\u0301", "Café"),
        ("\u202eenvers\x07", "envers"),
        ("x" * 600, "x" * 499 + "…"),
    ],
)
def test_titles_are_clean_text(summary: str, title: str):
    assert one(f"{DAY}SUMMARY:{summary}").title == title


@pytest.mark.parametrize("summary", ["", "   ", "\\n", "&nbsp;", "nan"])
def test_an_event_without_a_title_is_rejected_with_its_day(summary: str):
    found = read(f"{DAY}SUMMARY:{summary}", f"{DAY}SUMMARY:Bon")
    assert [event.title for event in found.events] == ["Bon"]
    assert found.reasons == {"missing_title": 1}
    assert found.rejected[0].day is not None
    assert found.rejected[0].day.isoformat() == "2026-12-05"


@pytest.mark.parametrize(
    ("lines", "description"),
    [
        ("DESCRIPTION:Une\\nDeux", "Une\nDeux"),
        ("DESCRIPTION:<p>Une</p><p>Deux &amp; trois</p>", "Une\n\nDeux & trois"),
        ("DESCRIPTION:Voir <https://example.org/a>", "Voir <https://example.org/a>"),
        ("DESCRIPTION: \nX-ALT-DESC;FMTTYPE=text/html:<html><body>Riche<br>texte</body></html>", "Riche\ntexte"),
        ("STYLED-DESCRIPTION;VALUE=TEXT;FMTTYPE=text/html:<p>Stylé</p>", "Stylé"),
        ("DESCRIPTION:Plat\nX-ALT-DESC;FMTTYPE=text/html:<p>Riche</p>", "Plat"),
        ("X-NOTHING:1", None),
        # What stands in an alarm describes the alarm.
        ("SUMMARY:Événement 1\nBEGIN:VALARM\nDESCRIPTION:Rappel\nSUMMARY:Rappel\nEND:VALARM", None),
    ],
)
def test_descriptions_are_text_without_markup(lines: str, description: str | None):
    event = one(DAY + lines)
    assert event.description == description
    assert event.title == "Événement 1"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("Place Jacques-Cartier", Venue(name="Place Jacques-Cartier")),
        ("Place Jacques-Cartier\\, Montréal", Venue(name="Place Jacques-Cartier", city="Montréal")),
        (
            "Parc La Fontaine\\, 3819 avenue Calixa-Lavallée\\, Montréal\\, QC H2L 3A7\\, Canada",
            Venue(
                name="Parc La Fontaine",
                address="3819 avenue Calixa-Lavallée",
                city="Montréal",
                region="QC",
                postal_code="H2L 3A7",
                country="CA",
            ),
        ),
        (
            "Église Saint-Jean-Baptiste\\n309 rue Rachel Est\\nMontréal (Québec) h2w1e9",
            Venue(
                name="Église Saint-Jean-Baptiste",
                address="309 rue Rachel Est",
                city="Montréal",
                region="QC",
                postal_code="H2W 1E9",
                country="CA",
            ),
        ),
        ("1200 rue Saint-Denis", Venue(address="1200 rue Saint-Denis")),
        (
            "1200 rue Saint-Denis\\, Montréal\\, QC",
            Venue(address="1200 rue Saint-Denis", city="Montréal", region="QC", country="CA"),
        ),
        ("Salle 3\\, Maison de la culture", Venue(name="Salle 3", address="Maison de la culture")),
        ("Théâtre de la Ville\\, Paris\\, France", Venue(name="Théâtre de la Ville", city="Paris", country="FR")),
        (
            "Town Hall\\, 123 W 43rd St\\, New York\\, NY 10036\\, USA",
            Venue(
                name="Town Hall",
                address="123 W 43rd St",
                city="New York",
                region="NY",
                postal_code="10036",
                country="US",
            ),
        ),
        ("Bar Le Ritz PDB\\, 179 Jean-Talon O.", Venue(name="Bar Le Ritz PDB", address="179 Jean-Talon O.")),
        ("À confirmer", None),
        ("TBA", None),
        ("nan", None),
        (" \\, ", None),
    ],
)
def test_a_location_is_split_where_that_needs_no_guessing(location: str, expected: Venue | None):
    assert venue(f"LOCATION:{location}") == expected


@pytest.mark.parametrize(
    ("lines", "online", "url", "place"),
    [
        ("LOCATION:En ligne", True, None, None),
        ("LOCATION:Zoom", True, None, None),
        ("LOCATION:(Online)", True, None, None),
        ("LOCATION:https://meet.example.org/abc?x=1", True, "https://meet.example.org/abc?x=1", None),
        ("LOCATION:Bibliothèque (https://example.org/plan)", False, "https://example.org/plan", "Bibliothèque"),
        ("LOCATION:Zoom: Théâtre", False, None, "Zoom: Théâtre"),
        ("CONFERENCE;VALUE=URI:https://meet.example.org/x", True, "https://meet.example.org/x", None),
        ("LOCATION:Salle A\nX-GOOGLE-CONFERENCE:https://meet.example.org/x", True, "https://meet.example.org/x", "Salle A"),
        ("CONFERENCE;VALUE=URI:tel:+1-514-555-0100", False, None, None),
        ("URL:https://example.org/e\nCONFERENCE:https://meet.example.org/x", True, "https://example.org/e", None),
        ("ATTACH:https://example.org/programme.pdf", False, "https://example.org/programme.pdf", None),
        ("URL:javascript:alert(1)", False, None, None),
        ("URL:www.example.org", False, None, None),
        ("URL;VALUE=URI:https://example.org/?a=1\\,2", False, "https://example.org/?a=1,2", None),
    ],
)  # fmt: skip
def test_links_and_online_places_are_told_from_venues(lines: str, online: bool, url: str | None, place: str | None):
    event = one(DAY + lines)
    assert (event.online, event.url, event.venue and event.venue.name) == (online, url, place)


APPLE = (
    'X-APPLE-STRUCTURED-LOCATION;VALUE=URI;X-ADDRESS="35 rue Saint-Viateur\\nMontréal QC";'
    'X-TITLE="Le Dépanneur Café":geo:45.5246,-73.6052'
)


@pytest.mark.parametrize(
    ("lines", "point", "warnings"),
    [
        ("GEO:45.5077;-73.5533", (45.5077, -73.5533), ()),
        ("GEO:45.5077\\;-73.5533", (45.5077, -73.5533), ()),
        ("GEO:45.5077,-73.5533", (45.5077, -73.5533), ()),
        (APPLE, (45.5246, -73.6052), ()),
        (f"GEO:0;0\n{APPLE}", (45.5246, -73.6052), ()),
        ("GEO:0;0", None, ("coordinates_dropped",)),
        ("GEO:95;-73", None, ("coordinates_dropped",)),
        ("GEO:nan;nan", None, ("coordinates_dropped",)),
        ("GEO:ici", None, ("coordinates_dropped",)),
        ("GEO:1e999;2", None, ("coordinates_dropped",)),
    ],
)
def test_coordinates_are_both_good_or_both_missing(
    lines: str, point: tuple[float, float] | None, warnings: tuple[str, ...]
):
    event = one(f"{DAY}LOCATION:Quelque part\n{lines}")
    assert event.venue is not None
    assert (event.venue.lat, event.venue.lon) == (point or (None, None))
    assert event.warnings == warnings


def test_apples_structured_location_stands_in_for_a_missing_one():
    found = venue(APPLE)
    assert found is not None
    assert (found.name, found.address, found.city) == ("Le Dépanneur Café", "35 rue Saint-Viateur", "Montréal")
    assert (found.region, found.country, found.lat) == ("QC", "CA", 45.5246)


@pytest.mark.parametrize(
    ("lines", "image"),
    [
        ("IMAGE;VALUE=URI;FMTTYPE=image/png:https://example.org/a.png", "https://example.org/a.png"),
        ("ATTACH;FMTTYPE=image/jpeg:https://example.org/b", "https://example.org/b"),
        ("ATTACH:https://example.org/c.webp?w=3", "https://example.org/c.webp?w=3"),
        ("ATTACH:https://example.org/d.pdf", None),
        ("ATTACH;FMTTYPE=image/png;ENCODING=BASE64;VALUE=BINARY:iVBORw0KGgo=", None),
    ],
)
def test_an_image_is_a_link_to_one(lines: str, image: str | None):
    assert one(DAY + lines).image_url == image


def test_the_rest_of_the_fields():
    event = one(
        DAY + "CATEGORIES:Musique,Plein air\\, gratuit\nCATEGORIES;LANGUAGE=fr:Jazz,Musique\n"
        'ORGANIZER;CN="Culture ""Mtl""; ville":mailto:a@example.org\n'
        "DESCRIPTION;LANGUAGE=fr-CA:Texte\nSTATUS:TENTATIVE\nX-COST:12\\,50 à 20 $\nX-COST-CURRENCY:CAD"
    )
    assert event.categories == ("Musique", "Plein air, gratuit", "Jazz")
    assert event.organizer == "Culture Mtl; ville"
    assert event.language == "fr"
    assert event.status is EventStatus.TENTATIVE
    assert event.price == Price(free=False, minimum=12.5, maximum=20, currency="CAD")
    assert one(f"{DAY}X-COST:Gratuit").price == Price(free=True, minimum=0, maximum=0)
    assert one(f"{DAY}X-COST:sur demande").price is None
    assert one(f"{DAY}STATUS:CONFIRMED").status is EventStatus.SCHEDULED


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Th%C3%A9%C3%A2tre%20d%27%C3%A9t%C3%A9", "Théâtre d'été"),
        ("Caf%C3%A9-Bar%20L.A.%20%26%20Co", "Café-Bar L.A. & Co"),
        ("jean%40example.org", None),
        ("100%25", "100%"),
        ("100% Jazz", "100% Jazz"),
        ("Le 50%20 rue", "Le 50%20 rue"),
    ],
)
def test_an_organizer_as_the_events_calendar_encodes_it(written: str, name: str | None):
    assert one(f'{DAY}ORGANIZER;CN="{written}":MAILTO:a@example.org').organizer == name


# Privacy.


def test_private_events_are_counted_and_not_stored():
    found = read(
        f"{DAY}CLASS:PRIVATE",
        f"{DAY}CLASS:CONFIDENTIAL",
        f"{DAY}CLASS:PUBLIC",
        f"{DAY}CLASS:private\nRRULE:X",
        "CLASS:PRIVATE",
    )
    assert [event.source_id for event in found.events] == ["f:e3"]
    assert found.warnings == ["private_skipped"]
    assert not found.rejected


def test_an_occurrence_made_private_is_not_shown_in_its_public_form():
    series = "UID:w\nDTSTART;VALUE=DATE:20270301\nRRULE:FREQ=DAILY;COUNT=3"
    found = read(series, "UID:w\nRECURRENCE-ID;VALUE=DATE:20270302\nDTSTART;VALUE=DATE:20270302\nCLASS:PRIVATE")
    assert [event.source_id for event in found.events] == ["f:w:20270301", "f:w:20270303"]


MAIL = (
    'ORGANIZER;CN=jean@example.org;SENT-BY="mailto:paul@example.org";EMAIL=p@example.org:mailto:jean@example.org\n'
    "ATTENDEE;CN=Lucie;PARTSTAT=ACCEPTED:mailto:lucie@example.org\n"
    "CONTACT:luc@example.org\nune ligne perdue marie@example.org"
)


def test_no_mail_address_of_people_is_stored():
    found = read(f"{DAY}{MAIL}", f"SUMMARY:sans date\n{MAIL}")
    stored = json.dumps([found.events[0].payload, found.rejected[0].payload], ensure_ascii=False)
    assert "example.org" not in stored
    assert "Lucie" not in stored
    assert found.events[0].organizer is None
    assert found.events[0].warnings == ("unreadable_line",)


# The payload.


def test_the_payload_holds_the_properties_as_written_sorted_with_their_parameters():
    event = one(
        "UID:u\nSUMMARY;LANGUAGE=fr:Fête\\, forum\nDTSTART;TZID=America/Montreal:20261205T190000\n"
        "CATEGORIES:A\nCATEGORIES:B\nDTSTAMP:20261101T000000Z",
        head="METHOD:PUBLISH",
    )
    assert list(event.payload) == ["calendar", "CATEGORIES", "DTSTAMP", "DTSTART", "SUMMARY", "UID"]
    assert event.payload == {
        "calendar": {"feed": "f", "zone": "America/Toronto", "method": "PUBLISH"},
        "CATEGORIES": ["A", "B"],
        "DTSTAMP": "20261101T000000Z",
        "DTSTART": {"params": {"TZID": "America/Montreal"}, "value": "20261205T190000"},
        "SUMMARY": {"params": {"LANGUAGE": "fr"}, "value": "Fête\\, forum"},
        "UID": "u",
    }


def test_the_payload_of_an_occurrence_names_its_own_times_and_not_the_rule():
    found = read(
        "UID:u\nDTSTART;TZID=America/Toronto:20270303T190000\nDURATION:PT2H\nRRULE:FREQ=WEEKLY;COUNT=2\n"
        "EXDATE;TZID=America/Toronto:20270317T190000"
    )
    payload = found.events[1].payload
    assert payload["DTSTART"] == {"params": {"TZID": "America/Toronto"}, "value": "20270310T190000"}
    assert payload["DTEND"] == {"params": {"TZID": "America/Toronto"}, "value": "20270310T210000"}
    assert payload["RECURRENCE-ID"] == "20270311T000000Z"
    assert not payload.keys() & {"RRULE", "EXDATE", "DURATION"}


def test_what_the_calendar_adds_is_part_of_the_payload_so_that_its_change_is_one():
    def payload(head: str) -> Event:
        return one("UID:u\nDTSTART:20261205T190000", head=head)

    plain, elsewhere, cancelled = payload(""), payload("X-WR-TIMEZONE:Europe/Paris"), payload("METHOD:CANCEL")
    assert plain.payload != elsewhere.payload
    assert plain.payload != cancelled.payload


def test_images_written_into_the_file_are_stored_as_their_digest():
    data = "iVBORw0KGgo" * 10_000
    event = one(f"{DAY}ATTACH;ENCODING=BASE64;VALUE=BINARY;FMTTYPE=image/png:{data}")
    assert event.payload["ATTACH"]["value"].startswith("sha256:")
    assert len(json.dumps(event.payload)) < 1000


# Identity.


def test_events_without_uid_are_told_apart_by_what_they_say_and_stay_the_same():
    from tests.fakes.calendars import read_bytes
    from tests.fakes.ics_server import vcalendar

    events = [f"SUMMARY:{title}\n{DAY}LOCATION:{place}" for title, place in (("A", "x"), ("B", "x"), ("A", "y"))]
    ids = [event.source_id for event in read_bytes(vcalendar(*events).encode()).events]
    again = [event.source_id for event in read_bytes(vcalendar(*reversed(events)).encode()).events]
    assert len(set(ids)) == 3
    assert sorted(ids) == sorted(again)
    assert all(source_id.startswith("f:sha256-") for source_id in ids)


def test_a_uid_too_long_for_an_index_is_cut_to_its_digest():
    first, second = (one(f"{DAY}UID:{'u' * 5000}{end}").source_id for end in "ab")
    assert len(first) < 120
    assert first != second
    assert first.startswith("f:uuuu")
