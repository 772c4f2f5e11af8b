"""``urlsum URL…``: lines, messages and exit statuses."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.integration.cli.conftest import COMMAND, ENVIRONMENT, without_summary
from tests.integration.origin.test_tls import alert
from tests.support.origin.origin_server import File, answers, head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import Request, Steps

    Run = Callable[..., subprocess.CompletedProcess[str]]

CONTENT = random.Random(3).randbytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
TELL_OPERATORS = "use another mirror, or report it to the operators of this one"
NOT_FOUND = head("404 Not Found", "Content-Length: 0")


def test_a_line_as_md5sum_writes_it_and_nothing_else(run: Run, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    url = serve(File(CONTENT)).url()
    theirs = subprocess.run(["md5sum", "file"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    done = run(url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == theirs.replace("file", url)


def test_several_urls_one_after_the_other_and_1_if_any_failed(run: Run, serve: Serve) -> None:
    good, bad, empty = serve(File(CONTENT)).url(), serve(answers([NOT_FOUND])).url(), serve(File(b"")).url()
    done = run(good, bad, empty)
    assert done.returncode == 1
    assert done.stdout == f"{MD5}  {good}\nd41d8cd98f00b204e9800998ecf8427e  {empty}\n"
    assert without_summary(done.stderr) == (
        f"urlsum: {bad}: http: the server answered with status 404; check that the URL opens in a browser"
        " without signing in; if it does, try again later\n"
        f"urlsum: {empty}: note: The server sent an empty file (0 bytes). Is this the file you meant?\n"
    )


def test_what_is_no_url_ends_with_2_before_anything_is_read(run: Run, serve: Serve) -> None:
    origin = serve(File(CONTENT))
    done = run(origin.url(), "example.org/file")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "urlsum: example.org/file: the URL must be absolute and begin with http:// or https://; did you mean"
        " https://example.org/file?\n"
    )
    assert origin.requests == []


def test_a_list_in_place_of_a_url_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "list").touch()
    for name, advice in [
        ("-", "urlsum -i - reads URLs from standard input"),
        ("list", "urlsum -i FILE reads URLs from a file, urlsum -c FILE verifies a list"),
    ]:
        done = run(name)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"urlsum: {name}: the URL must be absolute and begin with http:// or https://; {advice}\n"
        )


def test_what_is_no_url_in_a_list_is_named_with_its_line(run: Run) -> None:
    done = run("-i", "-", stdin="# URLs\n\nexample.org/file\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("urlsum: standard input: 3: example.org/file: the URL must be absolute and ")
    for line in (f"{MD5}  http://127.0.0.1/", f"http://127.0.0.1/\t{MD5}", "url\tmd5"):
        assert run("-i", "-", stdin=line).stderr.endswith("; urlsum -c verifies lists of checksums\n")
    done = run("-i", "-", stdin="x" * 20_000 + "\n")
    assert done.returncode == 2
    assert len(done.stderr) < 400


def test_an_empty_list_of_urls_is_named(run: Run) -> None:
    done = run("-i", "-", stdin="# none yet\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "urlsum: standard input: no URLs found\n")


WRONG = "0" * 32


@pytest.mark.parametrize("fragment", [f"md5={MD5}", f"md5:{MD5}", MD5.upper()])
def test_a_fragment_or_an_option_names_the_expected_md5(run: Run, serve: Serve, fragment: str) -> None:
    url = serve(File(CONTENT)).url()
    for arguments in ((f" {url}#{fragment}\n",), ("--md5", f"{MD5}  big.bin", f"{url}#{fragment}")):
        done = run(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{MD5}  {url}#{fragment}\n", "")
    done = run("--md5", WRONG, f"{url}#{fragment}")
    assert done.returncode == 2
    assert "the URL's fragment has another MD5" in done.stderr


def test_another_md5_than_the_expected_one_ends_with_1(run: Run, serve: Serve) -> None:
    url = serve(File(CONTENT)).url()
    for arguments in (("--md5", WRONG, url), (f"{url}#md5={WRONG}",)):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (1, f"{MD5}  {arguments[-1]}\n")
        assert done.stderr == f"urlsum: {arguments[-1]}: the MD5 is {MD5}, not {WRONG}\n"


def test_a_wrong_md5_in_a_fragment_ends_with_2(run: Run, serve: Serve) -> None:
    origin = serve(File(CONTENT))
    done = run(f"{origin.url()}#{MD5}-12")
    assert (done.returncode, done.stdout) == (2, "")
    assert "S3 multipart upload, not an MD5" in done.stderr
    assert origin.requests == []


def test_usage_and_settings_errors_end_with_2_in_words(run: Run, serve: Serve) -> None:
    url = serve(File(CONTENT)).url()
    assert run().returncode == 2
    assert run("--nonsense", url).returncode == 2
    done = run(url, URLSUM_READ_TIMEOUT="soon")
    assert done.returncode == 2
    assert done.stderr.startswith("urlsum: URLSUM_READ_TIMEOUT: ")
    assert done.stderr.count("\n") == 1


def test_the_guard_holds_here_too(run: Run, serve: Serve) -> None:
    origin = serve(File(CONTENT))
    done = run(origin.url(), URLSUM_ALLOWED_NETWORKS="")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"urlsum: {origin.url()}: blocked: 127.0.0.1 is a loopback address (RFC 1122); ")
    assert "--allow-private" in done.stderr
    assert origin.requests == []


def test_a_redirect_is_judged_too(run: Run, serve: Serve) -> None:
    url = serve(answers([head("302 Found", "Location: http://169.254.169.254/", "Content-Length: 0")])).url()
    done = run(url)
    assert done.returncode == 1
    assert "blocked: http://169.254.169.254/" in done.stderr


def test_a_private_authority_is_named_by_ssl_cert_file(run: Run, serve: Serve, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    url = serve(File(CONTENT), tls=context).url()
    assert run(url, SSL_CERT_FILE=str(tmp_path / "ca.pem")).stdout == f"{MD5}  {url}\n"
    done = run(url)
    assert done.returncode == 1
    assert f"urlsum: {url}: tls: " in done.stderr
    assert "SSL_CERT_FILE" in done.stderr


def test_other_tls_failures_get_no_advice_about_authorities(run: Run, serve: Serve, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    not_yet = "it or a certificate in its chain is not valid yet; check the clock of this machine"
    for certificate, words in (
        (authority.issue_cert("127.0.0.1", not_after=now - day), "it or a certificate in its chain has expired"),
        (authority.issue_cert("127.0.0.1", not_before=now + day), not_yet),
        (authority.issue_cert("192.0.2.1"), "it was issued for other names, not for '127.0.0.1'"),
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        url = serve(File(CONTENT), tls=context).url()
        done = run(url, SSL_CERT_FILE=str(tmp_path / "ca.pem"), URLSUM_MAX_ATTEMPTS="1")
        assert done.stderr == f"urlsum: {url}: tls: the certificate is not valid: {words}\n"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak TLS on this port; try http:// instead"),
        (alert(70), "the server supports neither TLS 1.2 nor TLS 1.3"),
        (alert(116), "the server requires a client certificate, and urlsum has none"),
        (alert(50), "the server broke off the handshake (decode_error)"),
    ],
)
def test_a_failed_handshake_gets_no_advice_about_authorities(run: Run, serve: Serve, sent: bytes, words: str) -> None:
    url = f"https://127.0.0.1:{serve(answers([]), greeting=sent).port}/"
    assert run(url, URLSUM_MAX_ATTEMPTS="1").stderr == f"urlsum: {url}: tls: the TLS handshake failed: {words}\n"


@pytest.mark.parametrize(
    ("status", "fields", "words"),
    [
        ("202 Accepted", [], "http: the server is still preparing the file (status 202); try again later"),
        ("302 Found", [], f"redirects: status 302 without a Location field; {TELL_OPERATORS}"),
        (
            "302 Found",
            [r"Location: /a\b"],
            (
                r"redirects: redirects to an invalid URL: the URL contains a backslash (the server sent: /a\b);"
                f" {TELL_OPERATORS}"
            ),
        ),
        (
            "302 Found",
            ["Location: http://user@127.0.0.1/"],
            (
                "redirects: redirects to an invalid URL: the URL contains a user name or password before @"
                f" (the server sent: http://user@127.0.0.1/); {TELL_OPERATORS}"
            ),
        ),
        (
            "302 Found",
            ["Location: ftp://127.0.0.1/a"],
            f"redirects: redirects to an invalid URL (the server sent: ftp://127.0.0.1/a); {TELL_OPERATORS}",
        ),
        (
            "302 Found",
            ["Location: /a\x01b"],
            (
                "redirects: redirects to an invalid URL: the URL contains the invisible character U+0001"
                r" at character 3 (the server sent: /a\x01b);"
                f" {TELL_OPERATORS}"
            ),
        ),
    ],
)
def test_the_advice_fits_the_failure(run: Run, serve: Serve, status: str, fields: list[str], words: str) -> None:
    url = serve(answers([head(status, *fields, "Content-Length: 0")])).url()
    assert run(url).stderr == f"urlsum: {url}: {words}\n"


def test_a_connection_that_breaks_is_taken_up_where_it_broke(run: Run, serve: Serve) -> None:
    file = File(CONTENT)

    def cut_once(request: Request) -> Steps:
        if request.connection == 0:
            return [*file(request)[:1], CONTENT[:1_000_000]]
        return file(request)

    origin = serve(cut_once)
    done = run(origin.url())
    assert (done.returncode, done.stdout) == (0, f"{MD5}  {origin.url()}\n")
    assert f"urlsum: {origin.url()}: incomplete: " in done.stderr
    assert "trying again" in done.stderr
    resumed, *closing = origin.requests[1:]
    assert resumed.fields["range"] >= "bytes=93"
    assert [request.fields["range"] for request in closing][:1] == ["bytes=0-65535"]


def test_output_that_cannot_be_written_is_an_error(run: Run, serve: Serve) -> None:
    url = serve(File(CONTENT)).url()
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [COMMAND, url], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "urlsum: standard output: No space left on device\n")


def test_a_reader_that_goes_away_ends_it_quietly(serve: Serve) -> None:
    url = serve(File(CONTENT)).url()
    process = subprocess.Popen(
        [COMMAND, url, url], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(20) == 141


@pytest.mark.parametrize("connections", ["1", "3"])
def test_never_more_connections_than_asked_for(run: Run, serve: Serve, connections: str) -> None:
    origin = serve(File(CONTENT, keep=True))
    assert run("--connections", connections, origin.url()).returncode == 0
    assert origin.connections <= int(connections)
