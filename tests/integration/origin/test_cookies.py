"""Cookies of a chain of redirects: sent back within the chain by the rules of RFC 6265, and nowhere else."""

from __future__ import annotations

import pytest

from tests.integration.origin.conftest import Serve, client, read_all
from tests.support.origin.origin_server import File, Request, Script, Steps, head
from tests.support.origin.task_runner import Worker
from urlsum.errors import BadRedirect
from urlsum.origin.guard.url import parse
from urlsum.origin.http11.cookies import Cookies
from urlsum.origin.http11.response import ResponseHead

DATA = bytes(range(256)) * 1200
FILE = File(DATA)


def to(location: str, *cookies: str) -> Steps:
    return [
        head("302 Found", f"Location: {location}", *(f"Set-Cookie: {each}" for each in cookies), "Content-Length: 0")
    ]


def cookies(request: Request) -> set[str]:
    return set(filter(None, request.fields.get("cookie", "").split("; ")))


def wanting(cookie: str, *set_by: str, location: str = "/file") -> Script:
    """Redirects to ``location`` and sets cookies, until ``cookie`` comes back."""
    return lambda request: FILE(request) if cookie in cookies(request) else to(location, *set_by)


@pytest.mark.parametrize(
    ("cookie", "set_by"),
    [
        ("seen=1", ["seen=1"]),
        ("seen=1", ["seen=1; Path=/"]),
        ("seen=1", ["seen=1; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"]),
        ("seen=1", ["seen=1; Expires=Wed, 01 Jan 2098 00:00:00 GMT"]),
        ("seen=1", ["seen=1; Domain=files.example.org"]),
        ("seen=1", ["seen=1; Domain=.example.org"]),
        ("b=2", ["a=1", "b=2"]),
        ("a=", ["a="]),
        ('a="b c"', ['a="b c"']),
        ("a=b=c", ["a=b=c"]),
        ("a=2", ["a=1", "a=2"]),
        # RFC 6265, 5.2: an attribute that makes no sense is ignored, the cookie is not.
        ("seen=1", ["seen=1; Max-Age=abc"]),
        ("seen=1", ["seen=1; Max-Age"]),
        ("seen=1", ["seen=1; Max-Age=60s"]),
        ("seen=1", ["seen=1; Max-Age=" + "9" * 5000]),
        ("seen=1", ["seen=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]),
        ("seen=1", ["seen=1; Max-Age=x; Expires=Wed, 01 Jan 2098 00:00:00 GMT"]),
        ("seen=1", ["seen=1; Expires=Wed, 01 Jan " + "9" * 5000 + " 00:00:00 GMT"]),
        ("seen=1", ["seen=1; Expires"]),
        ("seen=1", ["seen=1; Path=foo"]),
        ("seen=1", ["seen=1; Path"]),
        ("seen=1", ["seen=1; Path=/elsewhere; Path=/"]),
        ("seen=1", ["seen=1; Path=/elsewhere; Path=x"]),
        ("seen=1", ["seen=1; Domain="]),
        ("seen=1", ["seen=1; Domain"]),
        ("seen=1", ["seen=1; Domain=other.example; Domain=EXAMPLE.org"]),
        ("seen=1", ["seen=1; Version=2; Port=1; Comment; Discard=x"]),
        ("seen=1", ["seen=1; Version=x"]),
        ("seen=1", ["bad=\x01", "seen=1"]),
        ("seen=voil\xc3\xa0", ["seen=voil\xc3\xa0; Path=/", "b=2; Path=/"]),
        ("__cf_bm=x.y-z_~", ["__cf_bm=x.y-z_~; path=/; domain=.files.example.org; HttpOnly"]),
    ],
)
def test_a_cookie_that_is_wanted_back_comes_back(serve: Serve, cookie: str, set_by: list[str]) -> None:
    origin = serve(wanting(cookie, *set_by))
    assert client().fetch(origin.url(host="files.example.org")) == DATA


@pytest.mark.parametrize(
    "set_by",
    [
        "seen=1; Path=/elsewhere",
        "seen=1; Domain=other.example.org",
        "seen=1; Domain=deeper.files.example.org",
        "seen=1; Domain=org",
        "seen=1; Secure",
        "seen=1; Secure=",
        "seen=1; Secure=false",
        "seen=1; Path=/; Path=/elsewhere",
        "seen=1; Domain=; Domain=other.example.org",
        "seen=1; Max-Age=0",
        "seen=1; Max-Age=-1",
        "seen=1; Max-Age=60; Max-Age=-" + "9" * 5000,
        "seen=1; Max-Age=x; Max-Age=0; Max-Age=y",
        "seen=1; Max-Age=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "seen=1; Expires=Wed, 01 Jan 2098 00:00:00 GMT; Expires=Sat, 01-Jan-00 00:00:00 GMT; Expires=x",
        "seen=1; Expires=Mon Jan 1 00:00:00 1601",
        "seen=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    ],
)
def test_a_cookie_that_is_not_for_this_request_does_not_come_back(serve: Serve, set_by: str) -> None:
    origin = serve(wanting("seen=1", set_by))
    with pytest.raises(BadRedirect, match="the server requires a browser session"):
        client().fetch(origin.url(host="files.example.org"))
    assert all(not cookies(request) for request in origin.requests)


def second_sees(serve: Serve, first_host: str, second_host: str, cookie: str, *, path: str = "/file") -> set[str]:
    """What the second host is sent after the first one has set ``cookie`` and redirected there."""

    def script(request: Request) -> Steps:
        if request.path == "/start":
            return to(f"http://{second_host}:{origin.port}{path}", cookie)
        return FILE(request)

    origin = serve(script)
    assert client().fetch(origin.url("/start", host=first_host)) == DATA
    return cookies(origin.requests[1])


@pytest.mark.parametrize(
    ("first", "second", "cookie", "sent"),
    [
        ("files.example.org", "files.example.org", "a=1", True),
        ("files.example.org", "cdn.example.org", "a=1", False),
        ("example.org", "files.example.org", "a=1", False),  # without Domain it is for its host alone
        ("example.org", "files.example.org", "a=1; Domain=example.org", True),
        ("files.example.org", "cdn.example.org", "a=1; Domain=example.org", True),
        ("files.example.org", "example.com", "a=1; Domain=example.com", False),
        ("files.example.co.uk", "other.co.uk", "a=1; Domain=co.uk", False),
        ("notexample.org", "example.org", "a=1; Domain=example.org", False),
        ("127.0.0.1", "127.0.0.1", "a=1; Domain=127.0.0.1", True),
        ("files.example.org", "127.0.0.1", "a=1; Domain=0.0.1", False),
    ],
)
def test_another_host_gets_it_only_by_its_domain(
    serve: Serve, first: str, second: str, cookie: str, sent: bool
) -> None:
    assert second_sees(serve, first, second, cookie) == ({"a=1"} if sent else set())


@pytest.mark.parametrize(
    ("path", "wanted", "sent"),
    [("/", "/a/file", True), ("/a", "/a/file", True), ("/a", "/ab/file", False), ("/a/", "/a/file", True),
     ("/A", "/a/file", False), ("/a/file", "/a/file", True), ("/\xe9", "/%E9/file", True),
     ("/\xc3\xa9", "/%c3%a9/file", True), ("/\xc3\xa9", "/e/file", False), ("/b c", "/b%20c", True),
     ("a", "/a/file", True)],
)  # fmt: skip
def test_its_path_is_a_prefix_by_segments(serve: Serve, path: str, wanted: str, sent: bool) -> None:
    host = "files.example.org"
    assert second_sees(serve, host, host, f"a=1; Path={path}", path=wanted) == ({"a=1"} if sent else set())


def test_a_task_starts_without_the_cookies_of_another(serve: Serve) -> None:
    origin = serve(lambda request: FILE(request) if request.path == "/file" else to("/file", "a=1"))
    reader = client()
    reader.fetch(origin.url("/start"))
    before = len(origin.requests)
    reader.fetch(origin.url("/start"))
    assert cookies(origin.requests[before]) == set()
    assert cookies(origin.requests[before + 1]) == {"a=1"}


def test_a_retry_gets_its_own_cookie_and_resumes(serve: Serve) -> None:
    """The cookie of the first try is stored nowhere, and the server has made a new one."""
    made: list[str] = []

    def script(request: Request) -> Steps:
        if not made or f"session={made[-1]}" not in cookies(request):
            made.append(str(len(made)))
            return to("/file", f"session={made[-1]}")
        steps = FILE(request)
        return [steps[0], memoryview(DATA)[:200_000]] if len(made) == 1 and "range" not in request.fields else steps

    origin = serve(script)
    task = Worker().run(origin.url())
    assert (task.status, task.restarts) == ("done", 0)
    assert any(request.fields.get("range", "").endswith("-") for request in origin.requests)


def test_a_loop_that_cookies_do_not_end_says_so(serve: Serve) -> None:
    origin = serve(lambda request: to("/file", "a=1"))
    with pytest.raises(BadRedirect, match=r"a redirect loop, although its cookies .* requires a browser session"):
        client().fetch(origin.url())
    assert len(origin.requests) == 2


def test_a_server_with_a_new_cookie_each_time_is_given_up(serve: Serve) -> None:
    origin = serve(lambda request: to("/file", f"a={request.connection}"))
    with pytest.raises(BadRedirect, match=r"more than 10 redirects.* requires a browser session"):
        client().fetch(origin.url())
    assert len(origin.requests) == 11


def test_a_loop_without_cookies_is_only_a_loop(serve: Serve) -> None:
    with pytest.raises(BadRedirect, match=r"^http://127\.0\.0\.1:\d+/file: a redirect loop$"):
        client().fetch(serve(lambda request: to("/file")).url())


@pytest.mark.parametrize(
    "line",
    ["", "=", ";", "=;=", "a", "\xff=\xff", "a=1; Path", "a=1; Domain=", "a=1; Max-Age=x", "a=1; Expires=never",
     "a=" + "x" * 20_000, "$Version=1; a=1", "a=1, b=2", "a=1; Domain=..", "a=1; Version=1", "a=1;;;;"],
)  # fmt: skip
def test_nonsense_for_a_cookie_harms_nobody(serve: Serve, line: str) -> None:
    origin = serve(lambda request: FILE(request) if request.path == "/file" else to("/file", line))
    assert client().fetch(origin.url("/start")) == DATA


@pytest.mark.parametrize(
    ("host", "domain", "sent"),
    [
        ("localhost", "localhost", True),
        ("localhost", ".localhost", True),
        ("localhost", "LocalHost", True),
        ("localhost", "local", False),
        ("localhost", "localhost.local", False),
        ("intranet", "intranet", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("[::1]", "[::1]", True),
        ("[::1]", "::1", True),
        ("[::1]", "::2", False),
        ("example.org", "org", False),
        ("example.org", "example.org.local", False),
    ],
)
def test_a_domain_that_is_the_host_itself_is_kept(host: str, domain: str, sent: bool) -> None:
    """RFC 6265, 5.3, step 6."""
    jar, target = Cookies(), parse(f"http://{host}:8080/file")
    jar.extract(ResponseHead(target, 302, 0, False, ((b"set-cookie", f"a=1; Domain={domain}".encode()),)))
    assert jar.fields(target) == ((("Cookie", b"a=1"),) if sent else ())


def test_a_cookie_of_one_label_stays_on_its_host() -> None:
    jar, target, below = Cookies(), parse("http://localhost/"), parse("http://a.localhost/")
    jar.extract(ResponseHead(target, 302, 0, False, ((b"set-cookie", b"a=1; Domain=localhost"),)))
    assert jar.fields(below) == ()


def test_no_other_host_deletes_a_cookie() -> None:
    jar, first, second = Cookies(), parse("http://files.example.org/"), parse("http://example.com/")
    jar.extract(ResponseHead(first, 302, 0, False, ((b"set-cookie", b"a=1; Domain=example.org; Path=/"),)))
    jar.extract(ResponseHead(second, 302, 0, False, ((b"set-cookie", b"a=; Domain=example.org; Path=/; Max-Age=0"),)))
    assert jar.fields(first) == (("Cookie", b"a=1"),)


@pytest.mark.parametrize("domain", ["0.1", ".0.0.1", "1", "127.0.0.1.", "0.0.1"])
def test_an_address_has_no_domain_above_it(domain: str) -> None:
    """RFC 6265, 5.1.3."""
    jar, first, second = Cookies(), parse("http://127.0.0.1/"), parse("http://10.0.0.1/")
    jar.extract(ResponseHead(first, 302, 0, False, ((b"set-cookie", f"a=1; Domain={domain}".encode()),)))
    assert jar.fields(second) == ()


@pytest.mark.parametrize("connections", [1, 8])
def test_ranges_and_the_closing_proof_carry_the_cookie(serve: Serve, connections: int) -> None:
    big = File(DATA * 20, rate=8_000_000, keep=True)

    def script(request: Request) -> Steps:
        return big(request) if "a=1" in cookies(request) else to("/file", "a=1")

    origin = serve(script)
    with client(connections_per_origin=connections).open(origin.url()) as body:
        assert read_all(body) == big.content
    assert [cookies(request) for request in origin.requests[1:]] == [{"a=1"}] * (len(origin.requests) - 1)
