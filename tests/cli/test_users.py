"""`ingest users`: tokens are shown once, listed without what opens, ended at once; limits are people's own."""

from __future__ import annotations

import io
import json

import pytest

from ingestion_assets.ledger import tokens
from ingestion_assets.ledger.quotas import Quota, standing
from resources.postgres.database import Database
from tests.cli.command import Command


def principal(database: Database, token: str) -> tokens.Principal | None:
    with database.transaction() as connection:
        return tokens.authenticate(connection, token)


def test_a_token_is_printed_alone_and_opens_for_its_user(ingest: Command, database: Database) -> None:
    done = ingest("users", "add", "ada", "--label", "phone")
    assert done.status == 0
    found = principal(database, done.out.strip())
    assert found is not None
    assert (found.user_id, found.is_admin) == ("ada", False)
    admin = principal(database, ingest("users", "add", "root", "--admin").out.strip())
    assert admin is not None
    assert admin.is_admin


def test_a_user_that_exists_gets_another_token_and_keeps_the_first(ingest: Command, database: Database) -> None:
    first, second = (ingest("users", "add", "ada").out.strip() for _ in range(2))
    assert first != second
    assert all(principal(database, token) is not None for token in (first, second))
    assert database.fetch_all("SELECT count(*) AS n FROM users") == [{"n": 1}]


def test_the_list_shows_nothing_that_opens(ingest: Command, database: Database) -> None:
    assert "There is no token yet" in ingest("users", "list").out
    token = ingest("users", "add", "ada", "--label", "phone", "--days", "30").out.strip()
    [row] = ingest("users", "list", "--json").report["tokens"]
    assert (row["user"], row["role"], row["label"], row["revoked_at"]) == ("ada", "user", "phone", None)
    assert row["expires_at"] is not None
    shown = ingest("users", "list").out + json.dumps(row)
    secret = token.split("_", 2)[2]
    assert secret not in shown
    stored = database.fetch_all("SELECT encode(secret_hash, 'escape') || prefix || label AS text FROM api_tokens")
    assert secret not in stored[0]["text"]


@pytest.mark.parametrize("by", ["token", "shown"])
def test_a_revoked_token_opens_nothing_and_the_others_still_do(ingest: Command, database: Database, by: str) -> None:
    token, other = (ingest("users", "add", "ada").out.strip() for _ in range(2))
    shown = "_".join(token.split("_")[:2]) + "_…"  # the secret may have the sign in it too
    assert ingest("users", "revoke", token if by == "token" else shown).out.strip() == "revoked"
    assert principal(database, token) is None
    assert principal(database, other) is not None
    again = ingest("users", "revoke", token)
    assert again.status == 1
    assert "there is no such token that is valid; `ingest users list` shows them" in again.err
    assert "revoked" in ingest("users", "list").out


def test_a_limit_of_ones_own_is_set_and_taken_away(ingest: Command, database: Database) -> None:
    ingest("users", "add", "ada")

    def limit() -> int:
        with database.transaction() as connection:
            return standing(connection, user_id="ada", quota=Quota.DOCUMENTS, default_limit=200).limit

    assert ingest("users", "limit", "ada", "documents_per_day", "5").out.strip() == "ada: documents_per_day 5"
    assert limit() == 5
    assert "as the settings say" in ingest("users", "limit", "ada", "documents_per_day").out
    assert limit() == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("limit", "nobody", "documents_per_day", "5"), "there is no active user 'nobody'"),
        (("limit", "ada", "wishes", "5"), "a quota is one of: documents_per_day, ai_requests_per_day"),
        (("limit", "ada", "documents_per_day", "--", "-1"), "greater than or equal to 0"),
        (("add", ""), "a user id is 1 to 100 printable characters"),
        (("add", "a\nb"), "a user id is 1 to 100 printable characters"),
        (("add", "ada", "--days", "0"), "--days"),
        (("revoke", "ing_nothing"), "there is no such token"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    ingest: Command, database: Database, arguments: tuple[str, ...], said: str
) -> None:
    done = ingest("users", *arguments)
    assert done.status in {1, 2}
    assert said in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err
    assert database.fetch_all("SELECT 1 FROM api_tokens") == []


def test_a_user_goes_with_all_that_is_theirs_and_nobody_elses(ingest: Command, database: Database) -> None:
    token = ingest("users", "add", "ada").out.strip()
    other = ingest("users", "add", "ben").out.strip()
    with database.transaction() as connection:
        for user in ("ada", "ben"):
            connection.execute(
                "INSERT INTO study_collections (id, user_id, title) VALUES (%(user)s, %(user)s, 't')", {"user": user}
            )
            connection.execute(
                "INSERT INTO study_documents (collection_id, position, document_id, name, sha256, content, size)"
                " VALUES (%s, 0, 'd', 'n', 'x', '', 0)",
                (user,),
            )
    assert ingest("users", "delete", "ada", "--yes").out.strip() == "deleted ada"
    assert principal(database, token) is None
    assert principal(database, other) is not None
    assert database.fetch_all("SELECT collection_id AS id FROM study_documents") == [{"id": "ben"}]
    again = ingest("users", "delete", "ada", "--yes")
    assert again.status == 1
    assert "there is no user 'ada'" in again.err


def test_a_user_is_not_deleted_without_a_yes(
    ingest: Command, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest("users", "add", "ada")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert ingest("users", "delete", "ada").status == 1
    assert database.fetch_all("SELECT id FROM users") == [{"id": "ada"}]
