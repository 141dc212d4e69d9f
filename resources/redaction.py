"""Secrets kept out of logs, messages, exceptions and `repr`.

Belongs here: what counts as a secret in a URL, a header or a line of text, and how it is masked. Anything that shows
text made from the outside world (URLs above all) passes it through `redact` or `redact_url` first.
"""

from __future__ import annotations

import logging
import re
import threading
from urllib.parse import quote, quote_plus, urlsplit

MASK = "***"

SECRET_PARAMS = frozenset(
    {
        "apikey", "api_key", "api-key", "key", "token", "access_token", "refresh_token", "id_token", "auth_token",
        "client_secret", "secret", "password", "passwd", "pwd", "signature", "sig", "assertion", "jwt", "credential",
        "x-amz-signature", "x-amz-credential", "x-amz-security-token", "x-goog-signature",
    }
)  # fmt: skip
"""Names of query and form parameters whose values are never shown, in lower case."""

SECRET_HEADERS = frozenset(
    {
        "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "apikey",
        "x-auth-token", "x-access-token", "x-goog-api-key", "ocp-apim-subscription-key",
    }
)  # fmt: skip
"""Names of headers whose values are never shown and never follow a redirect to another origin, in lower case."""

# Anything shorter is as likely a word as a secret, and masking it everywhere would make messages unreadable.
_SHORTEST_KNOWN_SECRET = 6
# Refreshed access tokens are registered too; the oldest are forgotten, so a long-lived process does not grow.
_MOST_KNOWN_SECRETS = 512
# Stored data is masked by certain, long credentials only: a short one may be a word that events are full of.
_SHORTEST_MASKED_IN_DATA = 16


class _KnownSecrets:
    """Secret values seen or declared in this process, and one pattern that finds any of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None
        self._certain: dict[str, None] = {}
        self.credentials: tuple[str, ...] = ()
        """What `mask_credentials` looks for."""
        self.encoded: tuple[bytes, ...] = ()
        """The same, in UTF-8."""

    def add(self, value: str, *, guessed: bool) -> None:
        value = value.strip()
        if len(value) < _SHORTEST_KNOWN_SECRET or value in (self._values if guessed else self._certain):
            return
        # As written, in a query, and as Python shows bytes or text that is not ASCII.
        forms = dict.fromkeys((value, quote(value, safe=""), quote(value), quote_plus(value), ascii(value)[1:-1]))
        with self._lock:
            _remember(self._values, forms)
            self._pattern = None
            if not guessed:
                _remember(self._certain, forms)
                long = (form for form in self._certain if len(form) >= _SHORTEST_MASKED_IN_DATA)
                self.credentials = tuple(sorted(long, key=len, reverse=True))
                self.encoded = tuple(credential.encode("utf-8", "surrogatepass") for credential in self.credentials)

    def scrub(self, text: str) -> str:
        if not self._values:
            return text
        with self._lock:
            if self._pattern is None:
                # Longest first, so that a secret which contains another is masked whole.
                forms = sorted(self._values, key=len, reverse=True)
                self._pattern = re.compile("|".join(re.escape(form) for form in forms))
            pattern = self._pattern
        return pattern.sub(MASK, text)


def _remember(values: dict[str, None], forms: dict[str, None]) -> None:
    values.update(forms)
    while len(values) > _MOST_KNOWN_SECRETS:
        del values[next(iter(values))]


_known = _KnownSecrets()

_NAMES = "|".join(re.escape(name) for name in sorted(SECRET_PARAMS, key=len, reverse=True))
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)([a-z][a-z0-9+.-]{1,15}://)[^/\s?#@'\"]*@"), rf"\1{MASK}@"),
    (re.compile(rf"(?i)\b((?:{_NAMES})=)[^&\s'\"<>#;,)\]}}]+"), rf"\1{MASK}"),
    (re.compile(rf"(?i)([\"'](?:{_NAMES}|authorization)[\"']\s*[:,]\s*b?[\"'])[^\"']*"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(authorization\s*[:=]\s*)(?:[a-z]+\s+)?[^\s'\",;]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    # Google's private calendar address carries its secret in the path.
    (re.compile(r"(?i)/private-[0-9a-z]{6,}"), f"/private-{MASK}"),
)


def register_secret(value: str, *, guessed: bool = False) -> None:
    """Mask `value` from now on wherever `redact` sees it, also percent-encoded. Under 6 characters it is ignored.

    `guessed`: it may be no secret at all; messages are masked all the same, stored data is not.
    """
    _known.add(value, guessed=guessed)


def redact(text: str) -> str:
    """`text` without registered secrets, `name=value` pairs of secret parameters, credentials in URLs and tokens."""
    text = _known.scrub(text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def mask_credentials(text: str) -> str:
    """`text` of a record that is stored, without the credentials that this process calls services with.

    A service may repeat its caller's key in what it sends. Unlike `redact` this leaves alone what only looks like a
    secret: the links of events are full of that.
    """
    for credential in _known.credentials:
        if credential in text:  # a plain search, because nearly every record has none
            text = text.replace(credential, MASK)
    return text


def mask_credentials_in(body: bytes) -> bytes:
    """`mask_credentials` of text in UTF-8."""
    return mask_credentials(body.decode()).encode()


def excerpt(text: str, limit: int) -> str:
    """The beginning of `text`, at most `limit` characters, for a message. Cut after it is redacted: half a credential
    is one that nobody recognises any more.
    """
    return redact(text[: limit * 8])[:limit]


def holds_credentials(body: bytes) -> bool:
    """Whether the bytes repeat a credential that this process calls services with."""
    for credential in _known.encoded:  # noqa: SIM110 - asked for each stored record: a generator would double its cost
        if credential in body:
            return True
    return False


def redact_url(url: str, secret_params: frozenset[str] = frozenset()) -> str:
    """`url` fit to be shown: user information, values of secret parameters and the fragment are masked or gone.

    `secret_params` are further names, in lower case, besides `SECRET_PARAMS`.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # A password with an unencoded slash reads as a port and a path: all up to the last @ may be secret.
        return redact(re.sub(r"(?s)://.*@", f"://{MASK}@", url))
    host = parts.netloc.rpartition("@")
    netloc = f"{MASK}@{host[2]}" if host[1] else parts.netloc
    pairs = []
    for pair in parts.query.split("&") if parts.query else ():
        name, sign, value = pair.partition("=")
        secret = name.lower() in SECRET_PARAMS or name.lower() in secret_params
        pairs.append(f"{name}={MASK}" if secret and sign and value else pair)
    return redact(parts._replace(netloc=netloc, query="&".join(pairs), fragment="").geturl())


class RedactingFilter(logging.Filter):
    """Passes every record, its message and traceback text redacted. Put it on a handler to cover all its loggers."""

    _plain = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact in place; always true."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            # Arguments that do not fit their message; a filter that raised would end the caller's work.
            message = f"{record.msg} (its arguments do not fit)"
        record.msg, record.args = redact(message), None
        if record.exc_info:
            # A formatter appends exc_text as it stands, and would build it anew from exc_info with the secrets in it.
            record.exc_text = self._plain.formatException(record.exc_info)
            record.exc_info = None
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


def quiet_http_loggers() -> None:
    """Keep httpx and httpcore from logging URLs and headers: level WARNING, and a filter if somebody lowers it."""
    for name in ("httpx", "httpcore"):
        logger = logging.getLogger(name)
        if logger.level < logging.WARNING:
            logger.setLevel(logging.WARNING)
        if not any(isinstance(each, RedactingFilter) for each in logger.filters):
            logger.addFilter(RedactingFilter())
