"""Reference resolution: the examples of RFC 3986, and the references that clients read differently."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from urlsum.errors import InvalidUrl
from urlsum.origin.guard.reference import remove_dot_segments
from urlsum.origin.guard.url import MAX_URL_CHARACTERS, parse


def located(base: str, location: str | bytes) -> str:
    """The URL that is requested after a response to ``base`` with this Location."""
    text = location if isinstance(location, str) else location.decode("utf-8", "surrogateescape")
    return parse(parse(base).resolve(text)).url


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        # 5.4.1, normal examples.
        ("g:h", "g:h"),
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"),
        ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
        # 5.4.2, abnormal examples.
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/./x", "http://a/b/c/g#s/./x"),
        ("g#s/../x", "http://a/b/c/g#s/../x"),
        ("http:g", "http:g"),
    ],
)
def test_every_example_of_rfc_3986_is_resolved_as_it_says(reference: str, url: str) -> None:
    assert parse("http://a/b/c/d;p?q").resolve(reference) == url


@pytest.mark.parametrize(
    ("base", "location", "url"),
    [
        # Empty segments name other objects in S3 and behind proxies that take a URL as their path.
        ("http://h/s3//key/latest", "v1.bin", "http://h/s3//key/v1.bin"),
        ("http://h/s3//key/latest", "./v1.bin", "http://h/s3//key/v1.bin"),
        ("http://h/s3//key/latest", "../v1.bin", "http://h/s3//v1.bin"),
        ("http://h/s3//key/latest", "../../v1.bin", "http://h/s3/v1.bin"),
        ("http://h/s3//key/latest", "../../../v1.bin", "http://h/v1.bin"),
        ("http://h/s3//key/latest", "a//b", "http://h/s3//key/a//b"),
        ("http://h/s3//key/latest", "/s3///key//b//", "http://h/s3///key//b//"),
        ("http://h//latest", "v1.bin", "http://h//v1.bin"),
        ("http://h//latest", "..", "http://h/"),
        ("http://h/a//", "b", "http://h/a//b"),
        ("http://h/a//", "..", "http://h/a/"),
        ("http://h/https://mirror/dir/latest", "v2.bin", "http://h/https://mirror/dir/v2.bin"),
        ("http://h/https://mirror/dir/latest", "../v2.bin", "http://h/https://mirror/v2.bin"),
        ("http://h/https://mirror/dir/latest", "../../v2.bin", "http://h/https://v2.bin"),
        ("http://h/https://mirror/dir/latest", "?", "http://h/https://mirror/dir/latest?"),
        ("http://h/x", "/https://mirror/a", "http://h/https://mirror/a"),
        ("http://h/x", ".//a", "http://h//a"),
        ("http://h/x", "/.//a", "http://h//a"),
        # An empty query is a query.
        ("http://h/a/b", "?", "http://h/a/b?"),
        ("http://h/a/b?q", "?", "http://h/a/b?"),
        ("http://h/a/b?", "c", "http://h/a/c"),
        ("http://h/a/b?", "#s", "http://h/a/b?"),
        ("http://h/a/b?q", "#", "http://h/a/b?q"),
        ("http://h/a/b?q", "c?", "http://h/a/c?"),
        ("http://h/a/b?q", "?#s", "http://h/a/b?"),
        ("http://h/a/b?q", "??", "http://h/a/b??"),
        ("http://h/a/b?q", "//g?", "http://g/?"),
        ("http://h/a/b?q", "http://g?", "http://g/?"),
        # What looks like a path in a query is none.
        ("http://h/a/b?c/d", "e", "http://h/a/e"),
        ("http://h/a/b?c/d", "?e/../f", "http://h/a/b?e/../f"),
        ("http://h/a/b", "c;p=../d", "http://h/a/c;p=../d"),
        ("http://h/a/b", "./c:d", "http://h/a/c:d"),
        ("http://h/a/b", "c/d:e", "http://h/a/c/d:e"),
        # A scheme begins with a letter, so these are paths.
        ("http://h/a/b", "1:c", "http://h/a/1:c"),
        ("http://h/a/b", "1http://g/", "http://h/a/1http://g/"),
        ("http://h/a/b", ":8080/c", "http://h/a/:8080/c"),
        ("http://h/a/b", "<http://g/>", "http://h/a/%3Chttp://g/%3E"),
        ("http://h/a/b", "h.example/c", "http://h/a/h.example/c"),
        # Dot segments of an absolute URL and of the base.
        ("http://h/a/b", "http://g/c/../d", "http://g/d"),
        ("http://h/a/b", "//g/c/./d/..", "http://g/c/"),
        ("http://h/a/b", "http://g/c/%2e%2E/d", "http://g/d"),
        ("http://h/a/%2e%2e/b/c", "../d", "http://h/d"),
        ("http://h/a/b/c", "%2e./d", "http://h/a/d"),
        ("http://h/a/b/c", ".%2Fd", "http://h/a/b/.%2Fd"),
        # The host of the reference, in its one spelling.
        ("https://h:8443/a", "b", "https://h:8443/b"),
        ("https://h:8443/a", "//G.Example:443", "https://g.example/"),
        ("http://h/a", "HTTPS://G.EXAMPLE.:/b", "https://g.example/b"),
        ("http://h/a", "//[2001:DB8::1]:80/b", "http://[2001:db8::1]/b"),
    ],
)
def test_a_location_names_one_url(base: str, location: str, url: str) -> None:
    assert located(base, location) == url


@pytest.mark.parametrize(
    ("location", "url"),
    [
        # Blanks inside, as browsers encode them.
        (b"/a b", "http://h/a%20b"),
        (b"/a  b?c d#e f", "http://h/a%20%20b?c%20d"),
        (b"a b/../c d", "http://h/dir/c%20d"),
        (b"?a b", "http://h/dir/file?a%20b"),
        (b"?a+b c%20d", "http://h/dir/file?a+b%20c%20d"),
        (b"http://g/a b", "http://g/a%20b"),
        (b"//g/a b", "http://g/a%20b"),
        (b"//g?a b", "http://g/?a%20b"),
        (b"a b://c", "http://h/dir/a%20b://c"),
        (b"#a b", "http://h/dir/file?q"),
        # Bytes that are not UTF-8: each is its own.
        (b"/caf\xe9.zip", "http://h/caf%E9.zip"),
        (b"caf\xe9 1.zip?\xfc=\xdf#\xe9", "http://h/dir/caf%E9%201.zip?%FC=%DF"),
        (b"/\x80\x85\xa0\xff", "http://h/%80%85%A0%FF"),
        (b"http://g/caf\xe9.zip", "http://g/caf%E9.zip"),
        # UTF-8, and both in one.
        ("/café.zip".encode(), "http://h/caf%C3%A9.zip"),
        ("/café ".encode() + b"caf\xe9", "http://h/caf%C3%A9%20caf%E9"),
        (b"/\xc3\x28\xe2\x82", "http://h/%C3(%E2%82"),
        (b"/\xed\xb3\xa9", "http://h/%ED%B3%A9"),
        ("/a\u3000b\u00a0c\u200bd".encode(), "http://h/a%E3%80%80b%C2%A0c%E2%80%8Bd"),
        ("/𝄞".encode(), "http://h/%F0%9D%84%9E"),
        # What is encoded stays as it is, and a % is not encoded twice.
        (b"/caf%E9%c3%a9%20%", "http://h/caf%E9%c3%a9%20%"),
        (b"/100% caf\xe9", "http://h/100%%20caf%E9"),
        (b'/"<>^`{|}?"<>^`{|}', "http://h/%22%3C%3E%5E%60%7B%7C%7D?%22%3C%3E%5E%60%7B%7C%7D"),
        # A backslash in a query is one to browsers and to curl.
        (b"?a\\b", "http://h/dir/file?a%5Cb"),
        (b"//g?\\@i#\\", "http://g/?%5C@i"),
        (b"#a\\b", "http://h/dir/file?q"),
        # The host is text: UTF-8, and its ASCII form is what is requested.
        ("http://bücher.example/a".encode(), "http://xn--bcher-kva.example/a"),
        ("//BÜCHER.example/ü?ü".encode(), "http://xn--bcher-kva.example/%C3%BC?%C3%BC"),
        ("http://bücher.example/".encode() + b"caf\xe9", "http://xn--bcher-kva.example/caf%E9"),
    ],
)
def test_raw_bytes_of_a_location_are_encoded_as_browsers_do(location: bytes, url: str) -> None:
    assert located("http://h/dir/file?q", location) == url


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (b"http:g", "two slashes"),
        (b"http:/g", "two slashes"),
        (b"https:g", "two slashes"),
        (b"http:", "two slashes"),
        (b"http://", "no host"),
        (b"//", "no host"),
        (b"///g/a", "no host"),
        (b"////g/a", "no host"),
        (b"http:///g/a", "no host"),
        (b"//?a", "no host"),
        (b"ftp://g/a", "http and https only"),
        (b"mailto:a@b", "http and https only"),
        (b"g:80/a", "the URL must be absolute"),
        (b"localhost:8080/a", "the URL must be absolute"),
        (b"//u@g/", "user name"),
        (b"//u:p@g/", "user name"),
        (b"http://u@g/", "user name"),
        (b"http://h:80@g/", "user name"),
        (b"\\\\g\\a", "backslash"),
        (b"/\\g/a", "backslash"),
        (b"/a\\b", "backslash"),
        (b"a\\b?c", "backslash"),
        (b"http:\\\\g?c", "backslash"),
        (b"http://g\\@h/", "backslash"),
        (b"/a\tb", r"U\+0009"),
        (b"/a#b\tc", r"U\+0009"),
        (b"ht\ntp://g/", r"U\+000A"),
        (b"//g\r/", r"U\+000D"),
        (b"/a\x00b", r"U\+0000"),
        (b"/a\x01b", r"U\+0001"),
        (b"/a\x7fb", r"U\+007F"),
        (b"//g h/", "a space"),
        (b"http://g /", "a space"),
        (b"http:// g/", "a space"),
        (b"http://g:80 /", "a space"),
        (b"http://b\xfccher.example/", "not UTF-8"),
        (b"//\xff/", "not UTF-8"),
        ("//g\u200b/".encode(), r"U\+200B"),
        ("//g\u00a0/".encode(), r"U\+00A0"),
        (b"//%67/", "percent"),
        (b"//127.1/", "not an IPv4 address"),
        (b"//[::1", "not a host"),
        (b"//g:99999/", "not a port"),
        (b"/" + b"a" * MAX_URL_CHARACTERS, "characters"),
        (b"/" + b"\xe9" * (MAX_URL_CHARACTERS // 3), "characters"),
    ],
)
def test_a_location_that_browsers_and_curl_read_differently_is_refused(location: bytes, words: str) -> None:
    with pytest.raises(InvalidUrl, match=words):
        located("http://h/dir/file?q", location)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(InvalidUrl, match="surrogate"):
        parse("http://h/").resolve("/\ud800")


@pytest.mark.parametrize("dots", [".", "%2e", "%2E"])
def test_each_spelling_of_one_dot_is_removed(dots: str) -> None:
    assert remove_dot_segments(f"/a/{dots}/b") == "/a/b"
    assert remove_dot_segments(f"/a/{dots}") == "/a/"


@pytest.mark.parametrize("first", [".", "%2e", "%2E"])
@pytest.mark.parametrize("second", [".", "%2e", "%2E"])
def test_each_spelling_of_two_dots_is_removed(first: str, second: str) -> None:
    assert remove_dot_segments(f"/a/{first}{second}/b") == "/b"
    assert remove_dot_segments(f"/a/b/{first}{second}") == "/a/"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/...",
        "/a/.../b",
        "/.a",
        "/a.",
        "/..a/b..",
        "/%2e%2e%2e",
        "/a%2e/b",
        "/%2ea",
        "/%252e%252e/b",
        "/%2f../b",
        "/..%2fb",
        "/..;/b",
        "/%20./b",
        "/%e2%80%a5/b",
        "a/../b",
    ],
)
def test_a_segment_that_is_more_than_dots_stays(path: str) -> None:
    assert remove_dot_segments(path) == path


def rfc_3986_5_2_4(path: str) -> str:
    """The algorithm as the RFC words it, over two buffers."""
    left, out = path, ""
    while left:
        if left.startswith("../"):
            left = left[3:]
        elif left.startswith(("./", "/./")):
            left = left[2:]
        elif left == "/.":
            left = "/"
        elif left.startswith("/../"):
            left, out = left[3:], out.rpartition("/")[0]
        elif left == "/..":
            left, out = "/", out.rpartition("/")[0]
        elif left in (".", ".."):
            left = ""
        else:
            end = left.find("/", 1)
            end = len(left) if end < 0 else end
            left, out = left[end:], out + left[:end]
    return out


SEGMENTS = st.sampled_from(["", ".", "..", "...", "a", "b.", ".c", "d;..", "%2f"])
PATHS = st.lists(SEGMENTS, max_size=12).map(lambda segments: "/" + "/".join(segments))


@given(PATHS)
@example("/a/b/c/./../../g")
@example("//..//../a//..")
def test_dot_segments_are_removed_as_the_algorithm_of_rfc_3986_does(path: str) -> None:
    assert remove_dot_segments(path) == rfc_3986_5_2_4(path)


@given(PATHS, st.lists(SEGMENTS, max_size=12).map("/".join))
def test_a_resolved_reference_has_no_dot_segments(path: str, reference: str) -> None:
    resolved = parse(f"http://h{path}").resolve("./" + reference)
    assert not {".", ".."} & set(resolved.removeprefix("http://h/").split("/"))
    assert parse(resolved).url == resolved


@pytest.mark.parametrize(
    "location",
    [
        "../" * 30_000,
        "/" * 90_000,
        "/.." * 30_000,
        "a/" * 30_000 + "../" * 30_000,
        "a" * 90_000 + ":",
        "a" * 90_000 + " ",
        "%2e" * 30_000,
        "/%2e%2e" * 12_000,
        "//" + "a" * 90_000,
        "?" * 90_000,
        "#" * 90_000,
        " " * 90_000,
        "\udce9" * 90_000,
    ],
    ids=lambda location: repr(location[:8]),
)
def test_the_time_grows_with_the_length_and_not_with_its_square(location: str) -> None:
    target = parse("http://h/" + "a/" * 4000)
    begun = time.process_time()
    target.resolve(location)
    # 90,000 characters are more than a head may have. They take some 10 ms; with their square it would be a minute.
    assert time.process_time() - begun < 2
