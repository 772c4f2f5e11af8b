from __future__ import annotations

import pytest

from urlsum.origin.head import Head
from urlsum.origin.representation import representation
from urlsum.origin.target import parse
from urlsum.task import Proof, Representation

URL = "https://host.example/data/reads.bam?sig=secret"


def head(*fields: str, url: str = URL, status: int = 200) -> Head:
    pairs = (field.encode("latin-1").split(b": ", 1) for field in fields)
    return Head(parse(url), status, 100, False, tuple((name.lower(), value) for name, value in pairs))


def described(*fields: str, url: str = URL, submitted: str | None = None, status: int = 200) -> Representation:
    return representation(head(*fields, url=url, status=status), submitted or url, Proof.ETAG)


def test_every_fact_of_a_response() -> None:
    fields = (
        "Content-Type: application/Octet-Stream; charset=binary",
        'Content-Disposition: attachment; filename="sample 1.bam"',
        'ETag: W/"abc"',
        "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
    )
    assert described(*fields, url="https://cdn.example/x?Signature=s", submitted=URL) == Representation(
        name="sample 1.bam",
        final_url="https://cdn.example/x?Signature=s",
        content_type="application/octet-stream",
        etag='W/"abc"',
        last_modified=784111777.0,
        proof=Proof.ETAG,
    )


def test_a_response_that_says_nothing() -> None:
    assert described() == Representation(name="reads.bam", final_url=URL, proof=Proof.ETAG)


@pytest.mark.parametrize(
    ("submitted", "final", "shown"),
    [
        ("https://host/a", "https://host/a", "https://host/a"),
        ("HTTPS://Host:443/a#top", "https://host/a", "HTTPS://Host:443/a"),  # nothing redirected: as submitted
        ("https://host/größe", "https://host/gr%C3%B6%C3%9Fe", "https://host/größe"),
        ("http://host/a", "https://host/a", "https://host/a"),
        ("https://host/a?x", "https://host/a?y", "https://host/a?y"),
    ],
)
def test_the_final_url_is_the_submitted_one_unless_something_redirected(submitted: str, final: str, shown: str) -> None:
    assert described(url=final, submitted=submitted).final_url == shown


@pytest.mark.parametrize(
    ("value", "content_type"),
    [
        ("text/plain", "text/plain"),
        (" Text/HTML ;charset=utf-8", "text/html"),
        ("text/html, text/html", "text/html"),
        ("application/x-hdf5+zip", "application/x-hdf5+zip"),
        ("text", None),
        ("text/", None),
        ("/plain", None),
        ("te xt/plain", None),
        ("<script>/x", None),
        ("", None),
        ("a/" + "b" * 98, "a/" + "b" * 98),
        ("a/" + "b" * 99, None),
    ],
)
def test_a_content_type_is_a_type_and_a_subtype_or_nothing(value: str, content_type: str | None) -> None:
    assert described(f"Content-Type: {value}").content_type == content_type


@pytest.mark.parametrize("name", ["Content-Type", "Content-Disposition", "ETag", "Last-Modified"])
def test_a_harmless_field_with_two_values_counts_as_missing(name: str) -> None:
    values = {
        "Content-Type": ("text/html", "text/plain"),
        "Content-Disposition": ("attachment; filename=a", "attachment; filename=b"),
        "ETag": ('"a"', '"b"'),
        "Last-Modified": ("Sun, 06 Nov 1994 08:49:37 GMT", "Mon, 07 Nov 1994 08:49:37 GMT"),
    }[name]
    assert described(*(f"{name}: {value}" for value in values)) == described()


@pytest.mark.parametrize(
    ("value", "etag"),
    [
        ('"abc"', '"abc"'),
        ('W/"abc"', 'W/"abc"'),
        ('""', '""'),
        ("abc", None),
        ('w/"abc"', None),
        ('"a"b"', None),
        ('"\x85\x9b2J"', '" 2J"'),  # C1 controls, which the grammar lets through
        ('"' + "a" * 300 + '"', '"' + "a" * 198 + "…"),
    ],
)
def test_an_etag_is_quoted_printable_and_bounded(value: str, etag: str | None) -> None:
    assert described(f"ETag: {value}").etag == etag


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799.0),
        ("Fri, 31 Dec 9999 23:59:59 -0100", None),  # the year 10000, which no date can show
        ("Wed, 31 Dec 1969 23:59:59 GMT", None),
        ("yesterday", None),
    ],
)
def test_a_last_modified_is_a_date_that_can_be_shown(value: str, seconds: float | None) -> None:
    assert described(f"Last-Modified: {value}").last_modified == seconds


