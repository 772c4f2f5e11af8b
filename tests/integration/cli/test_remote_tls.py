"""``--server`` over TLS and through proxies: whose certificates are trusted, and what a failure says."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.integration.origin.test_tls import alert, loaded, pem, sending, server_hello, signed
from tests.support.origin.origin_server import answers, head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import Request, Steps

    Run = Callable[..., CompletedProcess[str]]

URL = "https://files.example/a"
MD5 = hashlib.md5(b"abc").hexdigest()
TASK = "0b8e7ab0-6a9c-4b5c-9a0e-3c1de9f0a001"
LINE = f"{MD5}  {URL}\n"
MISSING_OR_PRIVATE = (
    "the server does not send its intermediate certificate, or its issuer is a private CA that urlsum does not know"
)
TRUSTED = "; only SSL_CERT_FILE ({right}) and the authorities of the system are trusted"


def service(request: Request) -> Steps:
    status, body = ("202 Accepted", {"id": TASK}) if request.method == "POST" else ("200 OK", {"md5": MD5})
    raw = json.dumps(body).encode()
    return [head(status, "Content-Type: application/json", f"Content-Length: {len(raw)}", "Connection: close"), raw]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def right(authority: trustme.CA, tmp_path: Path) -> str:
    return written(authority, tmp_path / "right.pem")


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    return written(trustme.CA(), tmp_path / "wrong.pem")


def written(authority: trustme.CA, path: Path) -> str:
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def presented(certificate: trustme.LeafCert, *, intermediates: bool = True) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if intermediates:
        certificate.configure_cert(context)
    else:
        with certificate.cert_chain_pems[0].tempfile() as chain, certificate.private_key_pem.tempfile() as key:
            context.load_cert_chain(chain, key)
    return context


@pytest.fixture
def base(serve: Serve, authority: trustme.CA) -> str:
    return serve(service, tls=presented(authority.issue_cert("127.0.0.1"))).url("")


@pytest.mark.parametrize("bundle", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_ssl_cert_file_takes_precedence_over_bundles(
    run: Run, base: str, right: str, wrong: str, tmp_path: Path, bundle: str
) -> None:
    for path in (wrong, str(tmp_path / "nowhere"), str(tmp_path)):
        done = run("--server", base, URL, SSL_CERT_FILE=right, **{bundle: path})
        assert (done.returncode, done.stdout, done.stderr) == (0, LINE, "")
    done = run("--server", base, URL, SSL_CERT_FILE=wrong, URLSUM_MAX_ATTEMPTS="1", **{bundle: right})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"urlsum: {URL}: service: the certificate of {base} is not valid: {MISSING_OR_PRIVATE};"
        f" only SSL_CERT_FILE ({wrong}) and the authorities of the system are trusted;"
        f" SSL_CERT_FILE takes precedence over {bundle}\n"
    )


def test_without_ssl_cert_file_a_bundle_is_used_and_named(run: Run, base: str, right: str, wrong: str) -> None:
    assert run("--server", base, URL, REQUESTS_CA_BUNDLE=right, CURL_CA_BUNDLE=wrong).stdout == LINE
    assert run("--server", base, URL, CURL_CA_BUNDLE=right).stdout == LINE
    done = run("--server", base, URL, REQUESTS_CA_BUNDLE=wrong, CURL_CA_BUNDLE=right, URLSUM_MAX_ATTEMPTS="1")
    assert done.returncode == 1
    assert f"; only REQUESTS_CA_BUNDLE ({wrong}) is trusted; setting SSL_CERT_FILE overrides it\n" in done.stderr


def test_without_any_file_the_advice_is_ssl_cert_file(run: Run, base: str) -> None:
    done = run("--server", base, URL, URLSUM_MAX_ATTEMPTS="1")
    assert done.returncode == 1
    assert "; only public authorities are trusted; to add a private one, set SSL_CERT_FILE\n" in done.stderr


def test_the_authorities_of_the_system_are_trusted_besides_ssl_cert_file(
    run: Run, base: str, right: str, wrong: str, tmp_path: Path
) -> None:
    system = hashed(right, tmp_path / "system")
    assert run("--server", base, URL, SSL_CERT_FILE=wrong, SSL_CERT_DIR=system).stdout == LINE


@pytest.mark.parametrize(
    ("setting", "content", "reason"),
    [
        ("SSL_CERT_FILE", None, "No such file or directory"),
        ("SSL_CERT_FILE", "no certificate", "cannot be read as certificates: "),
        ("REQUESTS_CA_BUNDLE", None, "No such file or directory"),
        ("REQUESTS_CA_BUNDLE", "no certificate", "cannot be read as certificates: "),
        ("CURL_CA_BUNDLE", None, "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_wrong_setting(
    run: Run, base: str, tmp_path: Path, setting: str, content: str | None, reason: str
) -> None:
    path = tmp_path / "certificates"
    if content is not None:
        path.write_text(content)
    done = run("--server", base, URL, **{setting: str(path)})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"urlsum: {setting}: {path}")
    assert reason in done.stderr


def test_a_file_that_is_not_needed_is_not_read(run: Run, serve: Serve, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    done = run("--server", serve(service).url(""), URL, SSL_CERT_FILE=nowhere, REQUESTS_CA_BUNDLE=nowhere)
    assert (done.returncode, done.stdout, done.stderr) == (0, LINE, "")


def test_a_bundle_may_be_a_folder(run: Run, base: str, right: str, tmp_path: Path) -> None:
    assert run("--server", base, URL, REQUESTS_CA_BUNDLE=hashed(right, tmp_path / "folder")).stdout == LINE


def hashed(certificate: str, folder: Path) -> str:
    """A new ``folder`` with the certificate under the name by which OpenSSL looks for it."""
    if shutil.which("openssl") is None:
        pytest.skip("this machine has no openssl to compute the name of a certificate")
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", certificate]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    folder.mkdir()
    shutil.copy(certificate, folder / f"{name}.0")
    return str(folder)


def expired(authority: trustme.CA) -> ssl.SSLContext:
    return presented(authority.issue_cert("127.0.0.1", not_after=dt.datetime.now(dt.UTC) - dt.timedelta(days=1)))


def future(authority: trustme.CA) -> ssl.SSLContext:
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    return presented(authority.issue_cert("127.0.0.1", not_before=tomorrow))


def expired_intermediate(authority: trustme.CA) -> ssl.SSLContext:
    intermediate = authority.create_child_ca()
    _, old = signed(authority, "", of=intermediate, until=dt.datetime.now(dt.UTC) - dt.timedelta(days=1))
    leaf = intermediate.issue_cert("127.0.0.1")
    return sending(leaf, [leaf.cert_chain_pems[0], pem(old)])


def self_signed(_: trustme.CA) -> ssl.SSLContext:
    return loaded(*signed(None, "127.0.0.1"))


def short_key(authority: trustme.CA) -> ssl.SSLContext:
    return loaded(*signed(authority, "127.0.0.1", bits=1024))


def for_clients(authority: trustme.CA) -> ssl.SSLContext:
    return loaded(*signed(authority, "127.0.0.1", usage=ExtendedKeyUsageOID.CLIENT_AUTH))


def other_address(authority: trustme.CA) -> ssl.SSLContext:
    return presented(authority.issue_cert("192.0.2.1"))


def without_intermediate(authority: trustme.CA) -> ssl.SSLContext:
    return presented(authority.create_child_ca().issue_cert("127.0.0.1"), intermediates=False)


def with_intermediate(authority: trustme.CA) -> ssl.SSLContext:
    return presented(authority.create_child_ca().issue_cert("127.0.0.1"))


@pytest.mark.parametrize(
    ("made", "reason", "advice"),
    [
        (expired, "it or a certificate in its chain has expired", ""),
        (expired_intermediate, "it or a certificate in its chain has expired", ""),
        (future, "it or a certificate in its chain is not valid yet", "; check the clock of this machine"),
        (other_address, "it was issued for other names, not for '127.0.0.1'", ""),
        (without_intermediate, MISSING_OR_PRIVATE, TRUSTED),
        (self_signed, "it is self-signed by an issuer that urlsum does not know", TRUSTED),
        (short_key, "its key is too short to be safe", ""),
        (for_clients, "it or one of its CAs was not issued for servers", ""),
    ],
)
def test_a_certificate_that_is_not_valid_says_why(
    run: Run,
    serve: Serve,
    authority: trustme.CA,
    right: str,
    made: Callable[[trustme.CA], ssl.SSLContext],
    reason: str,
    advice: str,
) -> None:
    origin = serve(service, tls=made(authority))
    done = run("--server", origin.url(""), URL, SSL_CERT_FILE=right, URLSUM_MAX_ATTEMPTS="1")
    assert (done.returncode, done.stdout) == (1, "")
    advice = advice.format(right=right)
    assert done.stderr == (
        f"urlsum: {URL}: service: the certificate of {origin.url('')} is not valid: {reason}{advice}\n"
    )
    assert origin.requests == []


def test_a_certificate_for_another_name_says_so(run: Run, serve: Serve, authority: trustme.CA, right: str) -> None:
    origin = serve(service, tls=presented(authority.issue_cert("files.example.org")))
    done = run("--server", f"https://localhost:{origin.port}", URL, SSL_CERT_FILE=right, URLSUM_MAX_ATTEMPTS="1")
    assert done.returncode == 1
    assert "is not valid: it was issued for other names, not for 'localhost'\n" in done.stderr


def test_an_authority_that_the_service_sends_is_not_trusted_for_that(
    run: Run, serve: Serve, authority: trustme.CA, right: str, wrong: str, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = authority.issue_cert("127.0.0.1")
    (tmp_path / "chain.pem").write_bytes(leaf.private_key_and_cert_chain_pem.bytes() + authority.cert_pem.bytes())
    context.load_cert_chain(tmp_path / "chain.pem")
    base = serve(service, tls=context).url("")
    done = run("--server", base, URL, SSL_CERT_FILE=wrong, URLSUM_MAX_ATTEMPTS="1")
    assert "a CA that urlsum does not know; only SSL_CERT_FILE" in done.stderr
    assert run("--server", base, URL, SSL_CERT_FILE=right).stdout == LINE


def test_an_intermediate_certificate_that_is_sent_is_enough(
    run: Run, serve: Serve, authority: trustme.CA, right: str
) -> None:
    base = serve(service, tls=with_intermediate(authority)).url("")
    assert run("--server", base, URL, SSL_CERT_FILE=right).stdout == LINE


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            "the server does not speak TLS on this port; try http:// instead",
        ),
        (alert(10), "the server broke off the handshake (unexpected_message)"),
        (
            alert(40),
            (
                "the server rejected the handshake: no common secure cipher, a required client certificate,"
                " or an unknown host name"
            ),
        ),
        (alert(50), "the server broke off the handshake (decode_error)"),
        (alert(70), "the server supports neither TLS 1.2 nor TLS 1.3"),
        (alert(116), "the server requires a client certificate, and urlsum has none"),
        (alert(120), "the server does not speak HTTP/1.1"),
        (server_hello(0x0301, 0xC013), "the server supports neither TLS 1.2 nor TLS 1.3"),
        (server_hello(0x0303, 0xC02F), "the server supports only insecure legacy renegotiation (no RFC 5746)"),
    ],
)
@pytest.mark.parametrize("own_trust", [True, False])
def test_a_handshake_fails_in_the_words_of_an_origin(
    run: Run, serve: Serve, right: str, own_trust: bool, sent: bytes, words: str
) -> None:
    port = serve(answers([]), greeting=sent).port
    trust = {"SSL_CERT_FILE": right} if own_trust else {}
    done = run("--server", f"https://127.0.0.1:{port}", URL, URLSUM_MAX_ATTEMPTS="1", **trust)
    assert done.returncode == 1
    assert done.stderr == f"urlsum: {URL}: service: the TLS handshake with https://127.0.0.1:{port} failed: {words}\n"


def test_tls_that_the_service_does_not_have_is_not_tried_again(run: Run, serve: Serve, right: str) -> None:
    for sent, tries in ((alert(70), 1), (alert(80), 2)):
        done = run("--server", serve(answers([]), greeting=sent).url("").replace("http:", "https:"), URL)
        assert done.stderr.count("the TLS handshake with ") == tries


@pytest.fixture
def tunnel() -> Iterator[str]:
    """A proxy that takes CONNECT and then relays bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=[server], daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            threading.Thread(target=_relay, args=[client], daemon=True).start()


