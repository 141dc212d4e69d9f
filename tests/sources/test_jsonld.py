"""schema.org events out of pages as they are found."""

import json
import random
from datetime import date, time

import pytest

from ingestion_assets.events.model import Event, EventStatus, FetchWindow, Precision, RejectedRecord, RejectReason
from ingestion_assets.events.sources.jsonld import json_ld_blocks, read_html, read_json
from ingestion_assets.events.sources.loose_json import loose_values
from ingestion_assets.events.sources.schema_event import Rules

WINDOW = FetchWindow(date(2026, 11, 16), date(2027, 3, 1), "America/Toronto")
RULES = Rules(page_url="https://salle.example/spectacles/bal")
GOOD = {"@type": "Event", "@id": "https://salle.example/e/1", "name": "Bal", "startDate": "2026-12-05T19:30:00-05:00"}


def page(*blocks):
    texts = (block if isinstance(block, str) else json.dumps(block, ensure_ascii=False) for block in blocks)
    scripts = "".join(f'<script type="application/ld+json">{text}</script>' for text in texts)
    return f"<!DOCTYPE html><html><head><title>x</title>{scripts}</head><body><p>Event</p></body></html>"


def read(*blocks, window=WINDOW, rules=RULES):
    return read_html(page(*blocks), window=window, rules=rules).records


def one(**properties):
    node = {**GOOD, **properties}
    (event,) = read({key: value for key, value in node.items() if value is not None})
    assert isinstance(event, Event), event
    return event


@pytest.mark.parametrize(
    "block",
    [
        GOOD,
        [GOOD],
        [None, GOOD, None],
        {"@context": "https://schema.org", "@graph": [{"@type": "WebSite", "name": "x"}, GOOD]},
        {"@type": "ItemList", "itemListElement": [None, {"@type": "ListItem", "position": 1, "item": GOOD}]},
        {"@type": "Place", "name": "Salle", "event": [GOOD]},
        {**GOOD, "@type": ["Event", "Thing"]},
        {**GOOD, "@type": "MusicEvent"},
        {**GOOD, "@type": "https://schema.org/TheaterEvent"},
        {**GOOD, "@type": "http://www.schema.org/Festival"},
        {**GOOD, "@type": ["schema:ExhibitionEvent"]},
        {
            "@id": GOOD["@id"],
            "@type": "schema:Event",
            "schema:name": "Bal",
            "https://schema.org/startDate": GOOD["startDate"],
        },
        {**GOOD, "name": [{"@value": "Bal"}], "startDate": [{"@value": GOOD["startDate"]}]},
        "\ufeff  <!-- \n" + json.dumps(GOOD) + "\n -->",
        "//<![CDATA[\n" + json.dumps(GOOD) + "\n//]]>",
        json.dumps(GOOD)[:-1] + ",} // the end",
        "/* generated */" + json.dumps(GOOD).replace('"startDate"', '\n// when\n"startDate"'),
        json.dumps({**GOOD, "description": "a§b"}).replace("\\u00a7", "\n\t\x0b"),
        json.dumps(GOOD).replace('"Bal"', '"B\\al"'),
        json.dumps(GOOD).replace('"', "&quot;"),
        json.dumps({"@type": "WebPage"}) + "\n" + json.dumps(GOOD) + ";",
    ],
)
def test_an_event_is_found_however_it_is_wrapped(block):
    (event,) = read(block)
    assert isinstance(event, Event)
    assert (event.source_id, event.title) == (GOOD["@id"], "Bal")
    assert (event.start.date, event.start.time) == (date(2026, 12, 5), time(19, 30))


@pytest.mark.parametrize(
    "script",
    [
        "<script type='application/ld+json; charset=utf-8'>",
        "<SCRIPT id=x TYPE=Application/LD+JSON>",
        '<script data-a="type" type=" application/ld+json " >',
    ],
)
def test_the_script_tag_is_read_as_a_browser_reads_it(script):
    html = f"<p>before</p>{script}{json.dumps(GOOD)}</script>"
    assert len(list(json_ld_blocks(html))) == 1


def test_a_page_without_events_holds_none():
    assert read({"@type": "Organization", "name": "Event Inc."}, [], "{}") == []
    assert read_html("<html>Event</html>", window=WINDOW, rules=RULES).records == []
    assert read_html("", window=WINDOW, rules=RULES).records == []
    assert read({"@type": "DeliveryEvent", "name": "Colis"}, {"@type": "PublicationEvent", "name": "Sortie"}) == []


