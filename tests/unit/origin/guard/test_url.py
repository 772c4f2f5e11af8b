"""The grammar of URLs: what is read how, and what is refused."""

# ruff: noqa: RUF001 - characters that look like others are what is tested

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from urlsum.errors import InvalidUrl
from urlsum.origin.guard.url import MAX_URL_CHARACTERS, parse


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://example.org/a.bam", "http://example.org/a.bam"),
        ("http://example.org", "http://example.org/"),
        ("HTTPS://EXAMPLE.Org/A", "https://example.org/A"),
        ("http://example.org?q=1", "http://example.org/?q=1"),
        ("http://example.org#part", "http://example.org/"),
        ("http://example.org/a#part?not=query", "http://example.org/a"),
        ("http://example.org:80/", "http://example.org/"),
        ("https://example.org:443/", "https://example.org/"),
        ("http://example.org:443/", "http://example.org:443/"),
        ("http://example.org:08080/", "http://example.org:8080/"),
        ("http://example.org:/", "http://example.org/"),
        ("http://example.org./a", "http://example.org/a"),
        ("http://my_bucket.s3.amazonaws.com/key", "http://my_bucket.s3.amazonaws.com/key"),
        ("http://xn--mnchen-3ya.de/", "http://xn--mnchen-3ya.de/"),
        ("http://münchen.de/", "http://xn--mnchen-3ya.de/"),
        ("http://MÜNCHEN.de/", "http://xn--mnchen-3ya.de/"),
        ("http://straße.de/", "http://xn--strae-oqa.de/"),
        ("http://例え。jp/", "http://xn--r8jz45g.jp/"),
        ("http://ｅｘａｍｐｌｅ.org/", "http://example.org/"),
        ("http://example.org/größe.txt", "http://example.org/gr%C3%B6%C3%9Fe.txt"),
        ("http://example.org/a%20b", "http://example.org/a%20b"),
        ('http://example.org/a"<b>', "http://example.org/a%22%3Cb%3E"),
        ("http://example.org/?X-Amz-Signature=a%2Fb&c=d+e", "http://example.org/?X-Amz-Signature=a%2Fb&c=d+e"),
        ("http://example.org//a//b", "http://example.org//a//b"),
        ("http://example.org/a?", "http://example.org/a?"),
        ("http://example.org?", "http://example.org/?"),
        # Dot segments (RFC 3986, 6.2.2.3), their dots encoded or not (6.2.2.2).
        ("http://example.org/a/../b", "http://example.org/b"),
        ("http://example.org/a/./b", "http://example.org/a/b"),
        ("http://example.org/a/b/..", "http://example.org/a/"),
        ("http://example.org/a/b/../", "http://example.org/a/"),
        ("http://example.org/a/.", "http://example.org/a/"),
        ("http://example.org/..", "http://example.org/"),
        ("http://example.org/../../a", "http://example.org/a"),
        ("http://example.org/a//../b", "http://example.org/a/b"),
        ("http://example.org/a/..//b", "http://example.org//b"),
        ("http://example.org/./a/../../b/.././c", "http://example.org/c"),
        ("http://example.org/a/..#b", "http://example.org/"),
        ("http://example.org/a/..?b", "http://example.org/?b"),
        ("http://example.org/ü/../b", "http://example.org/b"),
        ("http://example.org/a/%2e%2E/b", "http://example.org/b"),
        ("http://example.org/a/%2e./b/.%2e/c/%2E", "http://example.org/c/"),
        ("http://example.org/a?b=/../c", "http://example.org/a?b=/../c"),
        ("http://example.org?/../a", "http://example.org/?/../a"),
        ("http://example.org/a/.../b..", "http://example.org/a/.../b.."),
        ("http://example.org/a/..%2Fb", "http://example.org/a/..%2Fb"),
        ("http://example.org/a%2F../b", "http://example.org/a%2F../b"),
        ("http://example.org/a/..;/b", "http://example.org/a/..;/b"),
        ("http://example.org/a%2eb/%252e", "http://example.org/a%2eb/%252e"),
        ("http://example.org/@user:pass", "http://example.org/@user:pass"),
        ("http://192.0.2.1/", "http://192.0.2.1/"),
        ("http://192.0.2.1./", "http://192.0.2.1/"),
        ("http://192.0.2.1:8080/", "http://192.0.2.1:8080/"),
        ("http://[2001:DB8::0:1]/", "http://[2001:db8::1]/"),
        ("http://[2001:db8::1]:8080/a", "http://[2001:db8::1]:8080/a"),
        ("http://1.example.org/", "http://1.example.org/"),
        ("http://0x7f.example/", "http://0x7f.example/"),
    ],
)
def test_a_url_is_read_in_one_way(url: str, normal: str) -> None:
    assert parse(url).url == normal


