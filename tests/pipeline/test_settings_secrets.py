"""Settings hold credentials: neither a wrong value nor a look at the object shows them."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from ingestion_assets.events.sources import source_class
from ingestion_assets.events.sources.base import SourceSettings
from resources.redaction import redact
from tests.fakes.fetching import environment
from tests.pipeline.leaks import WORD

ADDRESS = "https://example.org/agenda?token=page-canary-0a1b2c3d4e5f"
KEY = "key-canary-0a1b2c3d4e5f"


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("lavitrine", {"LAVITRINE_PAGE_URLS": ADDRESS.replace("https", "ftp")}),
        ("lavitrine", {"LAVITRINE_PAGE_URLS": f"{ADDRESS} nonsense"}),
        ("lavitrine", {"LAVITRINE_API_KEY": KEY, "LAVITRINE_REQUESTS_PER_MINUTE": "many"}),
        ("ics", {"ICS_FEEDS": f"nonsense {ADDRESS}"}),
        ("ics", {"ICS_FEEDS": f"a={ADDRESS.replace('https', 'gopher')}"}),
        ("open_data_montreal", {"OPEN_DATA_MONTREAL_CSV": ADDRESS, "OPEN_DATA_MONTREAL_ENABLED": "perhaps"}),
        ("ticketmaster", {"TICKETMASTER_API_KEY": KEY, "TICKETMASTER_RADIUS": KEY}),
        ("meetup", {"MEETUP_TOKEN": KEY, "MEETUP_PAGE_SIZE": KEY}),
        ("eventbrite", {"EVENTBRITE_TOKEN": KEY, "EVENTBRITE_PAGE_SIZE": KEY}),
        ("allevents", {"ALLEVENTS_API_KEY": KEY, "ALLEVENTS_RADIUS": KEY}),
    ],
)
def test_a_wrong_setting_is_refused_without_being_quoted(source: str, values: dict[str, str]) -> None:
    with environment(values), pytest.raises(ValidationError) as caught:
        source_class(source).settings_class()
    assert WORD not in str(caught.value)
    assert WORD not in repr(caught.value)


def test_what_a_setting_keeps_secret_is_masked_under_whatever_name_it_travels() -> None:
    class OwnSettings(SourceSettings):
        api_key: SecretStr | None = None
        other: str = "plain-0a1b2c3d4e5f"

    OwnSettings(api_key=SecretStr("own-0a1b2c3d4e5f"))
    said = redact("GET https://example.org/?appid=own-0a1b2c3d4e5f&q=plain-0a1b2c3d4e5f answered 503")
    assert said == "GET https://example.org/?appid=***&q=plain-0a1b2c3d4e5f answered 503"


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("lavitrine", {"LAVITRINE_PAGE_URLS": ADDRESS, "LAVITRINE_API_KEY": KEY}),
        ("ics", {"ICS_FEEDS": f"a={ADDRESS}"}),
        ("open_data_montreal", {"OPEN_DATA_MONTREAL_CSV": ADDRESS}),
        ("ticketmaster", {"TICKETMASTER_API_KEY": KEY}),
        ("meetup", {"MEETUP_TOKEN": KEY, "MEETUP_CLIENT_KEY": KEY, "MEETUP_SIGNING_KEY": KEY}),
        ("eventbrite", {"EVENTBRITE_TOKEN": KEY}),
        ("allevents", {"ALLEVENTS_API_KEY": KEY}),
    ],
)
def test_settings_do_not_show_what_is_secret_in_them(source: str, values: dict[str, str]) -> None:
    with environment(values):
        settings = source_class(source).settings_class()
    assert WORD not in repr(settings)
    assert WORD not in str(settings)
