from __future__ import annotations

import time

import pytest

from urlsum.origin.guard.url import parse
from urlsum.origin.http11.response import ResponseHead
from urlsum.origin.representation.metadata import representation
from urlsum.origin.version.version import Version
from urlsum.task import Proof, Representation

URL = "https://host.example/data/reads.bam?sig=secret"


def head(*fields: str, url: str = URL, status: int = 200) -> ResponseHead:
    pairs = (field.encode("latin-1").split(b": ", 1) for field in fields)
    return ResponseHead(parse(url), status, 100, False, tuple((name.lower(), value) for name, value in pairs))


def described(
    *fields: str, url: str = URL, submitted: str | None = None, status: int = 200, opening: bytes = b""
) -> Representation:
    return representation(head(*fields, url=url, status=status), submitted or url, Proof.ETAG, opening)


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
        # A malformed parameter is no reason to forget the type.
        ("text/html charset=utf-8", "text/html"),
        ("text/html: charset=utf-8", "text/html"),
        ("text/html:charset=utf-8", "text/html"),
        ("text/html=utf-8", "text/html"),
        ("text/html;", "text/html"),
        ('text/html; charset="utf-8', "text/html"),
        ("text/html,", "text/html"),
        (", text/html", "text/html"),
        ("text/html utf-8", "text/html"),
        ("text/html; charset=utf-8, text/html; charset=UTF-8", "text/html"),
        ('text/html; title="a, text/plain"', "text/html"),
        ('"text/html"', "text/html"),
        ('"text/html; charset=utf-8"', "text/html"),
        ("'text/html'", "text/html"),
        ("Content-Type: text/html", "text/html"),
        ("text/html, nonsense", "text/html"),
        ("*/*, text/html", "text/html"),
        ("text/html, text/plain", None),
        ("*/*", None),
        ("charset=utf-8", None),
        ("utf-8; text/html", None),
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


@pytest.mark.parametrize(
    "values",
    [
        ("text/html; charset=utf-8", "text/html"),
        ("text/html", "TEXT/HTML"),
        ("text/html", "text/html;charset=iso-8859-1"),
        ("text/html", ""),
        ("text/html", "nonsense"),
        ("*/*", "text/html; charset=utf-8"),
        ("text/html charset=utf-8", '"text/html"', "text/html"),
    ],
)
def test_one_type_in_several_fields_is_one_type(values: tuple[str, ...]) -> None:
    known = described(*(f"Content-Type: {value}" for value in values))
    assert (known.content_type, known.notes) == ("text/html", ("web-page",))