def test_the_parts_are_what_is_connected_to_and_asked_for() -> None:
    target = parse("https://Example.org:8443/a?b=c#d")
    assert (target.scheme, target.host, target.port, target.path) == ("https", "example.org", 8443, "/a?b=c")
    assert target.authority == "example.org:8443"
    assert target.secure
    assert target.address is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "absolute"),
        ("example.org/a", "absolute"),
        ("/a", "absolute"),
        ("//example.org/a", "absolute"),
        ("httpſ://example.org/", "absolute"),  # a long s
        ("\u212ahttp://example.org/", "absolute"),  # the sign of the kelvin
        ("http:example.org", "two slashes"),
        ("http:/example.org", "two slashes"),
        ("ftp://example.org/a", "http and https only"),
        ("file:///etc/passwd", "http and https only"),
        ("gopher://example.org/", "http and https only"),
        ("javascript:alert(1)", "http and https only"),
        ("data:,x", "http and https only"),
        ("http://", "no host"),
        ("http:///a", "no host"),
        ("http://:80/", "no host"),
        ("http://./", "no host"),
        ("http://user@example.org/", "user name"),
        ("http://user:password@example.org/", "user name"),
        ("http://@example.org/", "user name"),
        ("http://example.org@127.0.0.1/", "user name"),
        ("http://example.org\\@127.0.0.1/", "backslash"),
        ("http:\\\\example.org\\", "backslash"),
        ("http://example.org/a\\b", "backslash"),
        (" http://example.org/", "a space"),
        ("http://example.org/ ", "a space"),
        ("http://example.org/a b", "a space"),
        ("http://exam ple.org/", "a space"),
        ("http://example.org/\r\nX: y", "U+000D"),
        ("http://exa\tmple.org/", "U+0009"),
        ("http://example.org/\x00", "U+0000"),
        ("http://example.org/\x7f", "U+007F"),
        ("http://example.org/\x85", "U+0085"),
        ("http://example.org/\u00a0", "U+00A0"),
        ("http://example.org/\u202egnp.exe", "U+202E"),
        ("http://exam\u200bple.org/", "U+200B"),
        ("http://example.org/\ufeff", "U+FEFF"),
        ("http://example.org/\ud800", "surrogate"),
        ("http://127.0.0.1%2f.example.org/", "percent"),
        ("http://%31%32%37.0.0.1/", "percent"),
        ("http://example%2eorg/", "percent"),
        ("http://[fe80::1%25eth0]/", "zone"),
        ("http://[fe80::1%eth0]/", "zone"),
        ("http://[::1/", "not a host"),
        ("http://::1/", "not a host"),
        ("http://[::1]x/", "not a host"),
        ("http://[]/", "not an IPv6 address"),
        ("http://[v1.x]/", "not an IPv6 address"),
        ("http://[1.2.3.4]/", "not an IPv6 address"),
        ("http://[::127.0.0.01]/", "not an IPv6 address"),
        ("http://a..b/", "not a host name"),
        ("http://.example.org/", "not a host name"),
        ("http://example.org../", "not a host name"),
        ("http://-a.example.org/", "not a host name"),
        ("http://a-.example.org/", "not a host name"),
        ("http://" + "a" * 64 + ".org/", "not a host name"),
        ("http://" + "a." * 127 + "org/", "not a host name"),
        ("http://exa$mple.org/", "not a host name"),
        ("http://exa,mple.org/", "not a host name"),
        ("http://*.example.org/", "not a host name"),
        ("http://exa|mple.org/", "not a host name"),
        ("http://example.org:0/", "not a port"),
        ("http://example.org:65536/", "not a port"),
        ("http://example.org:99999/", "not a port"),
        ("http://example.org:123456/", "not a host"),
        ("http://example.org:-80/", "not a host"),
        ("http://example.org:+80/", "not a host"),
        ("http://example.org:８０/", "not a host"),
        ("http://example.org:80:80/", "not a host"),
        ("http://example.org:http/", "not a host"),
        ("http://" + "ü" * 254 + ".org/", "too long"),
        ("http://ex☃\u0300-.org/", "internationalized"),
        ("http://a\u2488com/", "internationalized"),
        # Every spelling of an IPv4 address but the usual one.
        ("http://2130706433/", "not an IPv4 address"),
        ("http://017700000001/", "not an IPv4 address"),
        ("http://0x7f000001/", "not an IPv4 address"),
        ("http://0x7f.0.0.1/", "not an IPv4 address"),
        ("http://0X7F.0.0.1/", "not an IPv4 address"),
        ("http://0177.0.0.1/", "not an IPv4 address"),
        ("http://127.0.0.01/", "not an IPv4 address"),
        ("http://127.1/", "not an IPv4 address"),
        ("http://127.0.1/", "not an IPv4 address"),
        ("http://127.0.0.0x1/", "not an IPv4 address"),
        ("http://0x/", "not an IPv4 address"),
        ("http://0/", "not an IPv4 address"),
        ("http://127.0.0.1.1/", "not an IPv4 address"),
        ("http://256.0.0.1/", "not an IPv4 address"),
        ("http://999.1.1.1/", "not an IPv4 address"),
        ("http://1.2.3.4.5.6/", "not an IPv4 address"),
        ("http://example.123/", "not an IPv4 address"),
        ("http://１２７.０.０.１/", "not an IPv4 address"),
        ("http://127。0。0。1/", "not an IPv4 address"),
        ("http://①②⑦.⓪.⓪.①/", "not an IPv4 address"),
        ("http://127.0.0.1\u3002/", "not an IPv4 address"),
        ("http://0\u00ad/", "not an IPv4 address"),
    ],
)
def test_what_breaks_the_grammar_is_refused_with_the_reason(url: str, words: str) -> None:
    with pytest.raises(InvalidUrl, match=words.replace("+", "[+]")) as caught:
        parse(url)
    assert caught.value.field == "url"


