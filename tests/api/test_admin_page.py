from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

import httpx
import pytest

from api import overview
from api.chart import chart
from api.routes.admin_page import _seconds
from ingestion_assets.ledger.tokens import Role, revoke
from ingestion_assets.ledger.uptime import ANSWERS_SINCE
from resources.postgres.database import Database
from tests.api.conftest import Calls, LiveServer, token_of

HERE = {"Origin": "http://127.0.0.1"}
XSS = "<img src=x onerror=alert(1)>"


def import_row(database: Database, source: str = "ics", **values: Any) -> None:
    row = {"status": "ERROR", "error_text": XSS, "run_id": "r-" + source, **values}
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO import_jobs (source, status, run_id, attempt_token, finished_at, error_text, nb_created)"
            " VALUES (%s, %s, %s, gen_random_uuid(), CASE WHEN %s <> 'RUNNING' THEN now() END, %s, 5)",
            (source, row["status"], row["run_id"], row["status"], row["error_text"]),
        )


async def sign_in(client: httpx.AsyncClient, token: str) -> str:
    """Sign in; the token that forms carry."""
    reply = await client.post("/admin/sign-in", data={"token": token}, headers=HERE)
    assert reply.status_code == 303, reply.text
    cookie = reply.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/admin"))
    page = await client.get("/admin/ingestion")
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found
    return found[1]


def test_the_page_shows_sources_and_runs_and_escapes_what_others_wrote(api: Calls, database: Database) -> None:
    import_row(database)
    token = token_of(database, "root", role=Role.ADMIN)

    async def look(client: httpx.AsyncClient) -> httpx.Response:
        await sign_in(client, token)
        return await client.get("/admin/ingestion")

    page = api(look)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert XSS not in page.text
    assert "&lt;img src=x" in page.text
    assert "<svg" in page.text
    assert "TICKETMASTER_API_KEY" in page.text
    assert token not in page.text
    # A browser told to send no referrer sends no origin with forms either, and could not even sign in.
    assert page.headers["referrer-policy"] == "same-origin"


