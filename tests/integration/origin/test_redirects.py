"""Redirects: followed with GET, judged anew, bounded, and never out of TLS."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.integration.origin.conftest import UNHURRIED, Serve, client, read_all
from tests.support.origin.origin_server import KEEP, Request, Script, Steps, answers, head
from urlsum.deadline import Deadline
from urlsum.errors import AddressRefused, BadRedirect, Blocked, ProtocolViolated, escaped
from urlsum.origin.guard.guard import Guard
from urlsum.origin.source import HttpSource
from urlsum.settings import parse

if TYPE_CHECKING:
    from urlsum.origin.guard.addresses import Address

DATA = b"the file"
FOUND = [head("200 OK", f"Content-Length: {len(DATA)}"), DATA]


def to(location: str, status: int = 302) -> Steps:
    return [head(f"{status} Elsewhere", f"Location: {location}", "Content-Length: 0")]


def site(**pages: Steps) -> Script:
    """One path per page; the first path is /start."""

    def script(request: Request) -> Steps:
        return pages[request.path.partition("?")[0].strip("/").replace("/", "_")]

    return script


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_kind_is_followed_with_get(serve: Serve, status: int) -> None:
    origin = serve(site(start=to("/end", status), end=FOUND))
    assert client().fetch(origin.url("/start")) == DATA
    assert [(request.method, request.path) for request in origin.requests] == [("GET", "/start"), ("GET", "/end")]


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/end", "/end"),
        ("end", "/a/end"),
        ("../end", "/end"),
        ("./end?x=1", "/a/end?x=1"),
        ("/end#fragment", "/end"),
        ("?x=1", "/a/start?x=1"),
        ("//127.0.0.1:{port}/end", "/end"),
        ("HTTP://127.0.0.1:{port}/end", "/end"),
        ("/gr\xc3\xb6\xc3\x9fe", "/gr%C3%B6%C3%9Fe"),  # UTF-8 on the wire
        ("/gr\xf6\xdfe", "/gr%F6%DFe"),  # Latin-1 on the wire
        ("/caf\xe9.zip", "/caf%E9.zip"),
        ("caf\xe9.zip?\xe9#\xe9", "/a/caf%E9.zip?%E9"),
        ("/\xc3\xa9/\xe9", "/%C3%A9/%E9"),  # both
        ("/a\xa0b\x85", "/a%A0b%85"),
        ("http://127.0.0.1:{port}/caf\xe9.zip", "/caf%E9.zip"),
        ("/a b", "/a%20b"),
        ("/a b.zip?c d=e f#g h", "/a%20b.zip?c%20d=e%20f"),
        ("?c d", "/a/start?c%20d"),
        ("http://127.0.0.1:{port}/a b", "/a%20b"),
        (" /a b \t", "/a%20b"),
        ("/a%20b%E9", "/a%20b%E9"),
        ("?", "/a/start?"),
        ("?#fragment", "/a/start?"),
        ("//127.0.0.1:{port}", "/"),
        ("//127.0.0.1:{port}?", "/?"),
        ("/b//c", "/b//c"),
        (".//c", "/a//c"),
        ("/b/../c", "/c"),
        ("/b/%2e%2E/c", "/c"),
        ("../../../c/.", "/c/"),
        ("http://127.0.0.1:{port}/b/../c", "/c"),
        ("http://127.0.0.1:{port}/b/%2e%2e/c?d/../e", "/c?d/../e"),
        ("http://127.0.0.1:{port}", "/"),
        ("./b:c", "/a/b:c"),
    ],
)
def test_a_location_is_resolved_against_the_url_it_came_from(serve: Serve, location: str, path: str) -> None:
    def script(request: Request) -> Steps:
        return FOUND if request.connection else to(location.format(port=origin.port))

    origin = serve(script)
    assert client().fetch(origin.url("/a/start")) == DATA
    assert origin.requests[1].path == path


@pytest.mark.parametrize(
    ("start", "location", "path"),
    [
        ("/s3//key/latest", "v1.bin", "/s3//key/v1.bin"),
        ("/s3//key/latest", "../v1.bin", "/s3//v1.bin"),
        ("/https://mirror/dir/latest", "../v2.bin", "/https://mirror/v2.bin"),
        ("/https://mirror/dir/latest?a=/b", "v2.bin", "/https://mirror/dir/v2.bin"),
        ("/a/latest?q", "?", "/a/latest?"),
        ("//latest", "v1.bin", "//v1.bin"),
        ("/a/b/../c/latest", "../v1.bin", "/a/v1.bin"),
        ("/a/%2e%2e/c/latest", "v1.bin", "/c/v1.bin"),
    ],
)
def test_a_relative_location_is_below_what_was_requested(serve: Serve, start: str, location: str, path: str) -> None:
    origin = serve(answers(to(location), FOUND))
    assert client().fetch(origin.url(start)) == DATA
    assert origin.requests[1].path == path


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/a/../b", "/b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/./b/.?c/../d", "/a/b/?c/../d"),
        ("/a//b", "/a//b"),
        ("/a?", "/a?"),
        ("/caf%E9", "/caf%E9"),
    ],
)
def test_dot_segments_of_a_submitted_url_are_not_sent(serve: Serve, given: str, path: str) -> None:
    origin = serve(answers(FOUND))
    assert client().fetch(origin.url(given)) == DATA
    assert origin.requests[0].path == path


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/a",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:,x",
        "http://user:password@127.0.0.1/",
        "http://127.1/",
        "http://[::1",
        "http://",
        "http:",
        "http:end",
        "http:/end",
        "//",
        "///127.0.0.1/end",
        "http:///127.0.0.1/end",
        "//127.0.0.1 /end",
        "//user@127.0.0.1/",
        "//127.0.0.\xb9/",
        "//\xc2\xb927.0.0.1/",  # a superscript digit, in UTF-8
        "localhost:80/end",
        "/a\tb",
        "/a#b\tc",
        "/a\x01b",
        "/a\x7fb",
        "/a\\b",
        "http:\\\\127.0.0.1\\",
        "http://127.0.0.1:99999/",
        "/" + "a" * 9000,
    ],
)
def test_a_location_that_is_no_url_to_follow_ends_the_try(serve: Serve, location: str) -> None:
    origin = serve(answers(to(location)))
    with pytest.raises(BadRedirect, match="redirects to an invalid URL") as caught:
        client().fetch(origin.url())
    # Who reads the text must not read the origin's words as urlsum's; the log has them.
    own_text = str(caught.value).removeprefix(origin.url())
    for word in ("ftp", "passwd", "javascript", "data", "user:", "127", "end", "localhost", "aaa"):
        assert word not in own_text
    assert caught.value.raw[:6] == escaped(location.encode("latin-1"))[:6]
    assert len(caught.value.raw) <= 300
    # Its reader did not write it.
    for advice in ("write ", "encode or remove", "public files only"):
        assert advice not in str(caught.value)
    assert origin.connections == 1


def test_two_different_locations_are_refused(serve: Serve) -> None:
    origin = serve(answers([head("302 Found", "Location: /a", "Location: /b", "Content-Length: 0")], FOUND))
    with pytest.raises(ProtocolViolated, match="the response has two different Location fields"):
        client().fetch(origin.url())
    assert origin.connections == 1


def test_the_same_location_twice_is_one(serve: Serve) -> None:
    origin = serve(answers([head("302 Found", "Location: /a b", "location:  /a b ", "Content-Length: 0")], FOUND))
    assert client().fetch(origin.url()) == DATA
    assert origin.requests[1].path == "/a%20b"


@pytest.mark.parametrize("fields", [[], ["Location:"], ["Location: \t "], ["Refresh: 0; url=/end"]])
def test_a_redirect_to_nowhere_ends_the_try(serve: Serve, fields: list[str]) -> None:
    with pytest.raises(BadRedirect, match=r"without a Location field$"):
        client().fetch(serve(answers([head("302 Found", *fields)])).url())


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://192.168.0.1:8080/",
        "//10.0.0.1/",
        "https://172.17.0.1/",
        "http://8.8.8.8:22/",
    ],
)
def test_where_a_redirect_leads_is_judged_anew(serve: Serve, location: str) -> None:
    with pytest.raises(Blocked):
        client().fetch(serve(answers(to(location))).url())


def test_a_name_behind_a_redirect_is_judged_by_its_address(serve: Serve) -> None:
    origin = serve(answers(to("http://inside.example.org/")))
    reader = client()
    reader.address = "10.0.0.1"
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1 is in a private network"):
        reader.fetch(origin.url())


def test_a_circle_is_noticed(serve: Serve) -> None:
    origin = serve(site(start=to("/b"), b=to("/start")))
    with pytest.raises(BadRedirect, match="redirect loop"):
        client().fetch(origin.url("/start"))
    assert origin.connections == 2


@pytest.mark.parametrize(
    "location", ["#again", "#", "#a b\xe9", ".", "./", "/a/", "/a/b/..", "/a/%2E", "//127.0.0.1:{port}/a/"]
)
def test_a_redirect_to_itself_is_a_circle_however_it_is_spelled(serve: Serve, location: str) -> None:
    def script(request: Request) -> Steps:
        return to(location.format(port=origin.port))

    origin = serve(script)
    with pytest.raises(BadRedirect, match="redirect loop"):
        client().fetch(origin.url("/a/b/../"))
    assert [request.path for request in origin.requests] == ["/a/"]


def test_an_empty_query_is_not_the_same_url(serve: Serve) -> None:
    origin = serve(lambda request: FOUND if request.path == "/start?" else to("?"))
    assert client().fetch(origin.url("/start")) == DATA


def test_redirects_are_counted(serve: Serve) -> None:
    def script(request: Request) -> Steps:
        return FOUND if request.connection == 3 else to(f"/{request.connection}")

    assert client(max_redirects=3).fetch(serve(script).url()) == DATA
    origin = serve(script)
    with pytest.raises(BadRedirect, match="more than 2 redirects"):
        client(max_redirects=2).fetch(origin.url())
    assert origin.connections == 3


def test_no_redirects_may_be_allowed(serve: Serve) -> None:
    with pytest.raises(BadRedirect, match="more than 0 redirects"):
        client(max_redirects=0).fetch(serve(answers(to("/end"))).url())


def test_nothing_is_carried_from_one_origin_to_the_next(serve: Serve) -> None:
    second = serve(answers(FOUND), host="::1")
    first = serve(answers([head("302 Found", f"Location: {second.url()}", "Set-Cookie: a=b; Path=/")]))
    client().fetch(first.url("/start?token=secret"))
    assert not {"cookie", "referer", "authorization"} & second.requests[0].fields.keys()


@pytest.mark.parametrize("start", ["http://files.example/start", "http://files.example./start"])
def test_a_redirect_to_a_name_with_the_dot_of_the_root_keeps_it(serve: Serve, start: str) -> None:
    hosts: list[str] = []

    def script(request: Request) -> Steps:
        hosts.append(request.fields["host"])
        if not hosts[-1].endswith("."):
            return [
                head(
                    "301 Moved",
                    f"Location: http://files.example.{request.path}",
                    "Set-Cookie: a=b",
                    "Content-Length: 0",
                )
            ]
        if request.path != "/end":
            return [head("302 Found", "Location: end", "Content-Length: 0")]
        return FOUND if request.fields.get("cookie") == "a=b" else [head("403 No cookie", "Content-Length: 0")]

    assert Elsewhere(serve(script).port, {"files.example": PUBLIC}).fetch(start) == DATA
    assert hosts[:3] == ["files.example", "files.example.", "files.example."]


class Elsewhere:
    """A guard with ``--allow-private`` for which every address is the scripted origin on loopback."""

    def __init__(self, port: int, names: dict[str, str]) -> None:
        self._port = port
        self._names = names
        self.called: list[str] = []
        settings = parse({"connect_timeout": 2.0, "read_timeout": 2.0})
        guard = Guard(settings, allow_private=True, resolve=self._resolve, dial=self._dial)
        self._source = HttpSource(settings, guard, tuning=UNHURRIED)

    def fetch(self, url: str) -> bytes:
        with self._source.open(url, deadline=Deadline.after(20.0)) as body:
            return read_all(body)

    def _resolve(self, host: str) -> list[str]:
        if address := self._names.get(host.removesuffix(".")):
            return [address]
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def _dial(self, address: Address, port: int, within: float) -> socket.socket:
        self.called.append(f"{address}:{port}")
        return socket.create_connection(("127.0.0.1", self._port), within)


PUBLIC, INSIDE = "8.8.8.8", "10.1.2.3"


@pytest.mark.parametrize("location", ["http://10.1.2.3/end", "http://inside.example/end", "http://nas:9001/end"])
def test_a_public_server_leads_to_no_private_address_that_the_user_opened(serve: Serve, location: str) -> None:
    origin = serve(site(start=to(location), end=[*FOUND, KEEP]))
    names = {"public.example": PUBLIC, "inside.example": INSIDE, "nas": INSIDE}
    user = Elsewhere(origin.port, names)
    # An idle connection to the same host, which the user named, must not serve the redirect either.
    for url in ("http://10.1.2.3/end", "http://inside.example/end", "http://nas:9001/end"):
        assert user.fetch(url) == DATA
    user.called.clear()
    with pytest.raises((Blocked, AddressRefused)):
        user.fetch("http://public.example/start")
    assert user.called == [f"{PUBLIC}:80"]


def test_a_private_server_leads_to_private_addresses_until_a_public_one(serve: Serve) -> None:
    pages = site(
        start=to("http://10.1.2.4:9001/end"), end=FOUND, out=to("http://public.example/back"), back=to("http://nas/end")
    )
    user = Elsewhere(serve(pages).port, {"nas": INSIDE, "public.example": PUBLIC})
    assert user.fetch("http://nas/start") == DATA
    with pytest.raises(Blocked):
        user.fetch("http://nas/out")