def test_a_broken_block_costs_itself_only():
    broken, event = sorted(read('{"@type":"Event","name":"Le "Grand" bal"}', GOOD), key=lambda r: isinstance(r, Event))
    assert isinstance(broken, RejectedRecord)
    assert broken.reason is RejectReason.UNPARSABLE
    assert "Grand" in broken.payload["beginning"]
    assert event.title == "Bal"


def test_a_broken_block_without_events_is_none_of_our_business():
    assert read('{"@type":"Organization", oops}') == []


def test_repeated_blocks_are_one_event_and_the_fullest_copy_is_kept():
    blocks = [GOOD] * 13 + [{**GOOD, "description": "Le plus complet."}]
    (event,) = read(*blocks)
    assert event.description == "Le plus complet."


def test_events_of_one_id_at_different_times_are_told_apart_by_their_date():
    again = {**GOOD, "startDate": "2026-12-06T19:30:00-05:00"}
    first, second = read(GOOD, again)
    assert (first.source_id, second.source_id) == (GOOD["@id"] + "#2026-12-05T19:30", GOOD["@id"] + "#2026-12-06T19:30")
    assert first.series_id == second.series_id == GOOD["@id"]


def test_the_id_of_a_date_does_not_depend_on_how_its_offset_is_written():
    utc = {**GOOD, "startDate": "2026-12-06T00:30:00Z"}
    (first, _) = read(utc, {**GOOD, "startDate": "2026-12-06T19:30:00"})
    assert first.source_id.endswith("#2026-12-05T19:30")


@pytest.mark.parametrize(
    ("properties", "source_id"),
    [
        ({}, "https://salle.example/e/1"),
        ({"@id": "#bal"}, "https://salle.example/spectacles/bal#bal"),
        ({"@id": "_:b0", "url": "/e/2?utm_source=x&d=1"}, "https://salle.example/e/2?d=1"),
        ({"@id": None, "identifier": {"@type": "PropertyValue", "value": 77}}, "77"),
        ({"@id": None}, "https://salle.example/spectacles/bal"),
    ],
)
def test_the_id_is_what_the_page_calls_the_event(properties, source_id):
    assert one(**properties).source_id == source_id


def test_an_id_of_any_length_becomes_one_that_fits_an_index():
    first, second = (one(**{"@id": "https://salle.example/" + "x" * 5000 + end}).source_id for end in "ab")
    assert first.startswith("sha256:")
    assert first != second


def test_several_events_without_ids_get_ids_that_last():
    nodes = [{"@type": "Event", "name": name, "startDate": "2026-12-05"} for name in ("A", "B")]
    first = [event.source_id for event in read(*nodes)]
    second = [event.source_id for event in read(*reversed(nodes))]
    assert len(set(first)) == 2
    assert first == second[::-1]


@pytest.mark.parametrize(
    ("written", "local", "precision", "warnings"),
    [
        ("2026-12-05", "2026-12-05", Precision.DATE, ()),
        ("2026-12-05T19:30", "2026-12-05T19:30:00", Precision.DATETIME, ("zone_assumed",)),
        ("2026-12-06T00:30:00.000Z", "2026-12-05T19:30:00", Precision.DATETIME, ()),
        ("2026-12-05T19:30-0500", "2026-12-05T19:30:00", Precision.DATETIME, ()),
        ("2026-12-05 7:30 pm", "2026-12-05T19:30:00", Precision.DATETIME, ("zone_assumed",)),
        ("Sun, 06 Dec 2026 00:30:00 GMT", "2026-12-05T19:30:00", Precision.DATETIME, ()),
        # As `new Date().toString()` writes it, on servers whose clocks are UTC and on others.
        (
            "Sun Dec 06 2026 00:30:00 GMT+0000 (Coordinated Universal Time)",
            "2026-12-05T19:30:00",
            Precision.DATETIME,
            (),
        ),
        ("Sat Dec 05 2026 19:30:00 GMT-0500 (heure normale de l’Est)", "2026-12-05T19:30:00", Precision.DATETIME, ()),
    ],
)
def test_dates_are_read_as_they_are_meant(written, local, precision, warnings):
    event = one(startDate=written)
    start = event.start
    assert (start.local or start.date).isoformat() == local
    assert (event.precision, event.warnings, start.zone) == (precision, warnings, "America/Toronto")


