"""The connection goes to a checked address, but the certificate is checked against the name."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from resources.errors import PermanentError
from resources.http import OutboundClient, wire
from tests.http.server import PUBLIC, Exchange, RawServer, Rerouted, Resolver


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def served_names() -> list[str | None]:
    return []


@pytest.fixture
def secure(tmp_path: Path, served_names: list[str | None]) -> Iterator[tuple[RawServer, ssl.SSLContext]]:
    pem = certificate(tmp_path, "feed.example")
    server = RawServer()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    serving.sni_callback = lambda _socket, name, _context: served_names.append(name)
    server.socket = serving.wrap_socket(server.socket, server_side=True)
    server.routes["/"] = Exchange.send
    with server.running():
        yield server, ssl.create_default_context(cafile=str(pem))


def client_for(
    build: Callable[..., OutboundClient], server: RawServer, tls: ssl.SSLContext | None, **policy: object
) -> OutboundClient:
    resolver = Resolver({name: [[PUBLIC]] for name in ("feed.example", "other.example")})
    sockets = Rerouted(server.server_port)
    return build(client={"allow_private": False, "resolve": resolver, "sockets": sockets, "tls": tls}, **policy)


def test_the_name_is_sent_and_checked_although_an_address_is_called(
    secure: tuple[RawServer, ssl.SSLContext], build: Callable[..., OutboundClient], served_names: list[str | None]
) -> None:
    server, tls = secure
    assert client_for(build, server, tls).get("https://feed.example/").status == 200
    assert served_names == ["feed.example"]
    assert server.seen[0].headers["Host"] == "feed.example"


def test_a_certificate_for_another_name_is_permanent(
    secure: tuple[RawServer, ssl.SSLContext], build: Callable[..., OutboundClient]
) -> None:
    server, tls = secure
    with pytest.raises(PermanentError, match="certificate is not valid"):
        client_for(build, server, tls).get("https://other.example/")
    assert server.seen == []


def test_a_certificate_nobody_vouches_for_is_permanent(
    secure: tuple[RawServer, ssl.SSLContext], build: Callable[..., OutboundClient]
) -> None:
    server, _ = secure
    with pytest.raises(PermanentError, match="certificate is not valid"):
        client_for(build, server, None).get("https://feed.example/")
    assert server.seen == []


def test_an_authority_of_one_s_own_is_named_by_a_variable(
    secure: tuple[RawServer, ssl.SSLContext],
    build: Callable[..., OutboundClient],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, _ = secure
    with pytest.raises(PermanentError, match="SSL_CERT_FILE"):
        client_for(build, server, None).get("https://feed.example/")
    monkeypatch.setattr(wire, "_tls", wire._tls.__wrapped__)  # reads the variable each time
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "feed.example.pem"))
    assert client_for(build, server, None).get("https://feed.example/").status == 200
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(PermanentError, match="SSL_CERT_FILE names cannot be read: No such file"):
        client_for(build, server, None).get("https://feed.example/")


def test_certificates_are_read_once_and_when_they_are_needed(
    secure: tuple[RawServer, ssl.SSLContext], server: RawServer, build: Callable[..., OutboundClient]
) -> None:
    wire._tls.cache_clear()
    server.routes["/"] = Exchange.send
    assert build().get(server.url("/")).status == 200
    assert wire._tls.cache_info().misses == 0
    for _ in range(2):
        with pytest.raises(PermanentError, match="certificate is not valid"):
            client_for(build, secure[0], None).get("https://feed.example/")
    assert wire._tls.cache_info().misses == 1


def test_authorization_does_not_follow_a_downgrade(
    secure: tuple[RawServer, ssl.SSLContext], server: RawServer, build: Callable[..., OutboundClient]
) -> None:
    https, tls = secure
    https.routes["/"] = lambda exchange: exchange.send(301, Location=server.url("/plain"))
    server.routes["/plain"] = Exchange.send
    resolver = Resolver({"feed.example": [["127.0.0.1"]], "127.0.0.1": [["127.0.0.1"]]})
    client = build(client={"resolve": resolver, "tls": tls})
    client.get(f"https://feed.example:{https.server_port}/", headers={"Authorization": "Bearer abcdefgh"})
    assert "authorization" in {name.lower() for name in https.seen[0].headers}
    assert "authorization" not in {name.lower() for name in server.seen[0].headers}
