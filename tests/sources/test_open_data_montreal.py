"""Montréal's public events, over HTTP from a fake of the city's CKAN, and row by row."""

from datetime import date
from pathlib import Path

import pytest

from ingestion_assets.events.model import (
    Event,
    EventStatus,
    FetchWindow,
    Precision,
    RejectedRecord,
    RejectReason,
    Unread,
)
from ingestion_assets.events.sources.open_data_montreal import OpenDataMontrealSettings, OpenDataMontrealSource
from ingestion_assets.events.sources.open_data_montreal_rows import parse
from resources.errors import PermanentError, TransientError
from tests.fakes._server import Answer, FaultPlan, Truth, json_answer
from tests.fakes.ckan import BAD_ROWS, COLUMNS, FakeCkan, event_row
from tests.fakes.fetching import WINDOW, Fetched, build, count, fetch, fetch_from

VOLATILE = OpenDataMontrealSource.volatile_paths
SAMPLE = Path(__file__).parents[2] / "samples" / "evenements.csv"


def parsed(**cells: object) -> Event:
    record = parse({**event_row(1), **cells}, WINDOW)
    assert isinstance(record, Event)
    return record


def test_every_row_of_every_page_arrives_and_bad_ones_are_refused_with_their_reason():
    with FakeCkan(events=2500, bad=6) as service:
        found = fetch_from(service)
        searches = [line.request for line in service.requests]
    assert len(found.by_id) == len(found.events) == 2500
    assert found.reasons == {"missing_title": 2, "missing_id": 1, "missing_start": 1, "invalid_start": 2}
    assert [request.query["offset"] for request in searches] == ["0", "1000", "2000", "2506"]
    assert {request.query["sort"] for request in searches} == {"_id asc"}
    assert not found.incomplete


def test_a_server_that_sends_fewer_rows_than_asked_is_read_to_the_end():
    with FakeCkan(events=700, rows_max=100) as service:
        found = fetch_from(service)
    assert len(found.by_id) == 700
    assert not found.incomplete


def test_counts_are_the_known_truth_over_two_passes_under_faults():
    with FakeCkan(events=3000, bad=12, rows_max=100, faults=FaultPlan.usual(seed=7)) as service:
        first = fetch_from(service)
        service.advance_to_pass(2)
        second = fetch_from(service)
        again = fetch_from(service)
        assert count(Fetched(), first, VOLATILE) == service.truth(1)
        assert (
            count(first, second, VOLATILE)
            == service.truth(2)
            == Truth(created=60, updated=300, skipped=2700, errors=12)
        )
        assert count(second, again, VOLATILE) == service.repeat_truth(2)
        assert sum(service.served.values()) > 20
        assert service.early == []


def test_only_the_window_is_fetched_and_the_rest_is_counted_as_outside():
    week = FetchWindow(date(2026, 11, 23), date(2026, 11, 30), "America/Toronto")
    with FakeCkan(events=500, bad=0) as service:
        found = fetch_from(service, window=week)
        truth = [row for row in service.rows(1) if row["date_debut"] in {day.isoformat() for day in week.days()}]
    assert len(found.events) == len(truth) > 0
    assert found.outside == len(found.handed_on) == 500 - len(truth)
    with FakeCkan(events=500, bad=0) as service:
        whole = fetch_from(service)
    assert {**found.handed_on, **found.by_id} == whole.by_id


def test_a_row_outside_the_window_that_lacks_something_is_no_event_when_it_is_read():
    row = {**event_row(1), "date_debut": "2020-01-05"}
    for damage, reason in [({"titre": "nan"}, "missing_title"), ({"url_fiche": "nan"}, "missing_id")]:
        unread = parse({**row, **damage}, WINDOW)
        assert isinstance(unread, Unread)
        assert unread.read().reason == reason


def test_a_table_that_moved_is_found_through_its_data_set():
    with FakeCkan(events=50, bad=0, moved=True) as service:
        found = fetch_from(service)
        paths = [line.request.path.rpartition("/")[2] for line in service.requests]
    assert len(found.events) == 50
    assert found.warnings == ["resource_moved"]
    assert paths[:3] == ["datastore_search", "package_show", "datastore_search"]