def test_a_time_without_offset_is_a_time_at_the_venue():
    place = {"@type": "Place", "name": "Salle", "address": {"addressLocality": "Vancouver", "addressRegion": "BC"}}
    assert one(startDate="2026-12-05T19:30", location=place).start.zone == "America/Vancouver"


def test_an_offset_of_another_place_keeps_its_wall_clock():
    start = one(startDate="2026-12-05T19:30:00-07:00").start
    assert (start.time, start.zone) == (time(19, 30), "Etc/GMT+7")


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"name": None}, RejectReason.MISSING_TITLE),
        ({"name": "  "}, RejectReason.MISSING_TITLE),
        ({"name": {"x": 1}}, RejectReason.MISSING_TITLE),
        ({"startDate": None}, RejectReason.MISSING_START),
        ({"startDate": "bientôt"}, RejectReason.INVALID_START),
        ({"startDate": "12/05/2026"}, RejectReason.INVALID_START),
        ({"startDate": "2026-02-31"}, RejectReason.INVALID_START),
    ],
)
def test_what_an_event_lacks_is_its_reason(properties, reason):
    (record,) = read({key: value for key, value in {**GOOD, **properties}.items() if value is not None})
    assert isinstance(record, RejectedRecord)
    assert record.reason is reason
    assert record.source_id == GOOD["@id"]


@pytest.mark.parametrize(
    ("begins", "ends", "days"),
    [
        ("2026-12-05T00:00:00-05:00", "2026-12-05T23:59:59-05:00", ("2026-12-05", "2026-12-05")),
        ("2026-12-05T00:00", "2026-12-07T23:59", ("2026-12-05", "2026-12-07")),
        # A page that counts its hours in UTC: as an instant, this would be the evening before.
        ("2026-12-05T00:00:00+00:00", "2026-12-05T23:59:59+00:00", ("2026-12-05", "2026-12-05")),
        ("2026-12-05T00:00:00-05:00", "2026-12-06T02:00:00-05:00", ("2026-12-05T00:00:00", "2026-12-06T02:00:00")),
        ("2026-12-05T20:00:00-05:00", "2026-12-05T23:59:59-05:00", ("2026-12-05T20:00:00", "2026-12-05T23:59:59")),
        ("2026-12-05T00:00:00-05:00", None, ("2026-12-05T00:00:00", None)),
    ],
)
def test_from_midnight_to_the_end_of_a_day_is_all_day(begins, ends, days):
    event = one(startDate=begins, endDate=ends)
    found = (str((at.local or at.date).isoformat()) if at else None for at in (event.start, event.end))
    assert tuple(found) == days


def test_a_postponed_event_and_a_permanent_exhibition_need_no_date():
    assert one(startDate=None, eventStatus="EventPostponed").precision is Precision.TBA
    assert one(startDate=None, exhibitionType="Permanent").start is None


@pytest.mark.parametrize(
    ("properties", "end"),
    [
        ({"endDate": "2026-12-05T22:00:00-05:00"}, "2026-12-05T22:00:00"),
        ({"duration": "PT2H30M"}, "2026-12-05T22:00:00"),
        ({"startDate": "2026-12-05", "endDate": "2026-12-07T00:00:00-05:00"}, "2026-12-07"),
        ({"startDate": "2026-12-05", "duration": "P3D"}, "2026-12-07"),
        ({"endDate": "2026-12-06"}, "2026-12-06"),
        ({"endDate": "2026-12-04"}, None),
        ({"endDate": "2026-12-05T18:00:00-05:00"}, None),
        ({"endDate": "plus tard"}, None),
    ],
)
def test_ends_are_dates_durations_or_nothing(properties, end):
    event = one(**properties)
    assert (event.end and (event.end.local or event.end.date).isoformat()) == end


@pytest.mark.parametrize(
    ("written", "status", "online"),
    [
        ("https://schema.org/EventScheduled", EventStatus.SCHEDULED, False),
        ("http://schema.org/EventCancelled", EventStatus.CANCELLED, False),
        ("EventCanceled", EventStatus.CANCELLED, False),
        ("schema:EventPostponed", EventStatus.POSTPONED, False),
        ("EventRescheduled", EventStatus.RESCHEDULED, False),
        ({"@id": "https://schema.org/EventCancelled"}, EventStatus.CANCELLED, False),
        (["EventRescheduled", "https://schema.org/EventMovedOnline"], EventStatus.RESCHEDULED, True),
        ("whatever", EventStatus.SCHEDULED, False),
        (None, EventStatus.SCHEDULED, False),
    ],
)
def test_the_status_is_read_in_all_its_spellings(written, status, online):
    event = one(eventStatus=written)
    assert (event.status, event.online) == (status, online)


