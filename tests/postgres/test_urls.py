"""What libpq and SQLAlchemy make of our URLs, asked of libpq and SQLAlchemy themselves."""

from __future__ import annotations

import pickle
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from resources.errors import PermanentError
from resources.postgres.urls import (
    DatabaseUrlError,
    database_name,
    libpq,
    redacted,
    sqlalchemy_psycopg,
    sqlalchemy_psycopg2,
    with_database,
    with_defaults,
)


def read_by_libpq(url: str) -> dict[str, Any]:
    return {key: str(value) for key, value in conninfo_to_dict(url).items()}


def read_by_sqlalchemy(url: str) -> dict[str, Any]:
    parsed = make_url(url)
    dialect = PGDialect_psycopg2() if parsed.drivername == "postgresql+psycopg2" else PGDialect_psycopg()
    _, arguments = dialect.create_connect_args(parsed)
    return {key: str(value) for key, value in arguments.items() if key != "context"}


MEANINGS = [
    # given, what every driver must understand by it
    ("postgresql://u:p@h:5433/d", {"user": "u", "password": "p", "host": "h", "port": "5433", "dbname": "d"}),
    ("postgres://u@h/d", {"user": "u", "host": "h", "dbname": "d"}),
    ("postgresql+psycopg://u@h/d", {"user": "u", "host": "h", "dbname": "d"}),
    ("postgresql+psycopg2://u@h/d", {"user": "u", "host": "h", "dbname": "d"}),
    ("postgresql://h/d", {"host": "h", "dbname": "d"}),
    ("postgresql:///d", {"dbname": "d"}),
    ("postgresql://h/x?dbname=d", {"host": "h", "dbname": "d"}),
    ("postgresql://h?dbname=d", {"host": "h", "dbname": "d"}),
    ("postgresql://u@/d?host=/run/pg&port=5432", {"user": "u", "host": "/run/pg", "port": "5432", "dbname": "d"}),
    ("postgresql://u@/d?host=%2Frun%2Fpg", {"user": "u", "host": "/run/pg", "dbname": "d"}),
    ("postgresql://u@%2Frun%2Fpg/d", {"user": "u", "host": "/run/pg", "dbname": "d"}),
    ("postgresql://u@%2Frun%2Fpg:5433/d", {"user": "u", "host": "/run/pg", "port": "5433", "dbname": "d"}),
    ("postgresql://[::1]:5433/d", {"host": "::1", "port": "5433", "dbname": "d"}),
    ("postgresql://u:p%40ss%2Fw%3Ard%25@h/d", {"user": "u", "password": "p@ss/w:rd%", "host": "h", "dbname": "d"}),
    ("postgresql://u:p@ss@h/d", {"user": "u", "password": "p@ss", "host": "h", "dbname": "d"}),
    ("postgresql://u:p%2Bw@h/d", {"user": "u", "password": "p+w", "host": "h", "dbname": "d"}),
    ("postgresql://u:p+w@h/d", {"user": "u", "password": "p+w", "host": "h", "dbname": "d"}),
    ("postgresql://%C3%A9@h/d%C3%A9p%C3%B4t", {"user": "é", "host": "h", "dbname": "dépôt"}),
    ("postgresql://h/d?application_name=a+b", {"host": "h", "dbname": "d", "application_name": "a+b"}),
    ("postgresql://h/d?application_name=a%20b", {"host": "h", "dbname": "d", "application_name": "a b"}),
    ("postgresql+psycopg://h/d?application_name=a+b", {"host": "h", "dbname": "d", "application_name": "a b"}),
    ("postgresql+psycopg://h/d?application_name=a%2Bb", {"host": "h", "dbname": "d", "application_name": "a+b"}),
    (
        "postgresql://h/d?sslmode=require&options=-c%20statement_timeout%3D5s",
        {"host": "h", "dbname": "d", "sslmode": "require", "options": "-c statement_timeout=5s"},
    ),
    (
        "postgresql://u@a:1,b:2/d?target_session_attrs=any",
        {"user": "u", "host": "a,b", "port": "1,2", "dbname": "d", "target_session_attrs": "any"},
    ),
    (
        "postgresql+psycopg2://u@/d?host=a:1&host=b:2",
        {"user": "u", "host": "a,b", "port": "1,2", "dbname": "d"},
    ),
    ("  postgresql://h/d\n", {"host": "h", "dbname": "d"}),
]


@pytest.mark.parametrize(("given_url", "meaning"), MEANINGS)
def test_each_form_means_the_same_to_its_driver(given_url: str, meaning: dict[str, str]) -> None:
    assert read_by_libpq(libpq(given_url)) == meaning
    assert read_by_sqlalchemy(sqlalchemy_psycopg2(given_url)) == meaning
    assert read_by_sqlalchemy(sqlalchemy_psycopg(given_url)) == meaning


