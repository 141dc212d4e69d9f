"""Database URLs, in the forms that libpq and SQLAlchemy's two PostgreSQL drivers read.

Pure functions on text. `DATABASE_URL` may come in any of the forms; each consumer asks for its own. The driver is
always named for SQLAlchemy: 2.1 reads a plain `postgresql://` as psycopg 3, earlier ones as psycopg 2, which is the
one that dagster-postgres brings along.

Both sides decode `%XX`, but they differ in three places, and here the conversion happens:

- `+` in a parameter is a space to SQLAlchemy and a plus sign to libpq;
- several servers are `host1:1,host2:2` to libpq and `?host=host1:1&host=host2:2` to SQLAlchemy;
- a socket folder in the place of the host (`postgresql://%2Frun%2Fpg/db`) is understood by libpq only, a `?host=` by
  both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, unquote_plus

from resources.errors import PermanentError

_SCHEMES = frozenset({"postgres", "postgresql"})
_SECRET_PARAMETERS = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
_DATABASE_PARAMETERS = frozenset({"dbname", "database"})
_MASK = "***"


class DatabaseUrlError(PermanentError, ValueError):
    """The text is not the URL of a PostgreSQL database. The message does not repeat it: it may hold a password."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """A URL taken apart. `credentials` and `servers` stay percent-encoded; the rest is decoded."""

    credentials: str | None
    servers: tuple[str, ...]
    database: str
    parameters: tuple[tuple[str, str], ...]


def libpq(url: str) -> str:
    """The URL for psycopg and for PostgreSQL's own programs: `postgresql://...`."""
    return _libpq(_parse(url))


def sqlalchemy_psycopg2(url: str) -> str:
    """The URL for SQLAlchemy with psycopg 2, as Dagster's storage wants it: `postgresql+psycopg2://...`."""
    return _sqlalchemy(_parse(url), "psycopg2")


def sqlalchemy_psycopg(url: str) -> str:
    """The URL for SQLAlchemy with psycopg 3: `postgresql+psycopg://...`."""
    return _sqlalchemy(_parse(url), "psycopg")


def with_database(url: str, name: str) -> str:
    """The same server, another database, in the form that `url` has."""
    parts = _parse(url)
    driver = _driver(url)
    parts = replace(parts, database=name)
    return _libpq(parts) if driver is None else _sqlalchemy(parts, driver)


def with_defaults(url: str, parameters: Mapping[str, object]) -> str:
    """The same database, with those connection parameters that `url` does not give itself, in the form that it has."""
    parts = _parse(url)
    given = dict(parts.parameters)
    missing = tuple((name, str(value)) for name, value in parameters.items() if name not in given)
    parts = replace(parts, parameters=(*parts.parameters, *missing))
    driver = _driver(url)
    return _libpq(parts) if driver is None else _sqlalchemy(parts, driver)


def database_name(url: str) -> str:
    """The database that the URL names. Without one, PostgreSQL's clients take the user's name, and so does this."""
    parts = _parse(url)
    user = unquote((parts.credentials or "").partition(":")[0])
    name = parts.database or dict(parts.parameters).get("user") or user
    if not name:
        raise DatabaseUrlError("the database URL names no database: write postgresql://user@host:5432/database")
    return name


def redacted(url: str) -> str:
    """The URL with passwords masked, for logs and messages. What is no URL is masked whole; never raises."""
    try:
        parts = _parse(url)
    except DatabaseUrlError:
        return _MASK
    credentials = parts.credentials
    if credentials is not None and ":" in credentials:
        credentials = f"{credentials.partition(':')[0]}:{_MASK}"
    parameters = tuple((k, _MASK if k.lower() in _SECRET_PARAMETERS else v) for k, v in parts.parameters)
    driver = _driver(url)
    parts = replace(parts, credentials=credentials, parameters=parameters)
    return _libpq(parts) if driver is None else _sqlalchemy(parts, driver)


def _driver(url: str) -> str | None:
    """The driver that a SQLAlchemy URL names; None for a libpq URL."""
    return url.partition("://")[0].partition("+")[2] or None


def _parse(url: str) -> _Parts:
    scheme, separator, rest = url.strip().partition("://")
    dialect, plus, driver = scheme.partition("+")
    if not separator or dialect.lower() not in _SCHEMES or bool(plus) != bool(driver):
        raise DatabaseUrlError(
            "not the URL of a PostgreSQL database; it looks like postgresql://user:password@host:5432/database"
        )
    rest = rest.partition("#")[0] if driver else rest
    location, _, query = rest.partition("?")
    authority, _, path = location.partition("/")
    # At the last @, the others encoded: libpq and SQLAlchemy would end the password of `u:p@ss@host` at the first, look
    # for the server `ss@host`, and say so in their messages.
    credentials, at, hosts = authority.rpartition("@")
    credentials = credentials.replace("@", "%40")
    decode = unquote_plus if driver else unquote
    parameters = []
    servers = [host for host in hosts.split(",") if host]
    for item in query.split("&"):
        key, equals, value = item.partition("=")
        if equals:
            parameters.append((decode(key), decode(value)))
        elif key:
            raise DatabaseUrlError(f"the parameter {decode(key)!r} of the database URL has no value: write {key}=...")
    if driver:
        named = [value for key, value in parameters if key == "host"]
        if len(named) > 1:
            servers = [quote(host, safe=":[]") for host in named]
            parameters = [(key, value) for key, value in parameters if key != "host"]
    if len(servers) == 1 and unquote(servers[0]).startswith("/"):
        folder, _, port = servers[0].partition(":")
        servers = []
        parameters.insert(0, ("host", unquote(folder)))
        if port:
            parameters.insert(1, ("port", port))
    # libpq lets the parameter win over the path; SQLAlchemy knows it by another name, and only as a path.
    named_database = [value for key, value in parameters if key in _DATABASE_PARAMETERS]
    others = tuple((key, value) for key, value in parameters if key not in _DATABASE_PARAMETERS)
    database = named_database[-1] if named_database else unquote(path)
    return _Parts(credentials if at else None, tuple(servers), database, others)


def _libpq(parts: _Parts) -> str:
    return _assemble("postgresql", parts, ",".join(parts.servers), parts.parameters)


def _sqlalchemy(parts: _Parts, driver: str) -> str:
    authority = ",".join(parts.servers)
    parameters = parts.parameters
    if len(parts.servers) > 1:
        authority = ""
        parameters = (*(("host", unquote(server)) for server in parts.servers), *parameters)
    return _assemble(f"postgresql+{driver}", parts, authority, parameters)


def _assemble(scheme: str, parts: _Parts, authority: str, parameters: tuple[tuple[str, str], ...]) -> str:
    # %20 and %2B mean the same to both sides; a bare plus does not. Slashes and colons need no encoding in a query.
    query = "&".join(f"{quote(key, safe='')}={quote(value, safe='/:,*')}" for key, value in parameters)
    user = f"{parts.credentials}@" if parts.credentials is not None else ""
    path = f"/{quote(parts.database, safe='')}" if parts.database or query else ""
    return f"{scheme}://{user}{authority}{path}" + (f"?{query}" if query else "")