def test_a_place_is_read_with_its_address_and_position():
    venue = one(
        location={
            "@type": "Place",
            "@id": "https://salle.example/#lieu",
            "name": "Salle &amp; Cie",
            "address": [
                {
                    "@type": "PostalAddress",
                    "streetAddress": "1, rue A",
                    "addressLocality": {"fr": "Montréal"},
                    "addressRegion": "QC",
                },
                "1, rue A, Montréal",
            ],
            "geo": {"@type": "GeoCoordinates", "latitude": "45.5", "longitude": -73.6},
        }
    ).venue
    assert (venue.name, venue.address, venue.city, venue.region) == ("Salle & Cie", "1, rue A", "Montréal", "QC")
    assert (venue.lat, venue.lon, venue.source_id) == (45.5, -73.6, "https://salle.example/#lieu")


@pytest.mark.parametrize(
    ("location", "name", "address", "online"),
    [
        ("Salle Bleue, 1 rue A, Montréal", "Salle Bleue", "1 rue A, Montréal", False),
        ("1234 rue A, Montréal", None, "1234 rue A, Montréal", False),
        ({"@type": "VirtualLocation", "url": "https://visio.example"}, None, None, True),
        ([{"@type": "VirtualLocation"}, {"@type": "Place", "name": "Salle"}], "Salle", None, False),
        ([None, {"@type": "Place", "name": "Salle"}], "Salle", None, False),
        ({"@type": "Place", "name": "Salle", "address": "1 rue A"}, "Salle", "1 rue A", False),
        ("https://visio.example/x", None, None, True),
        ({"@type": "Place"}, None, None, False),
        ([], None, None, False),
    ],
)
def test_places_come_in_many_forms(location, name, address, online):
    event = one(location=location)
    assert (event.venue and event.venue.name, event.venue and event.venue.address) == (name, address)
    assert event.online is online


@pytest.mark.parametrize(
    ("offers", "free", "low", "high", "coin"),
    [
        ({"price": "10,00", "priceCurrency": "CAD"}, False, 10, 10, "CAD"),
        ({"price": 0, "priceCurrency": "cad"}, True, 0, 0, "CAD"),
        ({"price": "Gratuit"}, True, 0, 0, None),
        ([{"price": "25.50"}, {"price": 12}, None], False, 12, 25.5, None),
        (
            {"@type": "AggregateOffer", "lowPrice": "15", "highPrice": "1 234,50 $", "priceCurrency": "$"},
            False,
            15,
            1234.5,
            None,
        ),
        ({"priceSpecification": {"price": 20, "minPrice": 18, "priceCurrency": "CAD"}}, False, 18, 20, "CAD"),
        ({"@type": "AggregateOffer", "offers": [{"price": "1,234.00"}]}, False, 1234, 1234, None),
        ([{"price": "Gratuit"}, {"price": "30"}], False, 0, 30, None),
        ({"price": "10 - 20 $"}, False, 10, 20, None),
    ],
)
def test_prices_are_read_as_people_write_them(offers, free, low, high, coin):
    price = one(offers=offers).price
    assert (price.free, price.minimum, price.maximum, price.currency) == (free, low, high, coin)


@pytest.mark.parametrize(
    "offers", [None, [], {}, {"price": "à la porte"}, {"price": -5}, "https://billets.example", {"price": True}]
)
def test_no_price_is_no_price(offers):
    assert one(offers=offers).price is None


def test_free_access_is_a_price_of_nothing():
    assert one(isAccessibleForFree="True").price.free is True
    assert one(isAccessibleForFree=False).price.free is False


@pytest.mark.parametrize(
    "image",
    [
        "https://salle.example/a.jpg",
        ["/a.jpg", "/b.jpg"],
        {"@type": "ImageObject", "url": "https://salle.example/a.jpg"},
        [None, {"@type": "ImageObject", "contentUrl": "/a.jpg"}],
    ],
)
def test_images_come_in_many_forms(image):
    assert one(image=image).image_url == "https://salle.example/a.jpg"


