"""CSV as it is found."""

import io
import random

import pytest

from ingestion_assets.events.sources.encoding import repair_mojibake
from ingestion_assets.events.sources.tabular import BadRow, Row, column_name, csv_rows
from resources.errors import PermanentError

REQUIRED = ("titre", "url_fiche", "date_debut")


def begins(cells):
    return len(cells) > 2 and cells[1].startswith("https://")


def read(data: bytes):
    return list(csv_rows(io.BytesIO(data), required=REQUIRED, begins=begins))


def good(data: bytes):
    return [row.cells["titre"] for row in read(data) if isinstance(row, Row)]


HEADER = b"titre,url_fiche,description,date_debut\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbftitre,url_fiche,date_debut\nA,https://x/1,2026-12-01\n",
        b"titre;url_fiche;date_debut\r\nA;https://x/1;2026-12-01\r\n",
        b"\n\ntitre\turl_fiche\tdate_debut\nA\thttps://x/1\t2026-12-01",
        "Titre,URL fiche,Date début\nA,https://x/1,2026-12-01\n".encode(),
        "Titre,URL fiche,Date début\nA,https://x/1,2026-12-01\n".encode("latin-1"),
        "titre;url_fiche;date_debut\nA;https://x/1;2026-12-01\n".encode("utf-16"),
        b"titre,url_fiche,date_debut,,\nA,https://x/1,2026-12-01,,\n",
    ],
    ids=["byte order mark", "semicolons", "tabs", "accents", "latin-1 accents", "utf-16", "delimiters at the end"],
)
def test_the_header_is_found_however_it_is_written(data):
    (row,) = read(data)
    assert isinstance(row, Row)
    assert (row.cells["titre"], row.cells["url_fiche"], row.cells["date_debut"]) == ("A", "https://x/1", "2026-12-01")


def test_a_missing_column_is_an_error_that_names_it():
    with pytest.raises(PermanentError, match=r"no column date_debut.*titre, url_fiche, nom"):
        read(b"titre,url_fiche,nom\n")


def test_an_empty_file_is_an_error_and_a_header_alone_is_no_rows():
    with pytest.raises(PermanentError, match="empty"):
        read(b"")
    assert read(HEADER) == []


def test_short_and_long_rows_are_refused_and_their_neighbours_kept():
    rows = read(
        HEADER
        + b"A,https://x/1,d,2026-12-01\nB,https://x/2\nC,https://x/3,d,2026-12-01,extra\nD,https://x/4,,2026-12-01\n"
    )
    assert [type(row) for row in rows] == [Row, BadRow, BadRow, Row]
    assert [row.line for row in rows] == [2, 3, 4, 5]
    assert [row.detail for row in rows if isinstance(row, BadRow)] == [
        "2 cells where the header has 4",
        "5 cells where the header has 4",
    ]
    assert rows[3].cells["description"] is None


def test_quoted_cells_keep_their_line_breaks_and_quotes():
    (row,) = read(HEADER + b'"A ""b""",https://x/1,"one\ntwo, three\nhttps://y, z",2026-12-01\n')
    assert row.cells["titre"] == 'A "b"'
    assert row.cells["description"] == "one\ntwo, three\nhttps://y, z"


def test_a_quote_left_open_costs_its_own_row_only():
    data = (
        HEADER
        + b'A,https://x/1,"never closed,2026-12-01\n'
        + b'B,https://x/2,"fine",2026-12-02\nC,https://x/3,,2026-12-03\n'
    )
    rows = read(data)
    assert [type(row) for row in rows] == [BadRow, Row, Row]
    assert rows[1].cells == {
        "titre": "B",
        "url_fiche": "https://x/2",
        "description": "fine",
        "date_debut": "2026-12-02",
    }
    assert "never closed" in rows[0].text


def test_a_quote_left_open_is_bounded_when_nothing_looks_like_a_row():
    filler = b"words and words\n" * 2000
    rows = read(HEADER + b'A,https://x/1,"never closed,2026-12-01\n' + filler + b"Z,https://x/9,,2026-12-09\n")
    assert [row.cells["titre"] for row in rows if isinstance(row, Row)] == ["Z"]


def test_a_stray_quote_inside_a_cell_is_read_leniently():
    (row,) = read(HEADER + b'"A" bis,https://x/1,d,2026-12-01\n')
    assert row.cells["titre"] == "A bis"


def test_a_cell_beyond_the_limit_is_refused_and_its_neighbours_kept():
    data = HEADER + b"A,https://x/1," + b"x" * 200_000 + b",2026-12-01\nB,https://x/2,,2026-12-02\n"
    rows = read(data)
    assert [type(row) for row in rows] == [BadRow, Row]


def test_nul_bytes_do_not_end_the_file():
    rows = read(HEADER + b"A\x00,https://x/1,d,2026-12-01\nB,https://x/2,,2026-12-02\n")
    assert [row.cells["titre"] for row in rows] == ["A\x00", "B"]


def test_a_latin_1_line_among_utf_8_lines_is_read_and_marked():
    data = HEADER + "Été,https://x/1,,2026-12-01\n".encode() + "Noël – fête,https://x/2,,2026-12-02\n".encode("cp1252")
    first, second = read(data)
    assert (first.cells["titre"], first.repaired) == ("Été", False)
    assert (second.cells["titre"], second.repaired) == ("Noël – fête", True)


def test_random_damage_never_raises_and_costs_few_rows():
    lines = [f'"T{n}",https://x/{n},"some ""text"" n° {n}",2026-12-01\n'.encode() for n in range(300)]
    for seed in range(20):
        draw = random.Random(seed)
        damaged = [bytearray(line) for line in lines]
        for line in draw.sample(damaged, 10):
            line[draw.randrange(len(line) - 1)] = draw.choice(b'",\x00\xff;x\n')
        titles = set(good(HEADER + b"".join(damaged)))
        assert len(titles & {f"T{n}" for n in range(300)}) >= 275


def test_column_names_are_compared_without_accents_case_and_punctuation():
    assert column_name("﻿ Date début ") == "date_debut"
    assert column_name("URL-Fiche") == "url_fiche"


@pytest.mark.parametrize(
    ("damaged", "right"),
    [
        ("CafÃ© des arts", "Café des arts"),
        ("Lâ€™Ã®le", "L’île"),
        ("Rosemontâ€“La Petite-Patrie", "Rosemont–La Petite-Patrie"),
        ("dÃƒÂ©fi", "défi"),
        ("10 â‚¬", "10 €"),
        ("Å“uvre", "œuvre"),
        ("dÃ\x83Â©jÃ\x83Â\xa0", "déjà"),
        ("NoÃ«l et l'été", "Noël et l'été"),
    ],
)
def test_wrongly_decoded_text_is_put_right(damaged, right):
    assert repair_mojibake(damaged) == right


@pytest.mark.parametrize(
    "text", ["de 9 h à\xa0« midi »", "Âge d’or", "château", "Ångström", "plain", "ÉCOLE DES PÂTES", "Â la carte"]
)
def test_right_text_is_left_alone(text):
    assert repair_mojibake(text) is text