def test_without_the_datastore_the_csv_file_of_the_data_set_is_read():
    with FakeCkan(events=1200, bad=6, datastore=False) as service:
        found = fetch_from(service)
    assert len(found.by_id) == 1200
    assert found.reasons.total() == 6
    assert found.warnings == ["csv_fallback"]
    assert not found.incomplete


def test_the_csv_file_gives_the_same_events_as_the_api():
    with FakeCkan(events=300) as service:
        through_api = fetch_from(service)
        through_csv = fetch_from(service, OPEN_DATA_MONTREAL_CSV=service.csv_url)
    assert count(through_api, through_csv, VOLATILE).updated == 0
    for source_id, event in through_api.by_id.items():
        twin = through_csv.by_id[source_id]
        assert (twin.title, twin.start, twin.end, twin.venue, twin.price) == (
            event.title,
            event.start,
            event.end,
            event.venue,
            event.price,
        )


def test_a_table_that_changes_while_it_is_read_withdraws_nothing():
    class Growing(FakeCkan):
        def answer(self, request):
            if request.query.get("offset") == "100":
                self.rows(1).append({"_id": 999, **event_row(999)})
            return super().answer(request)

    with Growing(events=250, bad=0, rows_max=100) as service:
        found = fetch_from(service)
    assert found.warnings == ["total_changed"]
    assert found.incomplete == ["the table changed while it was read (250 rows, then 251)"]


def test_rows_that_never_came_make_the_fetch_incomplete():
    class Short(FakeCkan):
        def answer(self, request):
            answer = super().answer(request)
            return Answer(body=answer.body.replace(b'"total": 100', b'"total": 300'))

    with Short(events=100, bad=0) as service:
        found = fetch_from(service)
    assert len(found.events) == 100
    assert found.warnings == ["rows_missing"]
    assert found.incomplete == ["100 rows came although the service counts 300"]


def test_a_server_that_ignores_the_offset_is_an_error_and_no_endless_loop():
    class Stuck(FakeCkan):
        def answer(self, request):
            request.query["offset"] = "0"
            return super().answer(request)

    with Stuck(events=30, bad=0) as service, pytest.raises(TransientError, match="does not heed `offset`"):
        fetch_from(service)


@pytest.mark.parametrize(
    ("status", "kind", "error", "message"),
    [
        (200, "Validation Error", PermanentError, "refuses the request"),
        (409, "Validation Error", PermanentError, "refuses the request"),
        (403, "Authorization Error", PermanentError, "refuses the request"),
        (200, "Search Error", TransientError, "reports a fault"),
    ],
)
def test_an_envelope_without_success_is_an_error_whatever_its_status(status, kind, error, message):
    class Refusing(FakeCkan):
        def answer(self, request):
            body = {"success": False, "error": {"__type": kind, "message": "limit: trop grand"}}
            return json_answer(body, status=status)

    with Refusing() as service, pytest.raises(error, match=message):
        fetch_from(service)


def test_an_action_that_the_service_does_not_know_leads_to_the_csv_file():
    class WithoutDatastore(FakeCkan):
        def answer(self, request):
            if request.path.endswith("datastore_search"):
                return json_answer("Bad request - Action name not known: datastore_search", status=400)
            return super().answer(request)

    with WithoutDatastore(events=20, bad=0) as service:
        found = fetch_from(service)
    assert len(found.events) == 20
    assert found.warnings == ["csv_fallback"]


def test_a_page_of_html_instead_of_the_csv_file_is_asked_for_again():
    with FakeCkan(events=20, bad=0, faults=FaultPlan(html=0.7, seed=3)) as service:
        found = fetch_from(service, OPEN_DATA_MONTREAL_CSV=service.csv_url)
        assert sum(service.served.values()) > 0
    assert len(found.events) == 20


