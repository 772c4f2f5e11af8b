"""TLS: the name in the URL must be proven by the certificate, whatever address the socket goes to."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import socket
import ssl
import threading
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import AuthorityInformationAccessOID

from tests.integration.origin.conftest import Serve, client, server_context
from tests.support.origin.origin_server import HANG, RESET, Steps, answers, close_politely, head
from urlsum.errors import BadRedirect, DeadlineReached, Incomplete, SettingsError, TimedOut, TlsFailed, TlsUnsupported

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

DATA = bytes(range(256)) * 1000
FOUND = [head("200 OK", f"Content-Length: {len(DATA)}"), DATA]
# The group of RFC 2409, 6.2: 1024 bits, as servers had them for twenty years.
OAKLEY_GROUP_2 = """-----BEGIN DH PARAMETERS-----
MIGHAoGBAP//////////yQ/aoiFowjTExmKLgNwc0SkCTgiKZ8x0Agu+pjsTmyJR
Sgh5jjQE3e+VGbPNOkMbMCsKbfJfFDdP4TVtbVHCReSFtXZiXn7G9ExC6aY37WsL
/1y29Aa37e44a/taiZ+lrp8kEXxLH+ZJKGZR7OZTgf//////////AgEC
-----END DH PARAMETERS-----
"""


def pem(certificate: x509.Certificate) -> trustme.Blob:
    return trustme.Blob(certificate.public_bytes(Encoding.PEM))


def sending(certificate: trustme.LeafCert, chain: Sequence[trustme.Blob]) -> ssl.SSLContext:
    """A server with the key of ``certificate`` that sends this ``chain``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with trustme.Blob(b"".join(blob.bytes() for blob in (certificate.private_key_pem, *chain))).tempfile() as path:
        context.load_cert_chain(path)
    return context