@given(
    st.text(st.sampled_from("ab./%2eE?#:@ü[]ſ"), max_size=40), st.sampled_from(["h", "ü.example", "[::1]", "1.2.3.4"])
)
@example("/%2%2e./%2e", "h")
@example("/a/%252e%252e/b?", "h")
def test_the_normal_spelling_is_its_own_normal_spelling(rest: str, host: str) -> None:
    with suppress(InvalidUrl):
        target = parse(f"http://{host}{rest}")
        assert parse(target.url) == target


def test_a_url_may_be_8192_characters_long_and_no_longer() -> None:
    longest = "http://example.org/" + "a" * (MAX_URL_CHARACTERS - len("http://example.org/"))
    assert parse(longest).url == longest
    with pytest.raises(InvalidUrl, match="8193 characters"):
        parse(longest + "a")


def test_encoding_does_not_make_a_longer_request_line_than_a_url_may_be() -> None:
    with pytest.raises(InvalidUrl, match="once encoded"):
        parse("http://example.org/" + "ü" * 2000)


def test_a_message_shows_neither_the_query_nor_a_whole_long_url() -> None:
    assert str(parse("https://example.org/a?X-Signature=secret")) == "https://example.org/a?…"
    assert len(str(parse("https://example.org/" + "a" * 5000))) < 250