def test_a_hostile_content_type_costs_no_time() -> None:
    began = time.process_time()
    for text in ("a/" * 30_000, '"' * 60_000, '"\\' * 30_000, "," * 60_000, "a/b," * 15_000, "'" * 60_000):
        described(f"Content-Type: {text}")
    assert time.process_time() - began < 1


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
        # Before the epoch, as the proof of version takes it.
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1.0),
        ("Fri, 01 Jan 1960 00:00:00 GMT", -315619200.0),
        ("Mon, 01 Jan 1601 00:00:00 GMT", -11644473600.0),  # the zero of Windows
        ("yesterday", None),
    ],
)
def test_a_last_modified_is_a_date_that_can_be_shown(value: str, seconds: float | None) -> None:
    assert described(f"Last-Modified: {value}").last_modified == seconds


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 01 Jan 1960 00:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Fri, 31 Dec 9999 23:59:59 -0100",
        "yesterday",
    ],
)
def test_a_date_that_proves_the_version_is_shown_and_no_other(date: str) -> None:
    response = head(f"Last-Modified: {date}")
    version = Version.of(response, 100)
    shown = representation(response, URL, version.proof(version)).last_modified
    assert (version.proof(version) is Proof.LAST_MODIFIED) == (shown is not None)
    assert shown is None or int(shown) == version.modified


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
        ("https://h/report.html", "https://other.example", [HTML], True),
        ("https://h/report.html", "https://other.example?from=h", [HTML], True),
        ("https://h/reports.html", "https://h/reports.html/x.html/", [HTML], True),
        ("https://h/docs/index.html", "https://h/docs/", [HTML], False),
        ("https://h/docs/index.html", "https://www.h/docs", [HTML], False),
        ("https://h/index.html", "https://h/index.htm", [HTML], False),
        ("https://h/index.html", "", [HTML], False),
        ("https://h/Report.HTML", "https://h/report.html", [HTML], False),
        ("https://h/about.html", "https://h/about/", [HTML], False),
        ("https://h/x.html?utm=1", "https://h/x.html", [HTML], False),
        ("https://h/x.html?id=1", "https://h/x.html?id=2", [HTML], False),
        ("https://h/x.html", "https://h/en/x.html", [HTML], False),
        ("https://h/latest/x.html", "https://h/v2.1/x.html", [HTML], False),
        ("https://h/x.html", "https://mirror.example/pub/h/x.html", [HTML], False),
        ("https://h/x.html", "https://bucket.s3.example/ab/x.html?X-Amz-Signature=s", [HTML], False),
        ("https://login.h/x.html", "https://login.h/x", [HTML], False),
        ("https://h/data.html", "https://h/login/data.html", [HTML], True),
        ("https://h/data.html", "https://h/anmelden/data.html", [HTML], True),
        ("https://h/data.html", "https://h/error/data.html", [HTML], True),
        ("https://h/data.html", "https://www.h/sign-in/data", [HTML], True),
        ("https://h/data.html", "https://login.h/data.html", [HTML], True),
        ("https://h/data.html", "https://other.example/access_denied/data.html", [HTML], True),
        ("https://h/data.html", "https://other.example/data.html?login", [HTML], True),
        ("https://h/x.html", "https://h/x.html?login=1", [HTML], True),
        ("https://h/x.html", "https://h/x?expired", [HTML], True),
        ("https://h/a/x.html", "https://h/b/x.html", [HTML], True),
        ("https://h/index.html", "https://h/", [HTML], True),
        ("https://h/docs/index.html", "https://h/", [HTML], True),
        ("https://h/docs/index.html", "https://h/login/", [HTML], True),
        # Names of pages in other forms.
        ("https://h/x.html;jsessionid=1", "", [HTML], False),
        ("https://h/x.html;jsessionid=1.node2?a=b", "", [HTML], False),
        ("https://h/x.html", "https://h/x.html;jsessionid=1", [HTML], False),
        ("https://h/index.html.en", "", [HTML], False),
        ("https://h/index.html.pt-BR", "", [HTML], False),
        ("https://h/index.html.ja.iso2022-jp", "", [HTML], False),
        ("https://h/index.html.ru.koi8-r", "", [HTML], False),
        ("https://h/index.html.utf8", "", [HTML], False),
        ("https://h/x.html", "https://h/x.html.de", [HTML], False),
        ("https://h/x.phtml", "", [HTML], False),
        ("https://h/x.shtm", "", [HTML], False),
        ("https://h/.html", "", [HTML], False),
        ("https://h/x.html/", "", [HTML], False),
        ("https://h/x.%68tml", "", [HTML], False),
        ("https://h/html", "", [HTML], True),
        ("https://h/x.html.zip", "", [HTML], True),
        ("https://h/x.html.gz", "", [HTML], True),
        ("https://h/x.html.iso", "", [HTML], True),
        ("https://h/x.html.bam;jsessionid=1", "", [HTML], True),
        ("https://h/report.html", "https://h/login", [HTML], True),
        ("https://h/report.html", "https://h/login.html", [HTML], True),
        ("https://h/report.html", "https://h/", [HTML], True),
        # The server says which file it is.
        ("https://h/download/7", "", [HTML, 'Content-Disposition: attachment; filename="report.html"'], False),
        ("https://h/download/7", "", [HTML, 'Content-Disposition: attachment; filename="reads.bam"'], True),
        ("https://h/download/7", "", [HTML, "Content-Disposition: attachment"], True),
        ("https://h/7", "", [HTML, "Content-Disposition: inline; filename=index.html.en"], False),
        ("https://h/x.html", "", [HTML, "Content-Disposition: attachment; filename=reads.bam"], True),
    ],
)
def test_a_page_that_the_url_does_not_announce_is_noted(
    submitted: str, final: str, fields: list[str], noted: bool
) -> None:
    notes = described(*fields, url=final or submitted, submitted=submitted).notes
    assert notes == (("web-page",) if noted else ())


TYPELESS = [
    [],
    ["Content-Type: "],
    ["Content-Type: html"],
    ["Content-Type: */*"],
    ["Content-Type: charset=utf-8"],
    ["Content-Type: text/html", "Content-Type: text/plain"],
    ["Content-Type: application/octet-stream"],
    ["Content-Type: binary/octet-stream"],
    ["Content-Type: application/x-download"],
    ["Content-Type: unknown/unknown"],
]
PAGE = b"<!DOCTYPE html><title>Sign in</title>"