def test_text_in_several_languages_is_taken_in_the_best_one():
    event = one(name={"en": "Ball", "fr": "Bal"}, description={"en": "<p>Only&nbsp;English</p>"})
    assert (event.title, event.description, event.language) == ("Bal", "Only English", "fr")
    event = one(
        name=[{"@value": "Bal", "@language": "fr-CA"}, {"@value": "Ball", "@language": "en"}], inLanguage="en-CA"
    )
    assert (event.title, event.language) == ("Bal", "en")


def test_people_genres_and_audience_are_read_from_objects_lists_and_text():
    event = one(
        **{"@type": ["Event", "MusicEvent", "ScreeningEvent"]},
        performer=[{"@type": "Person", "name": "Ana"}, "Bo", None, {"name": "Ana"}],
        organizer=[{"@type": "Organization", "name": "Salle"}],
        keywords="bal, danse , ",
        genre=["Folk"],
        audience={"@type": "Audience", "audienceType": ["Famille", "Enfants"]},
        superEvent={
            "@type": "EventSeries",
            "@id": "https://salle.example/s",
            "name": "Saison",
            "subEvent": [{"@id": "x"}],
        },
    )
    assert event.performers == ("Ana", "Bo")
    assert event.organizer == "Salle"
    assert event.categories == ("Music", "Screening", "Folk", "bal", "danse")
    assert event.audience == ("Famille", "Enfants")
    assert event.series_id == "https://salle.example/s"
    assert "subEvent" not in event.payload["superEvent"]


def test_references_inside_a_page_are_followed_and_circles_end():
    graph = [
        {**GOOD, "location": {"@id": "#lieu"}, "organizer": {"@id": "#org"}},
        {
            "@type": "Place",
            "@id": "#lieu",
            "name": "Salle",
            "address": {"@id": "#adresse"},
            "event": {"@id": GOOD["@id"]},
        },
        {"@type": "PostalAddress", "@id": "#adresse", "addressLocality": "Laval"},
        {
            "@type": "Organization",
            "@id": "#org",
            "name": "Org",
            "location": {"@id": "#lieu"},
            "subEvent": {"@id": "#org"},
        },
    ]
    (event,) = read({"@graph": graph})
    assert (event.venue.name, event.venue.city, event.organizer) == ("Salle", "Laval", "Org")


def test_references_that_multiply_are_bounded():
    ids = [f"#n{number}" for number in range(60)]
    nodes = [
        {"@type": "Place", "@id": name, "name": name, "location": [{"@id": other} for other in ids]} for name in ids
    ]
    (event,) = read({"@graph": [{**GOOD, "location": [{"@id": name} for name in ids]}, *nodes]})
    assert isinstance(event, Event), event
    assert event.venue.name == "#n0"


def series(**properties):
    child = {"@type": "MusicEvent"}
    return {
        "@type": "EventSeries",
        "@id": "https://salle.example/s",
        "name": "Le Bal",
        "location": {"@type": "Place", "name": "Salle"},
        "offers": {"price": 10},
        "subEvent": [
            {**child, "@id": "https://salle.example/s#1", "startDate": "2026-12-05T20:00:00-05:00"},
            {**child, "startDate": "2026-12-06T20:00:00-05:00", "offers": {"price": 20}},
            {**child, "startDate": "2026-12-06T14:00:00-05:00", "name": ""},
            None,
            {"@id": "https://salle.example/s#unknown"},
        ],
        **properties,
    }


def test_a_series_becomes_its_dates_each_completed_by_the_series():
    events = read(series())
    assert [event.source_id for event in events] == [
        "https://salle.example/s#1",
        "https://salle.example/s#2026-12-06T20:00",
        "https://salle.example/s#2026-12-06T14:00",
    ]
    assert {event.title for event in events} == {"Le Bal"}
    assert {event.venue.name for event in events} == {"Salle"}
    assert [event.price.minimum for event in events] == [10, 20, 10]
    assert {event.series_id for event in events} == {"https://salle.example/s"}


def test_another_date_of_a_series_is_no_change_of_this_one():
    before = read(series())
    longer = series()
    longer["subEvent"].append({"@type": "Event", "startDate": "2026-12-09T20:00:00-05:00"})
    after = read(longer)
    assert [event.payload for event in after[:3]] == [event.payload for event in before]


