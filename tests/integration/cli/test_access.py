"""Fields that the user sends, passwords of a netrc file, and proxies."""

from __future__ import annotations

import hashlib
import random
import socket
import socketserver
import ssl
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support.origin.origin_server import File, answers, head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import Request, Steps

    Run = Callable[..., CompletedProcess[str]]

CONTENT = random.Random(10).randbytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
TOKEN = "Authorization: Bearer hunter2"
PASSWORD = "Basic amFuZTpodW50ZXIy"  # jane:hunter2


def seen(requests: list[Request], name: str) -> set[str | None]:
    return {request.fields.get(name) for request in requests}


def test_a_field_goes_with_every_request_and_replaces_our_own(run: Run, serve: Serve, tmp_path: Path) -> None:
    origin = serve(File(CONTENT))
    (tmp_path / "fields").write_text("# secret\nX-Auth-Token: abc def\n\n")
    done = run("-H", TOKEN, "-H", "User-Agent: me/1", "--header-file", "fields", origin.url())
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{MD5}  {origin.url()}\n", "")
    assert seen(origin.requests, "authorization") == {"Bearer hunter2"}
    assert seen(origin.requests, "user-agent") == {"me/1"}
    assert seen(origin.requests, "x-auth-token") == {"abc def"}


def test_no_other_origin_gets_the_field(run: Run, serve: Serve) -> None:
    other = serve(File(CONTENT))
    origin = serve(lambda request: [head("302 Found", f"Location: {other.url()}", "Content-Length: 0")])
    assert run("-H", TOKEN, origin.url()).returncode == 0
    assert seen(origin.requests, "authorization") == {"Bearer hunter2"}
    assert seen(other.requests, "authorization") == {None}


@pytest.mark.parametrize("listed", [False, True])
def test_urls_of_two_origins_get_no_field(run: Run, serve: Serve, listed: bool) -> None:
    first, second = serve(File(CONTENT)), serve(File(CONTENT))
    urls = [first.url(), second.url()]
    arguments = ["-c"] if listed else urls
    done = run("-H", TOKEN, *arguments, stdin="".join(f"{MD5}  {url}\n" for url in urls))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("urlsum: the fields of --header go to one origin, and the URLs have 2 ")
    assert "hunter2" not in done.stderr
    assert first.requests == second.requests == []


@pytest.mark.parametrize("field", ["Range: bytes=0-1", "no colon", "Bad\tname: x", "X: a\x01b"])
def test_a_field_that_would_spoil_the_proof_ends_with_2(run: Run, serve: Serve, field: str) -> None:
    origin = serve(File(CONTENT))
    assert run("-H", field, origin.url()).returncode == 2
    assert origin.requests == []


def test_passwords_are_sent_only_if_asked_for(run: Run, serve: Serve, tmp_path: Path) -> None:
    origin = serve(File(CONTENT))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login jane password hunter2\n")
    (tmp_path / "netrc").chmod(0o600)
    settings = {"NETRC": str(tmp_path / "netrc")}
    assert run(origin.url(), **settings).returncode == 0
    assert seen(origin.requests, "authorization") == {None}
    origin.requests.clear()
    assert run("--netrc", origin.url(), **settings).returncode == 0
    assert seen(origin.requests, "authorization") == {PASSWORD}
    done = run("--netrc", origin.url(), NETRC="nowhere")
    assert (done.returncode, done.stderr) == (2, "urlsum: --netrc: nowhere: No such file or directory\n")


def test_a_service_gets_passwords_only_if_asked_for(run: Run, serve: Serve, tmp_path: Path) -> None:
    service = serve(answers([head("404 Not Found", "Content-Length: 0")]))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login jane password hunter2\n")
    (tmp_path / "netrc").chmod(0o600)
    for options, expected in (((), None), (("--netrc",), PASSWORD)):
        service.requests.clear()
        run(*options, "--server", service.url(""), "https://files.example/a", NETRC=str(tmp_path / "netrc"))
        assert seen(service.requests, "authorization") == {expected}