def test_the_sample_file_is_read_from_its_path(tmp_path):
    found = fetch(build("open_data_montreal", {"OPEN_DATA_MONTREAL_CSV": str(SAMPLE)}))
    assert found.reasons == {"missing_title": 1, "invalid_start": 1, "missing_id": 1}
    assert len(found.events) == len(found.by_id) + 1 == 36
    shared = {(event.title, event.start.date.isoformat(), event.venue.name) for event in found.events if event.venue}
    assert {
        ("Marché de Noël du Vieux-Port", "2026-12-05", "Place Jacques-Cartier"),
        ("Heure du conte : Les ours polaires", "2026-12-12", "Bibliothèque Mordecai-Richler"),
        ("Concert de l'Orchestre Métropolitain", "2026-12-19", "Église Saint-Jean-Baptiste"),
        ("Patinage libre en musique", "2027-01-09", "Parc La Fontaine"),
        ("Atelier de poterie pour débutants", "2027-01-16", "Maison de la culture Claude-Léveillée"),
        ("Fête des neiges de quartier", "2027-01-23", "Parc Jarry"),
        ("Projection : Courts métrages d'ici", "2027-02-06", "Cinémathèque québécoise"),
        ("Exposition de photos : Montréal la nuit", "2027-02-13", "Maison de la culture Ahuntsic"),
    } <= shared
    with pytest.raises(PermanentError, match=r"OPEN_DATA_MONTREAL_CSV names .*nothing.csv, which cannot be read"):
        fetch(build("open_data_montreal", {"OPEN_DATA_MONTREAL_CSV": str(tmp_path / "nothing.csv")}))


@pytest.mark.parametrize(
    ("kept", "events", "refused", "incomplete"),
    [
        (1.0, 3, {}, []),
        (0.9, 2, {"unparsable": 1}, ["the CSV file ends in the middle of line 4"]),
    ],
)
def test_a_csv_file_that_ends_in_the_middle_of_a_row_withdraws_nothing(tmp_path, kept, events, refused, incomplete):
    lines = [",".join(f'"{value}"' for value in event_row(number).values()) for number in (1, 2, 3)]
    text = "\n".join([",".join(COLUMNS), *lines])  # without a line break at its end it can be whole as well
    path = tmp_path / "evenements.csv"
    path.write_text(text[: int(len(text) * kept)])
    found = fetch(build("open_data_montreal", {"OPEN_DATA_MONTREAL_CSV": str(path)}))
    assert len(found.events) == events
    assert found.reasons == refused
    assert found.incomplete == incomplete


def test_a_row_that_cannot_be_read_is_refused_under_the_id_that_it_names(tmp_path):
    rows = [",".join(f'"{value}"' for value in event_row(number).values()) for number in (1, 2, 3)]
    ids = [fetched.source_id for fetched in fetch_csv(tmp_path, *rows).events]
    rows[1] += ",too,many"
    found = fetch_csv(tmp_path, *rows, "a,b,c")
    assert [event.source_id for event in found.events] == [ids[0], ids[2]]
    assert [record.source_id for record in found.rejected] == [ids[1], None]
    assert not found.incomplete


def fetch_csv(folder, *rows):
    """What a file of these rows gives."""
    path = folder / "evenements.csv"
    path.write_text("\n".join([",".join(COLUMNS), *rows, ""]))
    return fetch(build("open_data_montreal", {"OPEN_DATA_MONTREAL_CSV": str(path)}))


def test_repaired_and_damaged_rows_are_counted_in_a_warning_of_the_fetch(tmp_path):
    def line(number, **cells):
        return ",".join(f'"{value}"' for value in {**event_row(number), **cells}.values()) + "\n"

    text = ",".join(COLUMNS) + "\n" + line(1) + line(2, titre="CafÃ© chantant") + line(3, titre="Caf� perdu")
    path = tmp_path / "evenements.csv"
    path.write_bytes(text.encode() + line(4, titre="Noël – bis").encode("cp1252"))
    found = fetch(build("open_data_montreal", {"OPEN_DATA_MONTREAL_CSV": str(path)}))
    assert [event.title for event in found.events][1:] == ["Café chantant", "Caf� perdu", "Noël – bis"]
    assert [event.warnings for event in found.events] == [
        (),
        ("encoding_repaired",),
        ("encoding_damaged",),
        ("encoding_repaired",),
    ]
    assert found.warnings == ["encoding_repaired", "encoding_damaged"]