def test_dates_that_stand_beside_their_series_as_well_are_told_once():
    first = {"@type": "Event", "@id": "#d1", "startDate": "2026-12-05T20:00:00-05:00", "superEvent": {"@id": "#s"}}
    parent = {"@type": "EventSeries", "@id": "#s", "name": "Saison", "subEvent": [{"@id": "#d1"}]}
    (event,) = read({"@graph": [first, parent]})
    assert (event.title, event.source_id) == ("Saison", RULES.page_url + "#d1")


def test_a_festival_with_a_programme_stays_beside_its_events():
    festival = {
        **GOOD,
        "@type": "Festival",
        "name": "Fête",
        "subEvent": [
            {"@type": "Event", "@id": "https://salle.example/e/2", "name": "Concert", "startDate": "2026-12-06"}
        ],
    }
    concert, whole = read(festival)
    assert (concert.title, concert.series_id) == ("Concert", GOOD["@id"])
    assert (whole.title, "subEvent" in whole.payload) == ("Fête", False)


def test_a_series_without_dates_is_told_by_its_children_only():
    child = {**GOOD, "superEvent": {"@id": "#s"}}
    (event,) = read({"@graph": [child, {"@type": "EventSeries", "@id": "#s", "name": "Saison"}]})
    assert event.source_id == GOOD["@id"]


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        (
            {
                "startDate": "2026-12-01",
                "endDate": "2026-12-15",
                "repeatFrequency": "P1W",
                "byDay": "https://schema.org/Tuesday",
            },
            [1, 8, 15],
        ),
        ({"startDate": "2026-12-01", "endDate": "2026-12-08", "byDay": ["Tuesday", "schema:Friday"]}, [1, 4, 8]),
        ({"startDate": "2026-12-01", "repeatFrequency": "P1D", "repeatCount": 3}, [1, 2, 3]),
        (
            {
                "startDate": "2000-01-01",
                "endDate": "2026-12-02",
                "repeatFrequency": "daily",
                "exceptDate": ["2026-12-01"],
            },
            [2],
        ),
        ({"startDate": "2026-10-13", "endDate": "2027-01-01", "repeatFrequency": "P1M"}, [13]),
        (
            {
                "startDate": "2026-12-01",
                "endDate": "2026-12-31",
                "repeatFrequency": "P1M",
                "byDay": "MO",
                "byMonthWeek": 2,
            },
            [14],
        ),
        ({"startDate": "2020-12-24", "repeatFrequency": "P1Y", "endDate": "2026-12-31"}, [24]),
        ({"startDate": "2026-11-24", "repeatFrequency": "P2W", "endDate": "2026-12-31"}, [8, 22]),
        ({"startDate": "2026-12-03"}, [3]),
        ({"startDate": "2026-12-01", "repeatFrequency": "P1M", "byMonth": 2, "byMonthDay": 30}, []),
    ],
)
def test_a_schedule_is_expanded_inside_the_window(schedule, days):
    december = FetchWindow(date(2026, 12, 1), date(2027, 1, 1), "America/Toronto")
    node = {
        **GOOD,
        "startDate": None,
        "eventSchedule": {"@type": "Schedule", "startTime": "19:00", "endTime": "01:00", **schedule},
    }
    events = read(node, window=december)
    assert [event.start.date.day for event in events] == days
    for event in events:
        assert event.start.time == time(19)
        assert (event.end.date - event.start.date).days == 1
        assert event.source_id == f"{GOOD['@id']}#{event.start.date}T19:00"
        assert event.series_id == GOOD["@id"]
        assert "eventSchedule" not in event.payload


@pytest.mark.parametrize(
    ("begins", "ends", "expected"),
    [
        ("19:30", "21:00", (time(19, 30), time(21))),
        ("T19:30:00", "21:00:00-05:00", (time(19, 30), time(21))),
        ("19h30", "21h00", (time(19, 30), time(21))),
        ("7:30 PM", "9:00 p.m.", (time(19, 30), time(21))),
        ("12:15 AM", "12:45 pm", (time(0, 15), time(12, 45))),
        ("2026-12-01T19:30:00-05:00", "2026-12-02T02:00:00Z", (time(19, 30), time(21))),
        ("2026-12-01T19:30", "bientôt", (time(19, 30), None)),
        ("2026-12-01", "25:00", (None, None)),
        ("13:30 PM", None, (time(13, 30), None)),
        (1930, [], (None, None)),
    ],
)
def test_the_time_of_day_of_a_schedule_is_read_however_it_is_written(begins, ends, expected):
    schedule = {"@type": "Schedule", "startDate": "2026-12-03", "startTime": begins, "endTime": ends}
    (event,) = read({**GOOD, "startDate": None, "eventSchedule": schedule})
    assert (event.start.time, event.end and event.end.time) == expected
    assert event.start.date == date(2026, 12, 3)