class Tunnels(socketserver.ThreadingTCPServer):
    """A proxy that opens tunnels (CONNECT), and records their heads."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.password: bytes | None = None
        super().__init__(("127.0.0.1", 0), Tunnel)


class Tunnel(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        proxy = self.server
        assert isinstance(proxy, Tunnels)
        lines = list(iter(self.rfile.readline, b"\r\n"))
        proxy.heads.append(b"".join(lines))
        if proxy.password and proxy.password not in proxy.heads[-1]:
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        port = int(lines[0].split()[1].rpartition(b":")[2])
        with closing(socket.create_connection(("127.0.0.1", port))) as upstream:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
            back = threading.Thread(target=_copy, args=(upstream, self.connection), daemon=True)
            back.start()
            _copy(self.connection, upstream)
            back.join(10)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(65_536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def tunnels() -> Iterator[Tunnels]:
    with Tunnels() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield proxy
        proxy.shutdown()


def test_https_passes_a_tunnel_and_the_certificate_is_still_checked(
    run: Run, serve: Serve, tmp_path: Path, tunnels: Tunnels
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("files.example").configure_cert(context)
    origin = serve(File(CONTENT), tls=context)
    # The name exists nowhere: the proxy knows it.
    url = f"https://files.example:{origin.port}/a"
    tunnels.password = b"Proxy-Authorization: " + PASSWORD.encode()
    proxy = f"127.0.0.1:{tunnels.server_address[1]}"
    done = run(url, SSL_CERT_FILE=str(tmp_path / "ca.pem"), https_proxy=f"http://jane:hunter2@{proxy}")
    assert (done.returncode, done.stdout) == (0, f"{MD5}  {url}\n")
    assert done.stderr == (
        f"urlsum: connecting through the proxy {proxy}, which looks up names itself: that no private address is read is"
        " up to the proxy\n"
    )
    assert tunnels.heads[0].startswith(f"CONNECT files.example:{origin.port} HTTP/1.1\r\n".encode())
    assert seen(origin.requests, "proxy-authorization") == {None}
    done = run(url, https_proxy=f"http://jane:hunter2@{proxy}")
    assert (done.returncode, "urlsum: " + url + ": tls: " in done.stderr) == (1, True)
    done = run(url, https_proxy=f"http://{proxy}", URLSUM_MAX_ATTEMPTS="1")
    assert f": connect: the proxy {proxy} wants a user and a password" in done.stderr


def test_http_asks_the_proxy_with_the_whole_url(run: Run, serve: Serve) -> None:
    def script(request: Request) -> Steps:
        assert request.path == "http://files.example/a?b=1"
        return File(CONTENT)(request)

    proxy = serve(script)
    done = run("http://files.example/a?b=1", http_proxy=proxy.url("/"))
    assert (done.returncode, done.stdout) == (0, f"{MD5}  http://files.example/a?b=1\n")
    assert seen(proxy.requests, "host") == {"files.example"}


def test_what_no_proxy_names_is_reached_directly(run: Run, serve: Serve) -> None:
    origin = serve(File(CONTENT))
    done = run(origin.url(), http_proxy="http://127.0.0.1:9", no_proxy="127.0.0.1")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_private_address_in_the_url_stays_closed(run: Run, serve: Serve) -> None:
    proxy = serve(File(CONTENT))
    done = run("http://10.0.0.1/", http_proxy=proxy.url("/"), URLSUM_ALLOWED_NETWORKS="")
    assert done.returncode == 1
    assert ": blocked: 10.0.0.1 is " in done.stderr
    assert proxy.requests == []


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    ("scheme", "hint"),
    [
        ("socks4a", "name an http:// proxy"),
        ("socks5", "name an http:// proxy"),
        ("socks5h", "name an http:// proxy"),
        ("SOCKS5", "name an http:// proxy"),
        ("https", "try http://proxy.example:1080"),
    ],
)
def test_a_proxy_of_another_kind_ends_with_2_and_says_what_to_do(
    run: Run, variable: str, scheme: str, hint: str
) -> None:
    done = run("https://files.example/a", **{variable: f"{scheme}://jane:hunter2@proxy.example"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"urlsum: {variable}: urlsum speaks to http:// proxies only, not {scheme.lower()}://; {hint}, or connect"
        " directly with no_proxy=files.example\n"
    )


@pytest.mark.parametrize(
    "proxy",
    ["http://:9", "http://jane:hunter2@h:x", "http://jane:hunter2@h:0", "http://[jane@h", "ht tp://jane@h", "socks5:9"],
)
def test_a_malformed_proxy_ends_with_2_and_shows_no_password(run: Run, proxy: str) -> None:
    done = run("https://files.example/a", https_proxy=proxy)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "urlsum: https_proxy: expected the URL of a proxy, like http://host:3128\n"


def test_a_proxy_that_is_down_is_what_to_check(run: Run) -> None:
    done = run("--retries", "0", "https://files.example/a", https_proxy="http://jane:hunter2@127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.endswith(
        ": connect: could not connect to the proxy 127.0.0.1:9: Connection refused; check the variables https_proxy,"
        " http_proxy and all_proxy, and whether the proxy is up\n"
    )