HTML = "Content-Type: text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("submitted", "final", "fields", "noted"),
    [
        ("https://h/reads.bam", "", [HTML], True),
        ("https://h/reads.bam", "", ["Content-Type: application/xhtml+xml"], True),
        ("https://h/reads.bam", "", ["Content-Type: TEXT/HTML"], True),
        ("https://h/reads.bam", "", ["Content-Type: text/plain"], False),
        ("https://h/reads.bam", "", [], False),
        ("https://h/data/", "", [HTML], True),  # a directory listing
        ("https://h", "", [HTML], True),
        ("https://h/reads.bam", "https://h/login?next=/reads.bam", [HTML], True),
        ("https://h/reads.bam", "https://h/login.html", [HTML], True),
        ("https://h/download.php?id=3", "", [HTML], True),
        ("https://h/get?file=report.html", "", [HTML], True),
        ("https://h/blob/main/README.md", "", [HTML], True),
        ("https://h/report.html", "", [HTML], False),
        ("https://h/report.HTM?x=1#y", "", [HTML], False),
        ("https://h/report.xhtml", "", ["Content-Type: application/xhtml+xml"], False),
        # From page to page: the same one, or another.
        ("https://h/report.html", "https://www.h/report.html", [HTML], False),
        ("https://h/report.html", "https://h/report", [HTML], False),
        ("https://h/docs/index.html", "https://h/docs/", [HTML], False),
        ("https://h/report.html", "https://h/login", [HTML], True),
        ("https://h/report.html", "https://h/login.html", [HTML], True),
        ("https://h/report.html", "https://h/", [HTML], True),
        # The server says which file it is.
        ("https://h/download/7", "", [HTML, 'Content-Disposition: attachment; filename="report.html"'], False),
        ("https://h/download/7", "", [HTML, 'Content-Disposition: attachment; filename="reads.bam"'], True),
        ("https://h/download/7", "", [HTML, "Content-Disposition: attachment"], True),
    ],
)
def test_a_page_that_the_url_does_not_announce_is_noted(
    submitted: str, final: str, fields: list[str], noted: bool
) -> None:
    notes = described(*fields, url=final or submitted, submitted=submitted).notes
    assert notes == (("web-page",) if noted else ())


@pytest.mark.parametrize(
    ("fields", "notes"),
    [
        # https://github.com/googleapis/google-cloud-dotnet/issues/7154
        (["X-GUploader-Response-Body-Transformations: gunzipped"], ("transformed",)),
        (["X-Goog-Stored-Content-Encoding: gzip"], ("transformed",)),
        (["X-Goog-Stored-Content-Encoding: identity"], ()),
        (["X-Goog-Stored-Content-Encoding: gzip", "Content-Encoding: gzip"], ("content-encoding",)),
        (["X-Goog-Stored-Content-Encoding: GZIP", "Content-Encoding: identity"], ("transformed",)),
        (['Warning: 214 proxy "Transformation Applied"'], ("transformed",)),
        (['Warning: 110 proxy "Stale"', 'Warning: 214 proxy "Transformation Applied"'], ("transformed",)),
        (['Warning: 110 proxy "Stale", 214 proxy "Transformation Applied"'], ("transformed",)),
        (['Warning: 199 - "214 "'], ()),
        (["CF-Polished: origSize=1234"], ("transformed",)),
        (["Content-Encoding: gzip"], ("content-encoding",)),
        (["Content-Encoding: BR"], ("content-encoding",)),
        (["Content-Encoding: x-something"], ("content-encoding",)),
        (["Content-Encoding: identity, zstd"], ("content-encoding",)),
        (["Content-Encoding: identity", "Content-Encoding: gzip"], ("content-encoding",)),
        (["Content-Encoding: identity"], ()),
        (["Content-Encoding: aws-chunked"], ()),
        (["Content-Encoding: aws-chunked,gzip"], ("content-encoding",)),
        (["Content-Encoding: utf-8"], ()),
        (["Content-Encoding: "], ()),
        ([HTML, "Content-Encoding: gzip"], ("web-page", "content-encoding")),
    ],
)
def test_bytes_that_are_not_those_that_are_stored_are_noted(fields: list[str], notes: tuple[str, ...]) -> None:
    assert described(*fields).notes == notes


def test_a_response_that_a_proxy_changed_is_noted() -> None:
    assert described(status=203).notes == ("transformed",)