def test_a_schedule_that_cannot_be_read_is_refused_or_the_events_own_date_taken():
    broken = {"@type": "Schedule", "startDate": "2026-12-01", "repeatFrequency": "PT1S"}
    (refused,) = read({**GOOD, "startDate": None, "eventSchedule": broken})
    assert refused.reason is RejectReason.INVALID_RECURRENCE
    (kept,) = read({**GOOD, "eventSchedule": broken})
    assert kept.source_id == GOOD["@id"]


def test_endless_schedules_are_bounded():
    years = FetchWindow(date(2000, 1, 1), date(2030, 1, 1), "America/Toronto")
    node = {**GOOD, "eventSchedule": {"startDate": "2000-01-01", "repeatFrequency": "P1D"}}
    records = read(node, window=years)
    assert sum(isinstance(record, Event) for record in records) == 730
    assert [record.reason for record in records if isinstance(record, RejectedRecord)] == [
        RejectReason.TOO_MANY_OCCURRENCES
    ]


def test_events_outside_the_window_are_counted_and_left_out():
    reading = read_html(page(GOOD, {**GOOD, "@id": "#x", "startDate": "2025-01-01"}), window=WINDOW, rules=RULES)
    assert (len(reading.records), reading.outside_window) == (1, 1)


def test_json_nested_without_end_is_refused_and_does_not_crash():
    deep = '{"@type":"Event","a":' * 50_000 + "1" + "}" * 50_000
    (refused,) = read(deep)
    assert refused.reason in (RejectReason.TOO_DEEP, RejectReason.UNPARSABLE)
    nested = {**GOOD, "location": [[[[[[[[[[[[[[["x"]]]]]]]]]]]]]]]}
    assert isinstance(read(nested)[0], Event)


@pytest.mark.parametrize(
    "value", [None, 0, -1.5, True, "", "x", [], {}, [None], [[]], {"@value": None}, {"@id": 3}, "\x00\ud800", 10**30]
)
@pytest.mark.parametrize(
    "name",
    [
        *("@id", "@type", "name", "startDate", "endDate", "duration", "eventStatus", "eventAttendanceMode", "location"),
        *("offers", "image", "url", "organizer", "performer", "keywords", "genre", "audience", "inLanguage"),
        *("superEvent", "subEvent", "eventSchedule", "identifier", "description", "isAccessibleForFree", "disciplines"),
    ],
)
def test_any_value_of_any_property_gives_an_event_or_a_reason(name, value):
    for record in read_json([{**GOOD, name: value}, {**GOOD, "@id": "#other"}], window=WINDOW, rules=RULES).records:
        assert isinstance(record, Event | RejectedRecord)
    nested = {**GOOD, "location": {"@type": "Place", name: value}, "offers": {name: value}}
    (record,) = read_json(nested, window=WINDOW, rules=RULES).records
    assert isinstance(record, Event)


def test_random_damage_to_a_page_never_raises():
    whole = page(series(), {**GOOD, "location": {"@type": "Place", "name": "Salle"}, "offers": [{"price": "10,00"}]})
    for seed in range(150):
        draw = random.Random(seed)
        text = list(whole)
        for _ in range(draw.randrange(1, 8)):
            text[draw.randrange(len(text))] = draw.choice('"\\{}[],:<>\x00é/*\n')
        for record in read_html("".join(text), window=WINDOW, rules=RULES).records:
            assert isinstance(record, Event | RejectedRecord)


def test_mending_takes_linear_time():
    assert loose_values('{"a": "' + '\\"' * 50_000 + '", }') == [{"a": '"' * 50_000}]
    for hostile in ("/*" * 50_000, '"' * 50_001, "," * 50_000 + "{", '{"a":' + "\\" * 50_001):
        with pytest.raises(ValueError, match=r".+"):
            loose_values(hostile)