@pytest.mark.parametrize("fields", TYPELESS)
def test_a_page_without_a_usable_type_is_known_by_its_first_bytes(fields: list[str]) -> None:
    assert described(*fields, opening=PAGE).notes == ("web-page",)
    assert described(*fields, opening=b"BAM\1" + PAGE).notes == ()
    assert described(*fields, url="https://h/sign-in.html", opening=PAGE).notes == ()


@pytest.mark.parametrize("value", ["text/plain", "application/json", "application/gzip", "image/svg+xml"])
def test_the_first_bytes_do_not_overrule_a_type(value: str) -> None:
    assert described(f"Content-Type: {value}", opening=PAGE).notes == ()


@pytest.mark.parametrize(
    ("opening", "noted"),
    [
        (b"<!doctype html>", True),
        (b"<!DOCTYPE\nHTML PUBLIC '-//W3C//DTD HTML 4.01//EN'>", True),
        (b"<html>", True),
        (b'<HTML lang="en">', True),
        (b"<html\n>", True),
        (b"<head><meta charset=utf-8>", True),
        (b"<title>Sign in</title>", True),
        (b"<body bgcolor=white>", True),
        (b"<meta http-equiv=refresh content='0;url=/login'>", True),
        (b" \r\n\t<html>", True),
        (b"\xef\xbb\xbf<!doctype html>", True),
        ("\ufeff<html>".encode("utf-16-le"), True),
        ("\ufeff<html>".encode("utf-16-be"), True),
        ("<html>".encode("utf-32-be"), True),
        (b"<!-- saved from url=(0014)about:internet -->\n<html>", True),
        (b"<!--a--> <!-- > -- b -->\n<!doctype html>", True),
        (b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0 Strict//EN'>", True),
        (b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">', True),
        (b"", False),
        (b"<", False),
        (b"<htm", False),
        (b"<html5>", False),
        (b"<htmlx", False),
        (b"<!doctype svg>", False),
        (b"<?xml version='1.0'?><svg/>", False),
        (b"<!-- <html> --><svg/>", False),
        (b"<!-- <html>", False),
        (b'<h1 align="center">README</h1>', False),
        (b"<script setup>", False),
        (b"doctype html", False),
        (b">seq1 <html>", False),
        (b"\x1f\x8b<html>", False),
    ],
)
def test_html_begins_with_a_tag_of_a_whole_page(opening: bytes, noted: bool) -> None:
    assert described(opening=opening).notes == (("web-page",) if noted else ())


def test_a_hostile_beginning_costs_no_time() -> None:
    began = time.process_time()
    for text in (
        b"<!--" * 16_000,
        b"<!---->" * 9000,
        b"<? ?>" * 13_000,
        b" " * 65_536,
        b"<!----><?" * 7000,
        b"\0" * 65_536,
    ):
        described(opening=text)
    assert time.process_time() - began < 1


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


@pytest.mark.parametrize(
    "value",
    ["identity", "none", "null", "aws-chunked", "7bit", "8bit", "binary", "utf-8", "UTF8", "us-ascii", "iso-8859-1"],
)
def test_what_encodes_nothing_is_no_coding(value: str) -> None:
    assert described(f"Content-Encoding: {value}").notes == ()
    assert described(f"Content-Encoding: {value}, gzip").notes == ("content-encoding",)


GATES = (
    "access accessdenied account accounts auth authenticate authorize blocked captcha cas challenge consent cookies"
    " denied error errors expired forbidden idp login logon maintenance notfound oauth oauth2 saml session signin"
    " signon sso unavailable wayf"
)


@pytest.mark.parametrize("gate", GATES.split())
def test_a_redirect_through_a_gate_leads_to_another_page(gate: str) -> None:
    def notes(submitted: str, final: str) -> tuple[str, ...]:
        return described("Content-Type: text/html", submitted=submitted, url=final).notes

    for final in (f"https://mirror/{gate}/a.html", f"https://{gate}.mirror/a.html", f"https://mirror/a.html?{gate}=1"):
        assert notes("https://host/a.html", final) == ("web-page",)
        assert notes(f"https://host/{gate}/a.html", final) == ()
    assert notes("https://host/a.html", "https://mirror/other/a.html") == ()
