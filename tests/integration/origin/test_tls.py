"""TLS: the name in the URL must be proven by the certificate, whatever address the socket goes to."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.integration.origin.conftest import Serve, client, server_context
from tests.support.origin_server import HANG, RESET, Steps, answers, head
from urlsum.errors import BadRedirect, DeadlineReached, Incomplete, SettingsError, TimedOut, TlsFailed

if TYPE_CHECKING:
    from pathlib import Path

    import trustme

DATA = bytes(range(256)) * 1000
FOUND = [head("200 OK", f"Content-Length: {len(DATA)}"), DATA]


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


def test_an_unknown_ca_is_refused(serve: Serve, authority: trustme.CA) -> None:
    origin = serve(answers(FOUND), tls=server_context(authority.issue_cert("files.example.org")))
    with pytest.raises(TlsFailed, match=r"certificate is not valid: .*(self-signed|issuer)"):
        client().fetch(origin.url(host="files.example.org"))
    assert origin.requests == []


def test_a_certificate_for_another_name_is_refused(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    origin = serve(answers(FOUND), tls=server_context(authority.issue_cert("other.example.org", "127.0.0.1")))
    with pytest.raises(TlsFailed, match=r"not valid for 'files\.example\.org'"):
        client(ssl_cert_file=ca_file).fetch(origin.url(host="files.example.org"))
    assert origin.requests == []


def test_an_expired_certificate_is_refused(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    origin = serve(answers(FOUND), tls=server_context(authority.issue_cert("127.0.0.1", not_after=yesterday)))
    with pytest.raises(TlsFailed, match="expired"):
        client(ssl_cert_file=ca_file).fetch(origin.url())


def test_tls_1_1_is_refused(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    context = server_context(authority.issue_cert("127.0.0.1"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(TlsFailed, match="handshake failed"):
        client(ssl_cert_file=ca_file).fetch(serve(answers(FOUND), tls=context).url())


def test_plain_http_on_a_tls_port_is_a_tls_failure(serve: Serve) -> None:
    origin = serve(answers([]), greeting=b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(TlsFailed, match="handshake failed"):
        client().fetch(f"https://127.0.0.1:{origin.port}/")


def test_a_hanging_handshake_ends_with_the_connect_time_out(serve: Serve) -> None:
    origin = serve(answers(FOUND), handshake=False)
    url = f"https://127.0.0.1:{origin.port}/"
    started = time.monotonic()
    with pytest.raises(TimedOut, match="handshake"):
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
    with pytest.raises(TimedOut, match=r"nothing came for 0\.3 s, at 250\.0 KiB of 293\.0 KiB"):
        client(ssl_cert_file=ca_file, read_timeout=0.3).fetch(origin.url())


def test_a_server_that_wants_a_client_certificate_is_a_tls_failure(
    serve: Serve, authority: trustme.CA, ca_file: Path
) -> None:
    context = server_context(authority.issue_cert("127.0.0.1"))
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(TlsFailed):
        client(ssl_cert_file=ca_file).fetch(serve(answers(FOUND), tls=context).url())


def test_a_redirect_out_of_tls_is_not_followed(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    plain = serve(answers(FOUND))
    moved = answers([head("302 Found", f"Location: {plain.url()}")])
    origin = serve(moved, tls=server_context(authority.issue_cert("127.0.0.1")))
    with pytest.raises(BadRedirect, match="from https to http://"):
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
