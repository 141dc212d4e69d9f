from datetime import UTC, datetime

import pytest

from ingestion_assets.events.deduplication.survive import survive

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def values(**fields):
    return {"title": "T", "description": None, "url": None, "seen_at": WHEN} | fields


def test_an_empty_cluster_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        survive([])


def test_a_field_comes_from_the_first_source_of_the_precedence_that_has_it(sighting):
    members = [
        sighting("A", source="allevents", event=values(title="A", description="long")),
        sighting("B", source="ticketmaster", event=values(title="B")),
    ]
    survivor = survive(members)
    assert survivor.fields["title"] == "B"
    assert survivor.fields["description"] == "long"
    assert survivor.provenance["title"].source == "ticketmaster"
    assert survivor.provenance["title"].rivals == 1
    assert survivor.provenance["description"].rule == "only"


def test_within_a_source_the_fuller_then_the_newer_record_speaks(sighting):
    fuller = sighting("A", event=values(title="A", description="x", url="u"))
    newer = sighting("B", event=values(title="B", seen_at=WHEN.replace(year=2027)))
    assert survive([newer, fuller]).fields["title"] == "A"
    assert survive([newer, sighting("C", event=values(title="C"))]).fields["title"] == "B"


def test_a_bare_date_never_beats_a_time(sighting):
    members = [sighting("A", source="ticketmaster", clock=None), sighting("A", source="allevents", clock="20:00")]
    assert survive(members).fields["local_time"].hour == 20


def test_the_start_is_the_majority_s_and_a_tie_is_the_ticketing_source_s(sighting):
    tie = [sighting("A", source="allevents", clock="19:00"), sighting("A", source="eventbrite", clock="20:00")]
    assert survive(tie).fields["local_time"].hour == 20
    assert survive(tie).provenance["start"].rule == "tie_ticketing"
    majority = [*tie, sighting("A", source="ics", clock="19:00")]
    assert survive(majority).fields["local_time"].hour == 19
    assert survive(majority).provenance["start"].rule == "majority"


def test_one_aggregator_alone_does_not_cancel_what_others_list(sighting):
    off = sighting("A", source="allevents", status="cancelled")
    on = sighting("A", source="lavitrine", status="scheduled")
    assert survive([off, on]).fields["status"] == "scheduled"
    assert survive([off, on, sighting("A", source="ics", status="cancelled")]).fields["status"] == "cancelled"


def test_the_ticketing_source_cancels_alone_and_a_lone_source_is_believed(sighting):
    members = [
        sighting("A", source="ticketmaster", status="cancelled"),
        sighting("A", source="lavitrine", status="scheduled"),
    ]
    assert survive(members).fields["status"] == "cancelled"
    assert survive([sighting("A", source="allevents", status="cancelled")]).fields["status"] == "cancelled"


def test_two_aggregators_that_both_say_it_is_off_are_believed_although_their_words_differ(sighting):
    members = [
        sighting("A", source="allevents", status="cancelled"),
        sighting("A", source="lavitrine", status="postponed"),
    ]
    assert survive(members).fields["status"] in ("cancelled", "postponed")


def test_a_withdrawn_record_speaks_only_when_no_other_does(sighting):
    gone = sighting("A", source="ticketmaster", event=values(title="old"), withdrawn=True)
    here = sighting("B", source="allevents", event=values(title="new"))
    assert survive([gone, here]).fields["title"] == "new"
    assert survive([gone, here]).fields["withdrawn"] is False
    assert survive([gone]).fields["title"] == "old"
    assert survive([gone]).fields["withdrawn"] is True


def test_a_place_is_taken_whole_from_one_record(sighting):
    bare = sighting("A", source="ticketmaster", event=values(venue={"name": "Hall", "city": None, "lat": None}))
    full = sighting("A", source="allevents", event=values(venue={"name": "The Hall", "city": "Montréal", "lat": 45.5}))
    assert survive([bare, full]).fields["venue"] == {"name": "The Hall", "city": "Montréal", "lat": 45.5}


def test_the_order_of_the_members_does_not_matter(sighting):
    members = [
        sighting("A", source=source, clock=clock, event=values(title=source))
        for source in ("a", "b")
        for clock in ("19:00", "20:00", None)
    ]
    assert survive(members) == survive(members[::-1])
