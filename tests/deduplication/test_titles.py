"""The title parser, as a table: what is read out of each title."""

import pytest

from ingestion_assets.events.deduplication.lexicon import build_lexicon, default_lexicon
from ingestion_assets.events.deduplication.text import fold, stem, words
from ingestion_assets.events.deduplication.titles import parse_title
from ingestion_assets.events.deduplication.venues import without_place

SAME_EVENT = [
    ("Heure du conte", "Story Time"),
    ("L'heure du conte", "L&#8217;heure du conte"),
    ("Casse-Noisette", "The Nutcracker"),
    ("Atelier de céramique", "Ceramics workshop"),
    ("Atelier de poterie pour débutants", "Pottery Workshop for Beginners"),
    ("CONCERT DE NOËL", "Concert de Noel"),
    ("Festival de jazz", "Jazz Festival"),
    ("Soirée d'humour", "Comedy Night"),
    ("Club de lecture", "Book Club"),
    ("Visite guidée du musée", "Guided tour of the museum"),
    ("Marché de Noël", "Christmas Market"),
    ("Cours de yoga", "Yoga class"),
    ("Exposition : photographie", "Photography exhibition"),
    ("Soirée micro ouvert", "Open Mic Night"),
    ("ANNULÉ - Half Moon", "Half Moon"),
    ("[SOLD OUT] Half Moon", "Half Moon"),
    ("Half Moon (Complet)", "Half Moon"),
    ("Half Moon – SUPPLÉMENTAIRE", "Half Moon"),
    ("GRATUIT | Half Moon", "Half Moon"),
    ("Evenko présente Half Moon", "Half Moon"),
    ("Half Moon 2026", "Half Moon"),
    ("12e édition : Half Moon", "Half Moon"),
    ("Thé dansant", "Thé dansant"),
    ("Réseautage d'affaires", "Business networking"),
    ("Atelier de biologie", "Biology workshop"),
    ("Soirée céramqiue", "Ceramics Night"),
]

DIFFERENT_EVENT = [
    ("Full Moon Yoga", "Moon Yoga"),
    ("Toy Story 2", "Toy Story 3"),
    ("Atelier de poterie", "Atelier de couture"),
    ("New York", "York"),
]


@pytest.mark.parametrize(("one", "two"), SAME_EVENT)
def test_two_ways_to_write_a_title_have_the_same_head(one, two):
    assert set(parse_title(one).head) == set(parse_title(two).head)


@pytest.mark.parametrize(("one", "two"), DIFFERENT_EVENT)
def test_words_that_tell_events_apart_stay_in_the_head(one, two):
    assert set(parse_title(one).head) != set(parse_title(two).head)


@pytest.mark.parametrize(
    ("title", "field", "expected"),
    [
        ("Casse-Noisette (matinée)", "sessions", {"matinee"}),
        ("The Nutcracker - Matinee", "sessions", {"matinee"}),
        ("Half Moon - Early Show", "sessions", {"early"}),
        ("Half Moon, 2e représentation", "sessions", {"late"}),
        ("Half Moon - en soirée", "sessions", {"night"}),
        ("The Morning Benders", "sessions", set()),
        ("Atelier X, partie 2", "parts", {("part", 2)}),
        ("Workshop X, Part II", "parts", {("part", 2)}),
        ("Festival X - Jour 3", "parts", {("day", 3)}),
        ("X Festival Day 3", "parts", {("day", 3)}),
        ("Cours de yoga (séance 4/8)", "parts", {("part", 4)}),
        ("Cours de yoga, cours no 4", "parts", {("part", 4)}),
        ("Cours de yoga (groupe C)", "parts", {("group", 3)}),
        ("Yoga Class - Group D", "parts", {("group", 4)}),
        ("Niveau 2, séance 3", "parts", {("part", 3)}),
        ("Niveau 5, séance 3", "parts", {("level", 5), ("part", 3)}),
        ("Festival X (J2)", "parts", {("day", 2)}),
        ("Festival X – dimanche", "parts", {("weekday", 6)}),
        ("Zumba – dimanche", "parts", set()),
        ("Yoga Class | L2", "publics", {"intermediate"}),
        ("Initiation au yoga, niveau 2", "publics", {"intermediate"}),
        ("Yoga, niveau 1 / niveau 2", "publics", {"beginner", "intermediate"}),
        ("Half Moon (en français)", "publics", {"french"}),
        ("Half Moon [FR]", "publics", {"french"}),
        ("Half Moon - The Long Way Home Tour", "head", {"half", "moon"}),
        ("Half Moon – En solo", "head", {"half", "moon"}),
        ("Half Moon : transport en autobus", "addons", {"shuttle"}),
        ("Half Moon - Loge privée", "addons", {"box"}),
        ("Half Moon (Private Suite)", "addons", {"box"}),
        ("Bach: Cello Suites", "addons", set()),
        ("Half Moon – Accès anticipé", "addons", {"early"}),
        ("Half Moon (NOUVELLE SALLE)", "statuses", {"moved"}),
        ("Half Moon - new venue", "statuses", {"moved"}),
        ("Half Moon – Single Day Ticket", "addons", set()),
        ("Club de lecture #5", "parts", {("part", 5)}),
        ("Troisième partie : X", "parts", {("part", 3)}),
        ("Parking - Half Moon", "addons", {"parking"}),
        ("Half Moon - VIP Package", "addons", {"vip"}),
        ("Forfait VIP : Half Moon", "addons", {"vip"}),
        ("Prking: Half Moon", "addons", {"parking"}),
        ("Park Avenue Stories", "addons", set()),
        ("ANNULÉ - Half Moon", "statuses", {"cancelled"}),
        ("[FULL] Half Moon", "statuses", {"sold_out"}),
        ("Full Moon Yoga", "statuses", set()),
        ("Atelier de poterie", "secondary", {"workshop"}),
        ("Vernissage : X", "secondary", {"opening"}),
        ("Toy Story 3", "numbers", {"3"}),
        ("Atelier de cirque (6-12 ans)", "publics", {"child"}),
        ("Heure du conte (6-12 ans)", "publics", set()),  # for children anyway
        ("Storytime (ages 6 to 12)", "numbers", {"6-12"}),
        ("Atelier 14-17 ans", "publics", {"teen"}),
        ("Workshop (12-15 yrs)", "numbers", {"12-15"}),
    ],
)
def test_labels_are_read_where_they_stand_and_only_there(title, field, expected):
    assert set(getattr(parse_title(title), field)) == expected