def loaded(key: Key, certificate: x509.Certificate) -> ssl.SSLContext:
    """A server without a lower limit for the strength of its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with trustme.Blob(secret + pem(certificate).bytes()).tempfile() as path:
        context.load_cert_chain(path)
    return context


def signed(
    issuer: trustme.CA | None,
    address: str,
    *,
    of: trustme.CA | None = None,
    until: dt.datetime | None = None,
    bits: int = 2048,
    issuer_at: str | None = None,
    usage: x509.ObjectIdentifier | None = None,
) -> tuple[Key, x509.Certificate]:
    """A certificate such as trustme does not make: of ``issuer``, or self-signed, for ``address`` or the CA ``of``."""
    key: Key = of._private_key if of else rsa.generate_private_key(65537, bits)
    authority = None if issuer is None else x509.load_pem_x509_certificate(issuer.cert_pem.bytes())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    if of is not None:
        name = x509.load_pem_x509_certificate(of.cert_pem.bytes()).subject
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if authority is None else authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=30))
        .not_valid_after(until or now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=of is not None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if of is None:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if issuer_at is not None:
        access = x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(issuer_at)
        )
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    return key, builder.sign(key if issuer is None else issuer._private_key, hashes.SHA256())


def test_a_private_ca_is_trusted_through_its_setting(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    origin = serve(answers(FOUND), tls=server_context(authority.issue_cert("files.example.org")))
    assert client(ssl_cert_file=ca_file).fetch(origin.url(host="files.example.org")) == DATA
    assert origin.requests[0].fields["host"] == f"files.example.org:{origin.port}"


def test_a_certificate_for_an_address_is_checked_too(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    origin = serve(answers(FOUND), tls=server_context(authority.issue_cert("127.0.0.1")))
    assert client(ssl_cert_file=ca_file).fetch(origin.url()) == DATA


def test_the_name_is_sent_to_the_server(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    names: list[str | None] = []
    context = server_context(authority.issue_cert("files.example.org"))
    context.sni_callback = lambda sock, name, _: names.append(name)
    client(ssl_cert_file=ca_file).fetch(serve(answers(FOUND), tls=context).url(host="files.example.org"))
    assert set(names) == {"files.example.org"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_unknown_ca_is_refused(serve: Serve, authority: trustme.CA, version: ssl.TLSVersion) -> None:
    context = server_context(authority.issue_cert("files.example.org"))
    context.maximum_version = version
    origin = serve(answers(FOUND), tls=context)
    with pytest.raises(TlsFailed, match=r"certificate is not valid: .*its issuer is a private CA that urlsum does not"):
        client().fetch(origin.url(host="files.example.org"))
    assert origin.requests == []


def test_an_unknown_ca_is_not_called_a_missing_intermediate_when_the_chain_is_whole(
    serve: Serve, authority: trustme.CA
) -> None:
    chain = authority.create_child_ca().issue_cert("127.0.0.1")
    origin = serve(answers(FOUND), tls=server_context(chain))
    with pytest.raises(TlsFailed, match=r"certificate is not valid: its issuer is a CA that urlsum does not know$"):
        client().fetch(origin.url())


def test_the_root_of_an_unknown_ca_is_named_as_such(serve: Serve, authority: trustme.CA) -> None:
    certificate = authority.issue_cert("127.0.0.1")
    context = sending(certificate, [*certificate.cert_chain_pems, authority.cert_pem])
    with pytest.raises(TlsFailed, match=r"ends in the self-signed certificate of a CA that urlsum does not know$"):
        client().fetch(serve(answers(FOUND), tls=context).url())


def test_a_self_signed_certificate_is_named_as_such(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    key, certificate = signed(None, "127.0.0.1")
    with pytest.raises(TlsFailed, match=r"certificate is not valid: it is self-signed"):
        client(ssl_cert_file=ca_file).fetch(serve(answers(FOUND), tls=loaded(key, certificate)).url())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_missing_intermediate_is_named_as_such(
    serve: Serve, authority: trustme.CA, ca_file: Path, version: ssl.TLSVersion
) -> None:
    intermediate = authority.create_child_ca()
    certificate = intermediate.issue_cert("127.0.0.1")
    alone, twice = certificate.cert_chain_pems[:1], certificate.cert_chain_pems[:1] * 2
    another = [*alone, authority.create_child_ca().cert_pem]
    for sent in (alone, twice, another):
        context = sending(certificate, sent)
        context.maximum_version = version
        origin = serve(answers(FOUND), tls=context)
        with pytest.raises(
            TlsFailed, match=r"not valid: the server does not send its intermediate certificate"
        ) as caught:
            client(ssl_cert_file=ca_file).fetch(origin.url())
        assert not isinstance(caught.value, TlsUnsupported)
        # A private CA may have issued it, whatever else is sent.
        assert str(caught.value).endswith(", or its issuer is a private CA that urlsum does not know")
        assert origin.requests == []


def test_a_certificate_that_says_where_its_issuer_is_may_be_of_a_private_root(
    serve: Serve, authority: trustme.CA, ca_file: Path
) -> None:
    for issuer in (trustme.CA(), authority.create_child_ca()):
        key, certificate = signed(issuer, "127.0.0.1", issuer_at="http://ca.example.org/ca.crt")
        with pytest.raises(
            TlsFailed, match=r"intermediate certificate, or its issuer is a private CA that urlsum does not know$"
        ):
            client(ssl_cert_file=ca_file).fetch(serve(answers(FOUND), tls=loaded(key, certificate)).url())


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["other.example.org", "127.0.0.1"], "files.example.org"),
        (["example.org", "*.files.example.org"], "files.example.org"),
        (["files.example.org"], "127.0.0.1"),
        (["127.0.0.2"], "127.0.0.1"),
    ],
)
def test_a_certificate_for_another_name_is_refused(
    serve: Serve, authority: trustme.CA, ca_file: Path, names: list[str], host: str
) -> None:
    origin = serve(answers(FOUND), tls=server_context(authority.issue_cert(*names)))
    with pytest.raises(TlsFailed, match=rf"it was issued for other names, not for '{re.escape(host)}'$"):
        client(ssl_cert_file=ca_file).fetch(origin.url(host=host))
    assert origin.requests == []


def test_a_certificate_out_of_its_time_is_refused(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    day, now = dt.timedelta(days=1), dt.datetime.now(dt.UTC)
    expired = authority.issue_cert("127.0.0.1", not_before=now - 2 * day, not_after=now - day)
    early = authority.issue_cert("127.0.0.1", not_before=now + day, not_after=now + 2 * day)
    for certificate, words in (
        (expired, "it or a certificate in its chain has expired"),
        (early, "it or a certificate in its chain is not valid yet"),
    ):
        origin = serve(answers(FOUND), tls=server_context(certificate))
        with pytest.raises(TlsFailed, match=rf"certificate is not valid: {words}$") as caught:
            client(ssl_cert_file=ca_file).fetch(origin.url())
        # It may be that of one machine of several.
        assert not isinstance(caught.value, TlsUnsupported)


def test_an_expired_intermediate_is_an_expired_certificate(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    day, now = dt.timedelta(days=1), dt.datetime.now(dt.UTC)
    intermediate = authority.create_child_ca()
    _, old = signed(authority, "", of=intermediate, until=now - day)
    certificate = intermediate.issue_cert("127.0.0.1")
    context = sending(certificate, [certificate.cert_chain_pems[0], pem(old)])
    with pytest.raises(TlsFailed, match=r"certificate is not valid: it or a certificate in its chain has expired$"):
        client(ssl_cert_file=ca_file).fetch(serve(answers(FOUND), tls=context).url())


def test_a_certificate_that_openssl_finds_weak_is_final(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    key, certificate = signed(authority, "127.0.0.1", bits=1024)
    with pytest.raises(TlsUnsupported, match=r"certificate is not valid: its key is too short to be safe$"):
        client(ssl_cert_file=ca_file).fetch(serve(answers(FOUND), tls=loaded(key, certificate)).url())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_of_tls_are_refused(
    serve: Serve, authority: trustme.CA, ca_file: Path, version: ssl.TLSVersion
) -> None:
    context = server_context(authority.issue_cert("127.0.0.1"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version
        context.maximum_version = version
    with pytest.raises(TlsUnsupported, match=r"handshake failed: the server supports neither TLS 1\.2 nor TLS 1\.3"):
        client(ssl_cert_file=ca_file).fetch(serve(answers(FOUND), tls=context).url())


def test_a_short_diffie_hellman_key_is_refused(
    serve: Serve, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "dh.pem").write_text(OAKLEY_GROUP_2)
    context = server_context(authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0")
    context.load_dh_params(str(tmp_path / "dh.pem"))
    with pytest.raises(TlsUnsupported, match=r"handshake failed: the server's Diffie-Hellman key is too short"):
        client(ssl_cert_file=ca_file).fetch(serve(answers(FOUND), tls=context).url())


def test_a_server_without_a_common_cipher_is_refused(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    context = server_context(authority.issue_cert("127.0.0.1"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    with pytest.raises(
        TlsUnsupported, match=r"handshake failed: the server rejected the handshake: no common secure cipher, "
    ):
        client(ssl_cert_file=ca_file).fetch(serve(answers(FOUND), tls=context).url())


def test_a_server_that_does_not_know_the_name_is_refused(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    context = server_context(authority.issue_cert("files.example.org"))
    context.sni_callback = lambda sock, name, _: ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    with pytest.raises(TlsUnsupported, match=r"handshake failed: the server does not know the host of the URL$"):
        client(ssl_cert_file=ca_file).fetch(serve(answers(FOUND), tls=context).url(host="files.example.org"))


def server_hello(version: int, cipher: int) -> bytes:
    """A ServerHello without any extension (RFC 5246, 7.4.1.3), so without secure renegotiation (RFC 5746)."""
    body = version.to_bytes(2, "big") + bytes(32) + b"\x00" + cipher.to_bytes(2, "big") + b"\x00"
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message


def alert(description: int) -> bytes:
    """A fatal alert (RFC 8446, 6)."""
    return bytes([0x15, 3, 3, 0, 2, 2, description])


# Python has no server that speaks so any more; these are its bytes.
@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (server_hello(0x0303, 0xC02F), "the server supports only insecure legacy renegotiation"),
        (server_hello(0x0301, 0xC013), "the server supports neither TLS 1.2 nor TLS 1.3"),
        (server_hello(0x0300, 0x0005), "the server supports neither TLS 1.2 nor TLS 1.3"),
        (server_hello(0x0303, 0x0005), "the server has no secure cipher in common with urlsum"),
        (
            alert(40),
            "rejected the handshake: no common secure cipher, a required client certificate, or an unknown host",
        ),
        (alert(71), "no secure cipher in common"),
        (alert(70), "neither TLS 1.2 nor"),
        (alert(86), "neither TLS 1.2 nor"),
        (alert(112), "does not know the host"),
        (alert(116), "requires a client certificate"),
        (alert(41), "requires a client certificate"),
        (alert(42), "requires a client certificate"),
        (alert(44), "requires a client certificate"),
        (alert(45), "requires a client certificate"),
        (alert(49), "requires a client certificate"),
        (alert(120), "does not speak HTTP/1.1"),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "does not speak TLS on this port; try http:// instead$",
        ),
        (b"<html>The plain HTTP request was sent to HTTPS port</html>", "does not speak TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak TLS"),
        (b"220 mail.example.org ESMTP\r\n", "does not speak TLS"),
    ],
)
def test_tls_that_the_server_does_not_have_is_named_and_final(serve: Serve, sent: bytes, words: str) -> None:
    origin = serve(answers([]), greeting=sent)
    with pytest.raises(TlsUnsupported, match=rf"the TLS handshake failed: .*{words}"):
        client().fetch(f"https://127.0.0.1:{origin.port}/")


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "the server closed the connection"),
        (b"\x16\x03\x03", "the server closed the connection"),
        (alert(80), "the server reports an internal error"),
        (alert(10), r"the server broke off the handshake \(unexpected_message\)"),
        (alert(20), r"the server broke off the handshake \(bad_record_mac\)"),
        (alert(47), r"the server broke off the handshake \(illegal_parameter\)"),
        (alert(50), r"the server broke off the handshake \(decode_error\)"),
        (alert(51), r"the server broke off the handshake \(decrypt_error\)"),
        (alert(90), r"the server broke off the handshake \(user_canceled\)"),
        (alert(109), r"the server broke off the handshake \(missing_extension\)"),
        (alert(110), r"the server broke off the handshake \(unsupported_extension\)"),
        (alert(200), "the server sent an unknown alert"),
    ],
)
def test_a_handshake_that_may_end_better_is_not_final(sent: bytes, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            plain, _ = server.accept()
            with plain:
                plain.recv(10_000)
                plain.sendall(sent)
                close_politely(plain)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(TlsFailed, match=rf"the TLS handshake failed: {words}$") as caught:
            client().fetch(f"https://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()
    assert not isinstance(caught.value, TlsUnsupported)


def test_a_hanging_handshake_ends_with_the_connect_time_out(serve: Serve) -> None:
    origin = serve(answers(FOUND), handshake=False)
    url = f"https://127.0.0.1:{origin.port}/"
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"the TLS handshake timed out after 0\.3 s$"):
        client(connect_timeout=0.3).fetch(url)
    with pytest.raises(DeadlineReached):
        client().fetch(url, seconds=0.3)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("last", [[], [RESET]])
def test_a_cut_inside_tls_is_a_cut(serve: Serve, authority: trustme.CA, ca_file: Path, last: Steps) -> None:
    steps: Steps = [head("200 OK", "Content-Length: 300000"), DATA, *last]
    origin = serve(answers(steps), tls=server_context(authority.issue_cert("127.0.0.1")))
    with pytest.raises(Incomplete, match=r"cut at .* of 293\.0 KiB"):
        client(ssl_cert_file=ca_file).fetch(origin.url())


def test_a_record_that_cannot_be_decrypted_is_a_cut(authority: trustme.CA, ca_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            plain, _ = server.accept()
            with server_context(authority.issue_cert("127.0.0.1")).wrap_socket(plain, server_side=True) as sock:
                sock.recv(10_000)
                sock.sendall(head("200 OK", "Content-Length: 300000") + DATA)
                # Past TLS: a record of application data, with a body that is none.
                socket.socket.sendall(sock, b"\x17\x03\x03\x00\x40" + bytes(64))
                with suppress(OSError):
                    sock.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Incomplete, match=r"cut at .* of 293\.0 KiB"):
            client(ssl_cert_file=ca_file).fetch(f"https://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()


def test_silence_inside_tls_ends_with_the_read_time_out(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    steps: Steps = [head("200 OK", "Content-Length: 300000"), DATA, HANG]
    origin = serve(answers(steps), tls=server_context(authority.issue_cert("127.0.0.1")))
    with pytest.raises(TimedOut, match=r"no data for 0\.3 s, at 250\.0 KiB of 293\.0 KiB"):
        client(ssl_cert_file=ca_file, read_timeout=0.3).fetch(origin.url())


@pytest.mark.parametrize(
    ("version", "words"),
    [
        # The refusal comes after the handshake, when the head of the response is awaited.
        (ssl.TLSVersion.TLSv1_3, "the server requires a client certificate, and urlsum has none"),
        (ssl.TLSVersion.TLSv1_2, "a required client certificate"),
    ],
)
def test_a_server_that_wants_a_client_certificate_is_a_tls_failure(
    serve: Serve, authority: trustme.CA, ca_file: Path, version: ssl.TLSVersion, words: str
) -> None:
    context = server_context(authority.issue_cert("127.0.0.1"))
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    with pytest.raises(TlsUnsupported, match=words):
        client(ssl_cert_file=ca_file).fetch(serve(answers(FOUND), tls=context).url())


def test_a_redirect_out_of_tls_is_not_followed(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    plain = serve(answers(FOUND))
    moved = answers([head("302 Found", f"Location: {plain.url()}")])
    origin = serve(moved, tls=server_context(authority.issue_cert("127.0.0.1")))
    with pytest.raises(BadRedirect, match="from https to http, where anyone"):
        client(ssl_cert_file=ca_file).fetch(origin.url())
    assert plain.connections == 0


def test_a_redirect_into_tls_is_followed(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    origin = serve(answers(FOUND), tls=server_context(authority.issue_cert("127.0.0.1")))
    plain = serve(answers([head("301 Moved", f"Location: {origin.url()}")]))
    assert client(ssl_cert_file=ca_file).fetch(plain.url()) == DATA


@pytest.mark.parametrize("text", [None, "not a certificate"])
def test_a_ca_file_that_cannot_be_read_names_its_setting(serve: Serve, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=r"SSL_CERT_FILE: .*ca\.pem"):
        client(ssl_cert_file=path).fetch(f"https://127.0.0.1:{serve(answers(FOUND)).port}/")