def _relay(client: socket.socket) -> None:
    asked = b""
    while b"\r\n\r\n" not in asked:
        asked += client.recv(4096)
    host, _, port = asked.split()[1].decode().rpartition(":")
    upstream = socket.create_connection((host, int(port)))
    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    back = threading.Thread(target=_copy, args=[upstream, client], daemon=True)
    back.start()
    _copy(client, upstream)
    back.join()
    client.close()
    upstream.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def test_ssl_cert_file_is_used_through_a_proxy(run: Run, base: str, right: str, wrong: str, tunnel: str) -> None:
    proxied = {"HTTPS_PROXY": tunnel, "URLSUM_MAX_ATTEMPTS": "1"}
    assert run("--server", base, URL, SSL_CERT_FILE=right, REQUESTS_CA_BUNDLE=wrong, **proxied).stdout == LINE
    done = run("--server", base, URL, SSL_CERT_FILE=wrong, REQUESTS_CA_BUNDLE=right, **proxied)
    assert (done.returncode, done.stdout) == (1, "")
    assert "SSL_CERT_FILE takes precedence over REQUESTS_CA_BUNDLE\n" in done.stderr


def test_a_proxy_is_used_for_plain_http(run: Run, serve: Serve) -> None:
    proxy = serve(service)
    assert run("--server", "http://service.example", URL, HTTP_PROXY=proxy.url("")).stdout == LINE
    assert proxy.requests[0].path == "http://service.example/submit"


def test_a_proxy_that_refuses_is_named(run: Run, serve: Serve) -> None:
    proxy = serve(answers([head("407 Proxy Authentication Required", "Content-Length: 0")]))
    done = run("--server", "https://service.example", URL, HTTPS_PROXY=proxy.url(""), URLSUM_MAX_ATTEMPTS="1")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert ": service: https://service.example cannot be reached through the proxy: " in done.stderr
    assert "407 Proxy Authentication Required; check --server or try again later\n" in done.stderr