@pytest.mark.parametrize(("given_url", "meaning"), MEANINGS)
def test_there_and_back_is_where_we_were(given_url: str, meaning: dict[str, str]) -> None:
    assert libpq(sqlalchemy_psycopg2(given_url)) == libpq(given_url)
    assert libpq(libpq(given_url)) == libpq(given_url)
    assert sqlalchemy_psycopg(sqlalchemy_psycopg2(given_url)) == sqlalchemy_psycopg(given_url)


@pytest.mark.parametrize(("given_url", "meaning"), MEANINGS)
def test_another_database_changes_nothing_else(given_url: str, meaning: dict[str, str]) -> None:
    other = with_database(given_url, "a/b c?é%")
    assert other.partition("://")[0] in {"postgresql", "postgresql+psycopg", "postgresql+psycopg2"}
    assert read_by_libpq(libpq(other)) == meaning | {"dbname": "a/b c?é%"}
    assert database_name(other) == "a/b c?é%"


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@given(user=TEXT, password=TEXT, database=TEXT, name=TEXT)
def test_any_text_survives_as_user_password_database_and_parameter(
    user: str, password: str, database: str, name: str
) -> None:
    parts = [quote(part, safe="") for part in (user, password, database, name)]
    url = "postgresql://{}:{}@h:5432/{}?application_name={}".format(*parts)
    meaning = {
        "user": user, "password": password, "host": "h", "port": "5432", "dbname": database, "application_name": name,
    }  # fmt: skip
    assert read_by_libpq(libpq(url)) == meaning
    assert read_by_sqlalchemy(sqlalchemy_psycopg2(url)) == meaning
    assert read_by_libpq(libpq(sqlalchemy_psycopg(url))) == meaning
    assert database_name(url) == database
    shown = redacted(url)
    assert read_by_libpq(shown) == meaning | {"password": "***"}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://u@h/d", "d"),
        ("postgresql://u@h/d%20e", "d e"),
        ("postgresql://u@h?dbname=d", "d"),
        ("postgresql://u@h/x?dbname=d", "d"),
        ("postgresql://u@h", "u"),
        ("postgresql://h?user=v", "v"),
    ],
)
def test_the_name_of_the_database_is_the_one_that_libpq_would_use(url: str, name: str) -> None:
    assert database_name(url) == name
    read = read_by_libpq(url)
    assert read.get("dbname", read.get("user")) == name


@pytest.mark.parametrize(
    ("url", "completed"),
    [
        ("postgresql://u@h/d", "postgresql://u@h/d?keepalives_idle=10&sslmode=prefer"),
        ("postgresql://u@h/d?sslmode=require", "postgresql://u@h/d?sslmode=require&keepalives_idle=10"),
        (
            "postgresql+psycopg2://u@/d?host=/run/pg",
            "postgresql+psycopg2://u@/d?host=/run/pg&keepalives_idle=10&sslmode=prefer",
        ),
    ],
)
def test_a_parameter_is_added_where_the_url_does_not_give_it_itself(url: str, completed: str) -> None:
    assert with_defaults(url, {"keepalives_idle": 10, "sslmode": "prefer"}) == completed


def test_an_url_without_database_and_user_names_none() -> None:
    with pytest.raises(DatabaseUrlError, match="names no database"):
        database_name("postgresql://h")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@h/d", "postgresql://u:***@h/d"),
        ("postgresql+psycopg2://u:secret@h/d", "postgresql+psycopg2://u:***@h/d"),
        ("postgresql://u:se@cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d?password=secret&sslmode=require", "postgresql://h/d?password=***&sslmode=require"),
        ("postgresql://h/d?sslpassword=secret", "postgresql://h/d?sslpassword=***"),
        ("host=h password=secret", "***"),
        ("mysql://u:secret@h/d", "***"),
        ("secret", "***"),
        ("", "***"),
    ],
)
def test_what_is_shown_holds_no_password(url: str, shown: str) -> None:
    assert redacted(url) == shown
    assert "secret" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "host=h password=secret",
        "mysql://u:secret@h/d",
        "postgresql+://u:secret@h/d",
        "postgresql:/secret",
    ],
)
@pytest.mark.parametrize("convert", [libpq, sqlalchemy_psycopg, sqlalchemy_psycopg2, database_name])
def test_what_is_no_url_is_refused_without_being_repeated(convert: Any, text: str) -> None:
    with pytest.raises(DatabaseUrlError, match="looks like postgresql://") as caught:
        convert(text)
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value, PermanentError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_parameter_without_a_value_is_named() -> None:
    with pytest.raises(DatabaseUrlError, match="'sslmode'"):
        libpq("postgresql://h/d?sslmode")
