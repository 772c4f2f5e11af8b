"""What a person meant who gave something else than an http or https URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urlsum.errors import InvalidUrl
from urlsum.origin.guard.url import parse


def refusal(url: str) -> InvalidUrl:
    with pytest.raises(InvalidUrl) as caught:
        parse(url)
    return caught.value


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("www.example.org", "https://www.example.org"),
        ("www.example.org/f?x=1#md5=2", "https://www.example.org/f?x=1#md5=2"),
        ("example.org/f", "https://example.org/f"),
        ("example.org:8443/f", "https://example.org:8443/f"),
        ("example.org:8080/f", "http://example.org:8080/f"),
        ("http.example.org/f", "https://http.example.org/f"),
        ("localhost:8080/x", "http://localhost:8080/x"),
        ("localhost/x", "http://localhost/x"),
        ("nas:9000/x", "https://nas:9000/x"),
        ("192.0.2.1/f", "http://192.0.2.1/f"),
        ("[2001:db8::1]:8080/f", "http://[2001:db8::1]:8080/f"),
        ("//example.org/f", "https://example.org/f"),
        ("https:/example.org/f", "https://example.org/f"),
        ("HTTP:example.org/f", "http://example.org/f"),
        ("https//example.org/f", "https://example.org/f"),
        ("ftp://ftp.ncbi.nlm.nih.gov/refseq/f.gz", "https://ftp.ncbi.nlm.nih.gov/refseq/f.gz"),
        ("FTP://ftp.example.org:21", "https://ftp.example.org/"),
        ("s3://bucket/dir/key", "https://bucket.s3.amazonaws.com/dir/key"),
        ("s3://a.bucket/key", "https://s3.amazonaws.com/a.bucket/key"),
        ('"https://example.org/f"', "https://example.org/f"),
        ("<https://example.org/f>", "https://example.org/f"),
        ("\u201chttp://example.org/f\u201d", "http://example.org/f"),
        ("https://example.org/a b.bam?x= y", "https://example.org/a%20b.bam?x=%20y"),
        ("gs://bucket/dir/key", "https://storage.googleapis.com/bucket/dir/key"),
    ],
)
def test_the_url_that_was_meant_is_offered(url: str, meant: str) -> None:
    error = refusal(url)
    assert error.suggestion == meant
    assert str(error).endswith(f"; did you mean {meant}?")
    # The reason stands in texts about what a server sent, which quote nothing.
    assert meant not in error.reason
    parse(meant)


@pytest.mark.parametrize(
    "url",
    [
        "http://exa mple.org/f",
        "https://example.org/a https://example.org/b",
        "https://example.org/a # b",
        "https://example.org/a b\x00",
    ],
)
def test_a_space_that_is_more_than_one_is_not_encoded(url: str) -> None:
    assert refusal(url).suggestion is None


def test_archives_by_ftp_are_explained() -> None:
    assert "most archives serve the same path over https" in str(refusal("ftp://ftp.example.org/f"))
    # Without a host there is nothing to offer, and a login is none of ours.
    assert refusal("ftp://user:secret@ftp.example.org/f").suggestion is None
    assert refusal("ftp://ftp.example.org:2121/f").suggestion is None


@pytest.mark.parametrize("url", ["", "reads.bam", "dir/reads.bam", "/etc/passwd", "-", "nas/f", "10.0/f", "a..b/c"])
def test_a_path_is_no_host(url: str) -> None:
    error = refusal(url)
    assert error.suggestion is None
    assert str(error) == "the URL must be absolute and begin with http:// or https://"


@pytest.mark.parametrize(
    "url", ["mailto:a@example.org", "file:///etc/passwd", "data:x", "javascript:alert(1)", "htps://h.org/"]
)
def test_another_scheme_is_named(url: str) -> None:
    error = refusal(url)
    assert error.suggestion is None
    assert str(error) == f"urlsum reads http and https only, not {url.partition(':')[0]!r}"


@given(st.text(st.sampled_from("htpsf:/.a1-[]#?@%\u017f"), max_size=20))
def test_whatever_is_offered_is_a_url(text: str) -> None:
    try:
        parse(text)
    except InvalidUrl as exc:
        if exc.suggestion is not None:
            parse(exc.suggestion)
