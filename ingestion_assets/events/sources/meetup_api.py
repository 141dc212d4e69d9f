"""Questions to Meetup's GraphQL API, its tokens, and what its refusals mean.

Belongs here: one query and its outcome. Which queries to make is in `meetup.py`.

An answer with HTTP 200 can be a refusal (`errors[]`), throttling has no header but `extensions.resetAt`, a valid query
can get a 400 that its repetition does not get, and the retired endpoint answers 503 for ever (docs/sources.md).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingestion_assets.events.model import Json
from ingestion_assets.events.sources.fields import identifier, mapping, objects
from ingestion_assets.events.sources.timing import seconds_until, server_time
from resources.errors import PermanentError, TransientError
from resources.http import BodyError, HttpStatusError, OutboundClient, Reply, register_secret
from resources.redaction import excerpt

AUDIENCE = "api.meetup.com"
_ASSERTION_SECONDS = 240
_WINDOW_SECONDS = 60.0
"""The rate limit counts points in a minute; waited when no reset is named."""
_TRANSIENT_CODES = frozenset(
    {"INTERNAL_SERVER_ERROR", "INTERNAL_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT", "UNAVAILABLE"}
)
_TOKEN_CODES = frozenset({"UNAUTHENTICATED", "auth_fail", "invalid_grant", "invalid_token"})


class StaticToken:
    """A token that somebody else made and renews."""

    def __init__(self, token: str) -> None:
        register_secret(token)
        self._token = token

    def current(self) -> str:
        """The token."""
        return self._token

    def renew(self) -> None:
        """Raise: there is nothing to renew it with."""
        raise PermanentError("Meetup refused the token: put a valid one into MEETUP_TOKEN")


class JwtToken:
    """A token got by a signed assertion (OAuth 2, RFC 7523), the flow that Meetup has for servers."""

    def __init__(
        self, client: OutboundClient, *, url: str, client_key: str, member_id: str, key_id: str, signing_key: str
    ) -> None:
        self._client = client
        self._url = url
        self._client_key = client_key
        self._member_id = member_id
        self._key_id = key_id
        self._signing_key = signing_key
        register_secret(client_key)
        self._token: str | None = None

    def current(self) -> str:
        """The token, fetched at the first call."""
        if self._token is None:
            self._token = self._fetched()
        return self._token

    def renew(self) -> None:
        """Forget the token, so that the next call fetches another."""
        self._token = None

    def _fetched(self) -> str:
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": self._assertion()}
        reply = self._client.post(self._url, form=form, inspect=self._inspect, expect_json=True)
        token = mapping(reply.json()).get("access_token")
        if not isinstance(token, str) or not token:
            raise TransientError("Meetup answered the request for a token without one")
        register_secret(token)
        return token

    def _assertion(self) -> str:
        import jwt

        claims = {
            "iss": self._client_key,
            "sub": self._member_id,
            "aud": AUDIENCE,
            "exp": int(time.time()) + _ASSERTION_SECONDS,
        }
        pem = _pem(self._signing_key)
        try:
            signed = jwt.encode(claims, pem, algorithm="RS256", headers={"kid": self._key_id})
        except (jwt.PyJWTError, ValueError, TypeError):
            # Without the cause: its text can quote the key.
            raise PermanentError("MEETUP_SIGNING_KEY is not a usable RSA private key in PEM form") from None
        register_secret(signed)
        return signed

    def _inspect(self, reply: Reply) -> None:
        if reply.status in (400, 401, 403):
            said = identifier(_json(reply).get("error")) or f"HTTP {reply.status}"
            raise PermanentError(
                f"Meetup refused the signed request for a token ({said}): check MEETUP_CLIENT_KEY, MEETUP_MEMBER_ID, "
                "MEETUP_SIGNING_KEY_ID and MEETUP_SIGNING_KEY, and the clock of this machine"
            )


class NotSeenError(PermanentError):
    """HTTP 403 or 404: of what the query asks for, perhaps, and perhaps of everything."""


class MeetupApi:
    """The API for one fetch."""

    def __init__(self, client: OutboundClient, *, endpoint: str, token: StaticToken | JwtToken) -> None:
        self._client = client
        self._endpoint = endpoint
        self._token = token

    def query(self, document: str, variables: Mapping[str, Any]) -> dict[str, Json]:
        """The answer's body, which may hold `errors` about the query itself beside or instead of `data`.

        A refused token is renewed once, a 400 repeated once. Raises PermanentError for what stays refused, `NotSeenError`
        where the status says so of what the query asks for.
        """
        renewed = repeated = False
        while True:
            reply = self._sent(document, variables)
            if _token_refused(reply):
                if renewed:
                    raise PermanentError(f"Meetup refuses the token, also a fresh one (HTTP {reply.status})")
                self._token.renew()
                renewed = True
            elif reply.status == 400 and not repeated:
                renewed, repeated = False, True
            else:
                break
        body = _json(reply)
        if reply.status == 200 and not body:
            raise TransientError("Meetup answered with something that is not a JSON object")
        errors = objects(body.get("errors"))
        not_seen = reply.status in (403, 404) and "NOT_FOUND" not in error_codes(errors)
        if not_seen or (reply.status != 200 and not errors):
            said = identifier(body.get("error") or body.get("code") or body.get("message"))
            if errors:
                said = excerpt(str(errors[0].get("message")), 200)
            kind = NotSeenError if not_seen else PermanentError
            raise kind(f"Meetup refused the query (HTTP {reply.status}): {said or 'no reason given'}")
        return body

    def _sent(self, document: str, variables: Mapping[str, Any]) -> Reply:
        try:
            return self._client.post(
                self._endpoint,
                json={"query": document, "variables": dict(variables)},
                headers={"Authorization": f"Bearer {self._token.current()}"},
                inspect=_inspect,
                expect_json=True,
            )
        except HttpStatusError as error:
            return error.reply


def error_codes(errors: list[dict[str, Json]]) -> list[str]:
    """The codes of GraphQL errors, wherever they put them."""
    found = (mapping(error.get("extensions")).get("code") or error.get("code") for error in errors)
    return [code for value in found if (code := identifier(value)) is not None]


def _inspect(reply: Reply) -> None:
    """Raise what an answer means that its status does not say."""
    if reply.status == 503 and b"deprecated" in reply.body.lower():
        raise PermanentError(
            "Meetup has retired this endpoint: unset MEETUP_BASE_URL, or set it to https://api.meetup.com/gql-ext"
        )
    # Looking for the word first spares the reading of every good page twice.
    if reply.status not in (200, 429) or b'"errors"' not in reply.body:
        return
    body = _json(reply)
    errors = objects(body.get("errors"))
    for error in errors:
        facts = mapping(error.get("extensions"))
        if facts.get("code") == "RATE_LIMITED":
            wait = seconds_until(facts.get("resetAt"), now=server_time(reply))
            if wait is None and "Retry-After" not in reply.headers:  # which the client reads
                wait = _WINDOW_SECONDS
            raise TransientError("Meetup limited the rate of requests", retry_after=wait)
    if not _holds_data(body) and set(error_codes(errors)) & _TRANSIENT_CODES:
        raise TransientError("Meetup failed to answer the query")


def _holds_data(body: Mapping[str, Json]) -> bool:
    return any(value is not None for value in mapping(body.get("data")).values())


def _token_refused(reply: Reply) -> bool:
    if reply.status == 401:
        return True
    if reply.status == 200 and b'"errors"' not in reply.body:
        return False
    body = _json(reply)
    codes = {*error_codes(objects(body.get("errors"))), str(body.get("error")), str(body.get("code"))}
    return bool(codes & _TOKEN_CODES)


def _json(reply: Reply) -> dict[str, Json]:
    try:
        body = reply.json()
    except BodyError:
        return {}
    return body if isinstance(body, dict) else {}


def _pem(value: str) -> str:
    """The key itself, or what the file of that name holds. Variables often spell a line break as backslash and n."""
    if "-----BEGIN" in value:
        return value.replace("\\n", "\n")
    try:
        return Path(value).expanduser().read_text(encoding="ascii")
    except (OSError, ValueError):
        raise PermanentError("MEETUP_SIGNING_KEY is neither a key in PEM form nor a readable file") from None