@pytest.mark.parametrize(
    ("title", "tribute"),
    [
        ("Hommage à Queen", True),
        ("Queen: A Tribute", True),
        ("Tribute to Queen", True),
        ("Candlelight: Queen", True),
        ("Queen à la chandelle", True),
        ("Queen", False),
    ],
)
def test_a_tribute_is_told_from_the_original(title, tribute):
    assert parse_title(title).tribute is tribute


@pytest.mark.parametrize(
    ("title", "head", "support"),
    [
        ("Half Moon w/ Wolf Parade", {"half", "moon"}, {"wolf", "parade"}),
        ("Half Moon + Wolf Parade", {"half", "moon"}, {"wolf", "parade"}),
        ("Half Moon et invités : Wolf Parade", {"half", "moon"}, {"wolf", "parade"}),
        ("Half Moon avec Wolf Parade", {"half", "moon"}, {"wolf", "parade"}),
        ("Avec Amour", {"love"}, set()),
        ("Workshop with Wolf Parade", {"workshop", "wolf", "parade"}, set()),
    ],
)
def test_lesser_acts_stand_apart_from_the_head(title, head, support):
    parsed = parse_title(title)
    assert (set(parsed.head), set(parsed.support)) == (head, support)


def test_who_presents_stands_apart_from_the_head():
    parsed = parse_title("Greenland presents Half Moon")
    assert (set(parsed.head), parsed.presenters) == ({"half", "moon"}, ("greenland",))


@pytest.mark.parametrize(
    ("title", "minutes"), [("X - 20h30", 1230), ("X (8 PM)", 1200), ("X 14:00", 840), ("X", None), ("X 12:00 a.m.", 0)]
)
def test_a_clock_in_the_title_is_read_in_minutes(title, minutes):
    assert parse_title(title).clock == minutes


@pytest.mark.parametrize("title", ["!!!", "20h", "ANNULÉ", "   x", "早安台北", "🎉", "&amp;", "(((", "a" * 5_000])
def test_any_title_leaves_a_head(title):
    assert parse_title(title).head


def test_entities_are_unescaped_even_when_escaped_twice():
    assert fold("Rock &amp;amp; Roll &#8217;") == fold("Rock & Roll ’")


@pytest.mark.parametrize(
    ("french", "english"),
    [("céramique", "ceramics"), ("biologie", "biology"), ("astronomie", "astronomy"), ("journaliste", "journalist")],
)
def test_cognates_share_a_stem(french, english):
    assert stem(words(french)[0]) == stem(words(english)[0])


def test_a_phrase_in_two_lines_of_the_lexicon_is_refused():
    with pytest.raises(ValueError, match=r"stands in concept\.a and in concept\.b"):
        build_lexicon({"concept": {"a": ["one"], "b": ["one"]}})


def test_every_line_of_the_shipped_lexicon_is_unambiguous():
    assert len(default_lexicon().by_first) > 500