def test_a_row_becomes_an_event():
    event = parsed(
        titre="Concert &amp; danse",
        url_fiche="https://montreal.ca/evenements/concert-danse-87905",
        description="<p>Un bal.</p><p>Entrée libre</p>",
        date_debut="2026-12-05",
        date_fin="2026-12-07",
        type_evenement="Musique",
        public_cible="Enfants, Famille",
        emplacement="En salle",
        cout="Gratuit",
        arrondissement="Verdun",
        titre_adresse="Quai 5160",
        adresse_principale="5160, boulevard LaSalle",
        code_postal="H4G 2B6",
        lat="45.45",
        long="-73.56",
    )
    assert event.source_id == "87905"
    assert event.description == "Un bal.\n\nEntrée libre"
    assert event.precision is Precision.DATE
    assert (event.start.date, event.end.date, event.start.zone) == (
        date(2026, 12, 5),
        date(2026, 12, 7),
        "America/Toronto",
    )
    assert (event.venue.name, event.venue.address, event.venue.city) == (
        "Quai 5160",
        "5160, boulevard LaSalle",
        "Montréal",
    )
    assert (event.venue.postal_code, event.venue.lat, event.venue.lon) == ("H4G 2B6", 45.45, -73.56)
    assert (event.price.free, event.price.minimum, event.price.currency) == (True, 0.0, "CAD")
    assert event.organizer == "Ville de Montréal – Verdun"
    assert event.categories == ("Musique",)
    assert event.audience == ("Enfants", "Famille")
    assert event.language == "fr"
    assert event.warnings == ()


def test_nan_is_a_missing_value_in_every_column():
    nothing = dict.fromkeys(COLUMNS, "nan")
    needed = {name: nothing.pop(name) for name in ("titre", "url_fiche", "date_debut")}
    event = parsed(**nothing)
    assert needed.keys() == {"titre", "url_fiche", "date_debut"}
    assert (event.description, event.end, event.price, event.categories, event.audience) == (None, None, None, (), ())
    assert (event.venue.name, event.venue.address, event.venue.postal_code, event.venue.lat) == (None, None, None, None)
    assert event.organizer == "Ville de Montréal"


@pytest.mark.parametrize(
    ("url", "source_id"),
    [
        ("https://montreal.ca/evenements/concert-87905", "87905"),
        ("https://montreal.ca/evenements/concert-87905/", "87905"),
        ("https://montreal.ca/evenements/concert-87905?utm=x", "87905"),
        ("https://montreal.ca/evenements/87905", "87905"),
        ("https://montreal.ca/evenements/marche-de-noel-2026", "https://montreal.ca/evenements/marche-de-noel-2026"),
        ("https://montreal.ca/evenements/concert", "https://montreal.ca/evenements/concert"),
    ],
)
def test_the_id_is_the_number_of_the_page_else_its_address(url, source_id):
    assert parsed(url_fiche=url).source_id == source_id


def test_another_name_of_the_place_is_an_update_of_the_same_event():
    before, after = parsed(titre_adresse="Parc"), parsed(titre_adresse="Parc Jarry")
    assert before.source_id == after.source_id
    assert before.payload != after.payload


@pytest.mark.parametrize(
    ("written", "day"),
    [("2026-12-05", 5), ("2026-12-05T00:00:00", 5), ("2026-12-06 00:00:00", 6), ("2026/12/07", 7), (" 2026-12-08 ", 8)],
)
def test_days_are_read_as_exports_write_them(written, day):
    event = parsed(date_debut=written)
    assert event.start.date == date(2026, 12, day)
    assert event.start.time is None


def test_an_end_before_the_start_is_dropped_with_a_warning():
    event = parsed(date_debut="2026-12-05", date_fin="2026-12-01")
    assert event.end is None
    assert event.warnings == ("end_before_start",)