def test_only_an_administrator_signs_in_and_a_revoked_token_ends_the_session(api: Calls, database: Database) -> None:
    user, admin = token_of(database, "ada"), token_of(database, "root", role=Role.ADMIN)

    async def walk(client: httpx.AsyncClient) -> list[int]:
        statuses = [(await client.get("/admin/ingestion")).status_code]
        statuses += [
            (await client.post("/admin/sign-in", data={"token": token}, headers=HERE)).status_code
            for token in ("", "nonsense", user)
        ]
        await sign_in(client, admin)
        statuses.append((await client.get("/admin/ingestion")).status_code)
        with database.transaction() as connection:
            revoke(connection, admin)
        statuses.append((await client.get("/admin/ingestion")).status_code)
        return statuses

    assert api(walk) == [303, 403, 403, 403, 200, 303]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:81"},
        {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_button_pressed_by_another_site_does_nothing(
    api: Calls, database: Database, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICS_FEEDS", "culture=http://127.0.0.1:9/feed.ics")
    token = token_of(database, "root", role=Role.ADMIN)

    async def attack(client: httpx.AsyncClient) -> list[int]:
        csrf = await sign_in(client, token)
        right = {"csrf": csrf}
        return [
            (await client.post("/admin/ingest/ics", data=right, headers=headers)).status_code,
            (await client.post("/admin/ingest/ics", data={"csrf": "0" * 64}, headers=HERE)).status_code,
            (await client.get("/admin/ingest/ics")).status_code,
            # The cookie opens nothing outside the page.
            (await client.post("/api/admin/ingest/ics", headers=HERE)).status_code,
            (await client.post("/admin/ingest/ics", data=right, headers=HERE)).status_code,
        ]

    assert api(attack) == [403, 403, 405, 401, 303]
    [row] = database.fetch_all("SELECT count(*) AS n FROM run_launches")
    assert row["n"] == 1


def test_the_page_is_told_of_a_run_that_begins_and_ends(serve: Callable[..., LiveServer], database: Database) -> None:
    server = serve()
    origin = {"Origin": server.url}
    with httpx.Client(base_url=server.url, timeout=20) as client:
        token = token_of(database, "root", role=Role.ADMIN)
        assert client.post("/admin/sign-in", data={"token": token}, headers=origin).status_code == 303
        with client.stream("GET", "/admin/live") as reply:
            contents = (line for line in reply.iter_lines() if line.startswith("data:"))
            assert "Nothing has been imported yet" in next(contents)
            import_row(database, status="RUNNING", error_text=None)
            assert "state running" in next(contents)
            with database.transaction() as connection:
                connection.execute("UPDATE import_jobs SET status = 'SUCCESS', finished_at = now()")
            assert "state success" in next(contents)


def test_stuck_imports_are_closed_by_the_button(api: Calls, database: Database, admin: dict[str, str]) -> None:
    import_row(database, status="RUNNING", error_text=None)
    with database.transaction() as connection:
        connection.execute("UPDATE import_jobs SET heartbeat_at = now() - interval '1 day'")
        connection.execute(
            "UPDATE import_jobs SET started_at = now() - interval '1 day', progress_at = now() - interval '1 day'"
        )
    shown = api.get("/api/admin/ingestion", headers=admin).json()
    assert [job["source"] for job in shown["stuck_imports"]] in (
        [],
        ["ics"],
    )  # silence never counts from before a start
    assert api.post("/api/admin/clean-stuck", headers=admin).json()["imports"] == 1
    [row] = database.fetch_all("SELECT status FROM import_jobs")
    assert row["status"] == "ERROR"


def test_an_old_stuck_import_is_shown_whatever_ran_since(
    api: Calls, database: Database, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was looked for among the last 25 runs, which eight batches of documents are: "Nothing is stuck"."""
    # The tests' server may have been started a moment ago, before which no silence counts.
    monkeypatch.setattr(
        overview, "_STUCK_IMPORTS", overview._STUCK_IMPORTS.replace(ANSWERS_SINCE, "'-infinity'::timestamptz")
    )
    import_row(database, status="RUNNING", error_text=None)
    with database.transaction() as connection:
        connection.execute("UPDATE import_jobs SET heartbeat_at = now() - interval '1 hour'")
    for number in range(30):
        import_row(database, f"documents:{number}", status="SUCCESS", error_text=None)
    shown = api.get("/api/admin/ingestion", headers=admin).json()
    assert [job["source"] for job in shown["stuck_imports"]] == ["ics"]
    assert len(shown["imports"]) == 25


def test_a_run_of_documents_is_named_so_that_its_row_fits(api: Calls, database: Database) -> None:
    """With the whole id of the collection the column of errors lay beyond the edge, on a desktop as on a phone."""
    collection = "1c4afbc989bf4c62ac37a346e2504bb3"
    import_row(database, f"documents:{collection}", status="SUCCESS", error_text=None)
    token = token_of(database, "root", role=Role.ADMIN)

    async def look(client: httpx.AsyncClient) -> str:
        await sign_in(client, token)
        return (await client.get("/admin/ingestion")).text

    assert f'documents <code title="{collection}">1c4afbc9</code></th>' in api(look)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, ""), (0.04, "0.0 s"), (59.4, "59.4 s"), (59.97, "1 min 0 s"), (119.7, "2 min 0 s")]
)
def test_a_duration_has_no_sixty_seconds(seconds: float | None, shown: str) -> None:
    assert _seconds(seconds) == shown


def test_the_lines_of_the_chart_stand_for_what_they_say() -> None:
    """The middle of 101 was called 50, and that of 1 was called 0."""
    for count, labels in ((0, ["0", "0", "0"]), (1, ["0", "1", "2"]), (101, ["0", "51", "102"])):
        day = {"day": date(2026, 11, 22), "created": count, "updated": 0, "skipped": 0, "errors": 0}
        assert re.findall(r'text-anchor="end">([^<]*)<', chart([day])) == labels


def test_each_button_says_of_what_it_is(api: Calls, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICS_FEEDS", "culture=http://127.0.0.1:9/feed.ics")
    token = token_of(database, "root", role=Role.ADMIN)

    async def look(client: httpx.AsyncClient) -> str:
        await sign_in(client, token)
        return (await client.get("/admin/ingestion")).text

    labels = [re.sub(r"<[^>]+>", "", text) for text in re.findall(r"<button[^>]*>(.*?)</button>", api(look))]
    assert "Import iCalendar feeds" in labels
    assert len(labels) == len(set(labels))


def test_one_source_with_wrong_settings_does_not_hide_the_others(
    api: Calls, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICS_FEEDS", "https://example.org/private-0123456789abcdef/basic.ics")
    shown = api.get("/api/admin/ingestion", headers=admin)
    ics = next(source for source in shown.json()["sources"] if source["name"] == "ics")
    assert (ics["enabled"], ics["state"]) == (False, "off")
    assert "ICS_FEEDS" in ics["missing"][0]
    assert "0123456789abcdef" not in shown.text