@pytest.mark.parametrize(
    ("title", "plain"),
    [
        ("Salon du livre – July 2 to 8", "Salon du livre"),
        ("Salon du livre, du 9 au 18 novembre", "Salon du livre"),
        ("Salon du livre (vendredi 30 juillet)", "Salon du livre"),
        ("Salon du livre - Dec 12, 2026", "Salon du livre"),
        ("Salon du livre : 3 jours", "Salon du livre"),
        ("Salon du livre – 30 juin au 2 juillet", "Salon du livre"),
        ("Spinning 45 - Aug 6", "Spinning 45"),
        ("Half Moon LIVE", "Half Moon"),
        ("31/05 Salon du livre", "Salon du livre"),
        ("Salon du livre (10,50 $)", "Salon du livre"),
        ("€8 - Salon du livre", "Salon du livre"),
    ],
)
def test_dates_in_a_title_say_nothing_of_it(title, plain):
    assert parse_title(title).head == parse_title(plain).head
    assert parse_title(title).numbers == parse_title(plain).numbers


def test_a_title_that_is_a_price_keeps_it():
    assert parse_title("$5").head != parse_title("$20").head


def test_a_part_of_several_is_no_date():
    assert parse_title("Salon du livre 3/5").parts == {("part", 3)}


def test_a_phrase_is_known_with_a_slip_in_it():
    assert parse_title("Le Malade imagnnaire").head == parse_title("The Imaginary Invalid").head
    assert parse_title("Le Petit Prance").head != parse_title("Le Grand Prince").head


def test_families_are_no_part_of_a_title_that_ends_with_them():
    assert parse_title("Conte sur glace | famille").publics == frozenset()
    assert parse_title("Conte sur glace pour la famille").publics == {"family"}


def test_a_game_has_two_sides():
    assert "match" in parse_title("Lions c. Comets").head
    assert "match" in parse_title("Les Lions reçoivent les Comets").head
    assert "match" not in parse_title("Vitamin C").head
    assert "match" not in parse_title("The Host").head


@pytest.mark.parametrize("title", ["May 4", "2026-05-02", "14 juillet"])
def test_a_title_that_is_a_date_keeps_it(title):
    assert parse_title(title).head


@pytest.mark.parametrize(
    ("title", "day", "days"),
    [
        ("Festival X - Jour 3", True, 0),
        ("Marée Haute – programmation du samedi", True, 0),
        ("Marée Haute | Sat. Feb 13", True, 0),
        ("Marée Haute, 13 février", True, 0),
        ("Marée Haute (13 - 16 février)", False, 3),
        ("Marée Haute, 12 & 13 juin", False, 1),
        ("High Tide – June 28 to July 3", False, 5),
        ("High Tide (June 28 to June 3)", False, 0),
        ("Marée Haute : 3 jours", False, 2),
        ("Marée Haute (2-day)", False, 1),
        ("Marée Haute", False, 0),
        ("Saturday Night Fever", False, 0),
        ("7 Days of Rain", False, 0),
    ],
)
def test_a_title_says_whether_it_is_a_day_or_days(title, day, days):
    parsed = parse_title(title)
    assert (parsed.of_a_day, parsed.days) == (day, days)


@pytest.mark.parametrize(
    "title", ["Rivière | Déplacé de Club Soda à Gesù", "Rivière (moved to Gesù)", "Rivière (initialement au Gesù)"]
)
def test_from_where_it_was_moved_is_no_part_of_a_title(title):
    parsed = parse_title(title)
    assert parsed.moved
    assert parsed.head == parse_title("Rivière").head


def test_a_title_that_begins_with_moving_was_not_moved():
    assert not parse_title("Moved to Tears").moved


def test_who_plays_whom_is_said_apart_from_a_tribute():
    assert parse_title("Rosa Lind joue Brassens").plays
    assert not parse_title("Hommage à Brassens").plays
    assert not parse_title("Rosa Lind joue Satie").plays  # a recital: nobody takes it for Satie's own
    assert not parse_title("Le Pont, a play by Rosa Lind").plays
    assert not parse_title("Plays for Two").plays


@pytest.mark.parametrize(
    ("title", "venue", "kept"),
    [
        ("Dream and Turtle at Ausgang Theatre", "Théâtre Ausgang", "Dream and Turtle"),
        ("Lansdowne Theatre: Red Wagon", "Lansdowne Theatre", "Red Wagon"),
        ("Red Wagon (Théâtre Orphée)", "Théâtre Orphée", "Red Wagon"),
        ("Club Soda", "Club Soda", "Club Soda"),
        ("Orchestre symphonique de Laval : Mahler", "Salle symphonique", "Orchestre symphonique de Laval : Mahler"),
        ("Une nuit au théâtre", "Théâtre Orphée", "Une nuit au théâtre"),
        ("Parking : Red Wagon", "Parking Club Soda", "Parking : Red Wagon"),
    ],
)
def test_the_venue_in_a_title_is_no_part_of_it(title, venue, kept):
    assert parse_title(without_place(title, venue, "Montréal")).head == parse_title(kept).head