@pytest.mark.parametrize(
    ("title", "status"),
    [
        ("ANNULÉ - Concert", EventStatus.CANCELLED),
        ("[Annulée] Marche", EventStatus.CANCELLED),
        ("Reporté : bal", EventStatus.POSTPONED),
        ("Annulés : les trois concerts", EventStatus.CANCELLED),
        ("** ANNULÉES ** Visites", EventStatus.CANCELLED),
        ("ANNULE - Concert", EventStatus.CANCELLED),
        ("ANNULEE - Marche", EventStatus.CANCELLED),
        ("REPORTÉE au 3 mars : marche", EventStatus.POSTPONED),
        ("(Reportés) Les bals", EventStatus.POSTPONED),
        ("REPORTE | Bal", EventStatus.POSTPONED),
        ("Annuler ses dettes : atelier", EventStatus.SCHEDULED),
        ("ANNULER SES DETTES", EventStatus.SCHEDULED),
        ("Annulerait-on la fête?", EventStatus.SCHEDULED),
        ("Annule ton stress!", EventStatus.SCHEDULED),
        ("Reporters en herbe", EventStatus.SCHEDULED),
        ("Reporter : un métier", EventStatus.SCHEDULED),
        ("REPORTERS SANS FRONTIÈRES", EventStatus.SCHEDULED),
        ("Reportage photo", EventStatus.SCHEDULED),
        ("Annuel des fleurs", EventStatus.SCHEDULED),
        ("Le bal annulé de Cendrillon", EventStatus.SCHEDULED),
    ],
)
def test_the_status_is_what_stands_before_the_title(title, status):
    assert parsed(titre=title).status is status


@pytest.mark.parametrize(
    ("lat", "lon"), [("0", "0"), ("nan", "nan"), ("45,5", "200"), ("inf", "1"), (None, -73.5), (True, 1)]
)
def test_impossible_coordinates_are_missing(lat, lon):
    venue = parsed(lat=lat, long=lon, emplacement="En salle").venue
    assert (venue.lat, venue.lon) == (None, None)


def test_lost_letters_between_two_names_of_a_borough_are_the_dash():
    event = parsed(arrondissement="Rosemont���La Petite-Patrie")
    assert event.organizer == "Ville de Montréal – Rosemont–La Petite-Patrie"
    assert event.warnings == ("encoding_repaired",)


def test_an_event_on_line_has_no_place():
    event = parsed(emplacement="En ligne")
    assert event.online
    assert event.venue is None


@pytest.mark.parametrize(("reason", "damage"), BAD_ROWS)
def test_a_malformed_row_is_refused_with_its_reason(reason, damage):
    record = parse({**event_row(1), **damage}, WINDOW)
    assert isinstance(record, RejectedRecord)
    assert record.reason == RejectReason(reason)
    assert record.payload["description"] == event_row(1)["description"]
    assert (record.day is None) == ("date_debut" in damage)


@pytest.mark.parametrize("record", [None, 7, "row", [1, 2], True])
def test_a_row_that_is_no_object_is_refused(record):
    refused = parse(record, WINDOW)
    assert isinstance(refused, RejectedRecord)
    assert refused.reason is RejectReason.NOT_AN_OBJECT


@pytest.mark.parametrize(
    "value", [None, 0, 1.5, True, [], {}, {"a": [1]}, "\x00", "\ud800", "x" * 100_000, "9" * 400, -1, "NaN"]
)
@pytest.mark.parametrize("column", COLUMNS)
def test_any_value_in_any_column_gives_an_event_or_a_reason(column, value):
    record = parse({**event_row(1), column: value}, WINDOW)
    assert isinstance(record, Event | RejectedRecord)


def test_the_source_is_on_without_any_setting_and_can_be_switched_off():
    assert OpenDataMontrealSettings().missing() == []
    source = build("open_data_montreal", {"OPEN_DATA_MONTREAL_ENABLED": "false"})
    assert source.settings.missing() == ["OPEN_DATA_MONTREAL_ENABLED=true"]


def test_an_address_of_any_length_gives_an_id_that_fits_an_index():
    long = "https://montreal.ca/" + "x" * 5000
    assert parsed(url_fiche=long).source_id.startswith("sha256:")
    assert parsed(url_fiche=long).source_id != parsed(url_fiche=long + "y").source_id
    assert len(parsed(url_fiche="https://montreal.ca/evenements/" + "9" * 400).source_id) <= 500
