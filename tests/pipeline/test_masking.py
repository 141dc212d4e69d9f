"""What is masked in stored data, and what must not be: a mask in the wrong place destroys what was fetched."""

from __future__ import annotations

import pytest

from resources.errors import PermanentError, TransientError
from resources.http import HttpStatusError, OutboundFailure, Reply, register_secret
from resources.redaction import excerpt, holds_credentials, mask_credentials, redact
from tests.fakes.ics_server import FakeIcs, vcalendar
from tests.pipeline.importing import Pipeline

KEY = "k3y-canary-7f6e5d4c/3b2a+1908"
SHORT = "mont-canary"


@pytest.fixture(autouse=True)
def _registered() -> None:
    register_secret(KEY)
    register_secret(SHORT)


@pytest.mark.parametrize("form", [KEY, "k3y-canary-7f6e5d4c%2F3b2a%2B1908", "k3y-canary-7f6e5d4c/3b2a%2B1908"])
def test_a_credential_is_masked_in_data_however_it_is_written(form: str) -> None:
    assert mask_credentials(f'{{"echo":"<{form}>"}}') == '{"echo":"<***>"}'
    assert holds_credentials(f"X-ECHO:{form}".encode())


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/billets?token=abcdef0123456789&key=winter",
        "Authorization: Bearer is the title of a play",
        f"un mot court comme {SHORT}",
        "https://calendar.google.com/calendar/ical/private-0a1b2c3d4e/basic.ics",
    ],
)
def test_what_only_looks_like_a_credential_stays_in_data(text: str) -> None:
    assert mask_credentials(text) == text


def test_a_guess_is_masked_in_messages_and_not_in_data() -> None:
    register_secret("20261116-concerts-gratuits", guessed=True)
    assert redact("feed 20261116-concerts-gratuits failed") == "feed *** failed"
    assert mask_credentials("20261116-concerts-gratuits-17@example.org") == "20261116-concerts-gratuits-17@example.org"
    register_secret("20261116-concerts-gratuits")
    assert mask_credentials("20261116-concerts-gratuits-17@example.org") == "***-17@example.org"


@pytest.mark.parametrize("before", range(0, 40, 3))
def test_a_message_is_cut_after_it_is_masked(before: int) -> None:
    shown = excerpt("x" * before + KEY + " and more " * 50, 40)
    assert len(shown) <= 40
    assert "canary" not in shown


def test_an_error_masks_its_message_whoever_makes_it() -> None:
    reply = Reply(status=400, headers={}, url="https://example.org/", body=b"")
    errors: list[Exception] = [
        TransientError(f"said {KEY}", retry_after=3),
        PermanentError(f"said {KEY}"),
        HttpStatusError(f"said {KEY}", status=400, reply=reply),
        OutboundFailure(f"said {KEY}", retry_after=3),
    ]
    assert [str(error) for error in errors] == ["said ***"] * 4


def test_links_with_tokens_of_others_are_stored_as_they_came(pipeline: Pipeline) -> None:
    link = "https://billets.example/acheter?token=0123456789abcdef0123&key=winter2026"
    event = f"UID:1\nSUMMARY:Concert {SHORT}\nDTSTART;TZID=America/Toronto:20261201T190000\nURL:{link}"
    with FakeIcs(files={"/f.ics": vcalendar(event).encode()}) as fake:
        pipeline.load(fake, extra={"ICS_FEEDS": f"f={fake.origin}/f.ics?token=ics-canary-0a1b2c3d4e5f"})
    [row] = pipeline.database.fetch_all("SELECT title, event ->> 'url' AS url, payload::text FROM raw_events")
    assert (row["title"], row["url"]) == (f"Concert {SHORT}", link)
    assert link in row["payload"]


def test_a_file_that_repeats_its_address_is_not_kept_for_the_next_time(pipeline: Pipeline) -> None:
    token = "ics-canary-1a2b3c4d5e6f7a8b"
    event = "UID:1\nSUMMARY:Concert\nDTSTART;TZID=America/Toronto:20261201T190000"
    files = {
        "/plain.ics": vcalendar(event).encode(),
        "/telling.ics": vcalendar(event, head=f"X-ORIGINAL-URL:https://example.org/?token={token}").encode(),
    }
    with FakeIcs(files=files) as fake:
        for path, kept in (("/telling.ics", 0), ("/plain.ics", 1)):
            pipeline.load(fake, extra={"ICS_FEEDS": f"f={fake.origin}{path}?token={token}"})
            [row] = pipeline.database.fetch_all("SELECT count(*) AS n FROM http_cache")
            assert row["n"] == kept
