"""Which differences tell two versions of a file apart, and what a checkpoint keeps of one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from urlsum.errors import AnotherKind, Changed, Unsteady
from urlsum.origin.guard.url import parse
from urlsum.origin.http11.response import ResponseHead
from urlsum.origin.version.edges import get_from_same_edge
from urlsum.origin.version.responses import check_same
from urlsum.origin.version.version import MAX_DUMP_CHARACTERS, PROOFS, Overlap, Version
from urlsum.task import Proof

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"


def version(
    etag: str | None = None,
    modified: str | None = None,
    size: int | None = None,
    *,
    date: str | None = None,
    kind: str | None = None,
) -> Version:
    known = {"etag": etag, "last-modified": modified, "date": date, "content-type": kind}
    fields = tuple((name.encode(), value.encode()) for name, value in known.items() if value)
    return Version.of(ResponseHead(parse("http://example.org/"), 200, size, False, fields), size)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (version('"a"', DATE, 10), version('"a"', DATE, 10)),
        (version('"a"', DATE, 10), version('"a"', LATER, 10)),  # two machines, one strong ETag
        (version('"a"', DATE, 10), version(None, DATE, 10)),
        (version('"a"', DATE, 10), version('W/"a"', DATE, 10)),  # a proxy that compresses weakens the tag
        (version('"a"', DATE, 10), version(None, None, None)),
        (version(None, DATE, 10), version(None, DATE, None)),
        (version(None, DATE, 10), version('"a"', DATE, 10)),
        (version(None, None, 10), version('"a"', DATE, 10)),
        (version("unquoted", DATE, 10), version("unquoted", DATE, 10)),
        (version("unquoted", DATE, 10), version(None, DATE, 10)),
        (version(None, "1347638758", 10), version(None, "1347638758", 10)),
        (version('"a"', "1347638758", 10), version('"a"', "1347638759", 10)),
        (version(None, "1347638758", 10), version(None, DATE, 10)),
    ],
)
def test_no_difference(before: Version, now: Version) -> None:
    assert before.difference(now) is None


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (version('"a"', DATE, 10), version('"b"', DATE, 10), "ETag"),
        (version('"a"', DATE, 10), version('"a"', DATE, 11), "length"),  # a lying ETag
        (version('W/"a"', DATE, 10), version('W/"b"', DATE, 10), "ETag"),
        (version('W/"a"', DATE, 10), version('W/"a"', LATER, 10), "Last-Modified"),
        (version(None, DATE, 10), version(None, LATER, 10), "Last-Modified"),
        (version("unquoted", DATE, 10), version("another", DATE, 10), "ETag"),
        (version("unquoted", DATE, 10), version("unquoted", LATER, 10), "Last-Modified"),
        (version('w/"a"', None, 10), version('w/"b"', None, 10), "ETag"),
        (version(None, "2026-01-02T03:04:05Z", 10), version(None, "2026-01-02T03:04:06Z", 10), "date"),
        (version(None, None, 10), version(None, None, 9), "length"),
        (version('"a"', DATE, 10), version('W/"b"', DATE, 10), "ETag"),
        (version('W/"a"', DATE, 10), version('"b"', DATE, 10), "ETag"),
        (version('W/"a"', DATE, 10), version('"a"', LATER, 10), "Last-Modified"),
        (version('"' + "a" * 500 + '1"'), version('"' + "a" * 500 + '2"'), "ETag"),
    ],
)
def test_a_difference_is_named(before: Version, now: Version, words: str) -> None:
    assert words in (before.difference(now) or "")


@pytest.mark.parametrize(
    ("etag", "sent"),
    [
        ('"a"', '"a"'),
        ('W/"a"', None),
        ("a", None),
        ('"a b"', None),
        ('"' + "a" * 94 + '"', '"' + "a" * 94 + '"'),
        ('"' + "a" * 95 + '"', None),  # kept as a digest, which the origin does not know
        ('"ü"', None),
    ],
)
def test_only_a_strong_etag_that_was_kept_whole_is_sent_back(etag: str, sent: str | None) -> None:
    assert version(etag).if_range == sent


@pytest.mark.parametrize("etag", ['"a\r\nX: y"', '"a\u20ac"', '"a b"', '"'])
def test_an_etag_that_was_damaged_in_a_table_is_not_sent(etag: str) -> None:
    assert Version.load(replace(version(), etag=etag).dump()).if_range is None


def test_a_version_survives_its_dump() -> None:
    whole = Version('"a\\b"', weak=False, modified=784111777, size=5 * 2**40, tail=Overlap(128, 64, "ab"))
    whole = replace(whole, opening=Overlap(64, 64, "cd"), kind="text/html")
    assert Version.load(whole.dump()) == whole


def test_a_dump_of_another_release_is_read_as_far_as_it_is_understood() -> None:
    before = '{"format":1,"etag":"\\"a\\"","weak":false,"modified":null,"size":10,"tail":null}'
    assert Version.load(before) == Version('"a"', size=10)
    assert Version.load(before.replace('"size"', '"later":[1],"size"')) == Version('"a"', size=10)


def test_the_longest_dump_fits_a_checkpoint() -> None:
    sample = Overlap(2**63, 65536, "f" * 32)
    longest = Version(
        '"' + "\\" * 94 + '"', weak=False, modified=2**40, size=2**63, tail=sample, opening=sample, kind="x" * 60
    )
    assert len(longest.dump()) < MAX_DUMP_CHARACTERS


@pytest.mark.parametrize(
    "text",
    [
        Version(tail=Overlap(64, 65, "ab")).dump(),
        Version(tail=Overlap(64, 0, "ab")).dump(),
        Version(tail=Overlap(64, 64, "ab"), opening=Overlap(64, 65, "ab")).dump(),
        Version(tail=Overlap(64, 64, "ab")).dump().replace(":64", ':"64"'),
        "",
        "null",
        "[]",
        "1",
        '{"format":1}',
        '{"format":2,"tail":null}',
        '{"format":1,"tail":null,"weakest":"hearsay"}',
        '{"format":1,"tail":{"end":64}}',
        '{"format":1,"tail":null,"etag":5}',
        '{"format":1,"tail":null,"modified":"x"}',
        '{"format":1,"tail":null,"settled":"no"}',
        '{"format":1,"tail":null,"opening":true}',
        "[" * 100_000,
        '"v1"',
        "{",
    ],
)
def test_what_is_no_dump_proves_nothing(text: str) -> None:
    with pytest.raises(Changed, match="cannot be read"):
        Version.load(text)


def test_what_the_newer_answer_leaves_out_is_still_known() -> None:
    known = version('"a"', DATE, 10).joined_by(version(None, DATE, None))
    assert (known.if_range, known.size, known.modified) == ('"a"', 10, 784111777)


# --- what may join parts: a weak ETag promises the same meaning, not the same bytes (RFC 9110, 8.8.1)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (version('"a"', None, 10), True),
        (version('W/"a"', None, 10), False),
        (version('W/"a"', DATE, 10), True),
        (version(None, DATE, 10), True),
        (version(None, None, 10), False),
        (version("unquoted", None, 10), False),
        (version('"a"', DATE, None), False),
    ],
)
def test_parts_are_asked_for_where_what_they_say_tells_versions_apart(of: Version, expected: bool) -> None:
    assert of.is_distinguishable is expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (version('"a"', None, 10), version('"a"', None, 10), True),
        (version('"a"', DATE, 10), version('"a"', LATER, 10), True),  # two machines, one strong ETag
        (version('"a"', DATE, 10), version('"b"', DATE, 10), False),
        (version('"a"', DATE, 10), version('W/"a"', DATE, 10), False),
        (version('"a"', DATE, 10), version(None, DATE, 10), False),
        (version('W/"a"', None, 10), version('W/"a"', None, 10), False),
        (version('W/"a"', None, 10), version('"a"', None, 10), False),
        (version('W/"a"', DATE, 10), version('W/"a"', DATE, 10), True),
        (version('W/"a"', DATE, 10), version('W/"a"', LATER, 10), False),
        (version('W/"a"', DATE, 10), version('W/"a"', None, 10), False),
        (version(None, DATE, 10), version(None, DATE, 10), True),
        (version(None, DATE, 10), version(None, None, 10), False),
        (version(None, None, 10), version(None, None, 10), False),
        (version('"a"', DATE, 10), version('"a"', DATE, 11), False),
        (version('"a"', DATE, 10), version('"a"', DATE, None), False),
    ],
)
def test_a_part_proves_its_version_by_a_strong_etag_or_the_date(before: Version, now: Version, expected: bool) -> None:
    assert before.proven_by(now) is expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (version('"a"', DATE, 10), version('"b"', DATE, 10), True),
        (version('"a"', None, 10), version('"b"', None, 10), True),
        (version('"a"', DATE, 10), version('"a"', LATER, 10), True),
        (version('"a"', DATE, 10), version('"a"', DATE, 10), False),
        (version('"a"', DATE, 10), version('"b"', LATER, 10), False),
        (version('"a"', DATE, 10), version('"b"', None, 10), False),
        (version('"a"', DATE, 10), version('"b"', DATE, 11), False),
        (version('"a"', DATE, 10), version('"a"', LATER, 11), False),
        (version('"a"', DATE, 10), version('"a"', None, 10), False),
        (version('W/"a"', DATE, 10), version('"b"', DATE, 10), False),
        (version('"a"', DATE, 10), version('W/"b"', DATE, 10), False),
        (version('W/"a"', DATE, 10), version('W/"b"', DATE, 10), False),
        (version('W/"a"', DATE, 10), version('W/"a"', LATER, 10), False),
        (version(None, DATE, 10), version('"b"', DATE, 10), False),
    ],
)
def test_another_edge_differs_by_its_strong_etag_or_by_its_date_alone(
    before: Version, now: Version, expected: bool
) -> None:
    assert before.is_another_edge_of(now) is expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (version('"a"', DATE, 10), version('"a"', DATE, 10), True),
        (version('"a"', DATE, 10), version('"a"', None, 10), True),
        (version('"a"', DATE, 10), version('W/"a"', DATE, 10), False),
        (version('W/"a"', DATE, 10), version('"a"', DATE, 10), False),
        (version('"a"', DATE, 10), version(None, DATE, 10), False),
        (version(None, DATE, 10), version('"a"', DATE, 10), False),
        (version('W/"a"', DATE, 10), version('W/"a"', DATE, 10), True),
        (version('W/"a"', DATE, 10), version('W/"a"', None, 10), False),
        (version('W/"a"', None, 10), version('W/"a"', DATE, 10), False),
        (version('W/"a"', None, 10), version('W/"a"', None, 10), True),
        (version(None, DATE, 10), version(None, None, 10), False),
        (version(None, None, 10), version(None, None, 10), True),
    ],
)
def test_a_validator_that_comes_goes_or_weakens_joins_nothing(before: Version, now: Version, expected: bool) -> None:
    assert before.has_same_validators(now) is expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (version('"a"', DATE, 10), version('"a"', DATE, 10), Proof.ETAG),
        (version('"a"', None, 10), version('"a"', None, 10), Proof.ETAG),
        (version('"a"', DATE, 10), version('W/"a"', DATE, 10), Proof.LAST_MODIFIED),
        (version('W/"a"', DATE, 10), version('"a"', DATE, 10), Proof.LAST_MODIFIED),
        (version('W/"a"', DATE, 10), version('W/"a"', DATE, 10), Proof.LAST_MODIFIED),
        (version('W/"a"', None, 10), version('W/"a"', None, 10), Proof.LENGTH),
        (version('"a"', None, 10), version('W/"a"', None, 10), Proof.LENGTH),
        (version(None, DATE, 10), version(None, DATE, 10), Proof.LAST_MODIFIED),
        (version(None, DATE, 10), version(None, None, 10), Proof.LENGTH),
        (version(None, None, 10), version(None, None, 10), Proof.LENGTH),
    ],
)
def test_a_proof_is_named_by_the_strongest_validator_that_both_have(
    before: Version, now: Version, expected: Proof
) -> None:
    assert before.proof(now) is expected
    # It is no stronger than the weakest response whose bytes were taken on the way.
    for weakest in Proof:
        assert PROOFS.index(replace(before, weakest=weakest).proof(now)) == min(map(PROOFS.index, (weakest, expected)))


# --- what a response says of itself


@pytest.mark.parametrize(
    ("modified", "date", "settled", "current"),
    [
        (DATE, DATE, False, True),
        (DATE, LATER, False, False),  # a second later: the clock may have been read before the file
        (DATE, "Sun, 06 Nov 1994 08:49:39 GMT", True, False),
        (LATER, DATE, False, True),
        (DATE, None, False, False),
        (None, DATE, False, False),
        (None, None, False, False),
        ("Thu, 01 Jan 1970 00:00:00 GMT", LATER, True, False),
        ("Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", False, True),
    ],
)
def test_a_date_is_settled_or_current_by_the_time_of_the_response(
    modified: str | None, date: str | None, settled: bool, current: bool
) -> None:
    said = version(None, modified, 10, date=date)
    assert (said.settled, said.current) == (settled, current)


@pytest.mark.parametrize(
    ("etag", "known", "weak"),
    [('"a"', '"a"', False), ('W/"a"', '"a"', True), (None, None, False), ("", None, False)],
)
def test_an_etag_is_kept_without_its_weakness(etag: str | None, known: str | None, weak: bool) -> None:
    assert (version(etag).etag, version(etag).weak) == (known, weak)


@pytest.mark.parametrize("etag", ["a", 'w/"a"', "'a'", '"a b"', '"a"b"', "0x8D02F5F0F4E7631", "\x7f" * 300])
def test_a_malformed_etag_distinguishes_versions_but_proves_none(etag: str) -> None:
    known = version(etag, None, 10)
    assert known.if_range is None
    assert not known.is_distinguishable
    assert not known.proven_by(known)
    assert known.proof(known) is Proof.LENGTH
    assert known.has_same_validators(known)
    assert Version.load(known.dump()) == known
    assert len(known.dump()) < 100
    # Each response may have one of its own, as with well-formed ones.
    assert known.is_another_edge_of(version(etag + "2", None, 10))
    dated = version(etag, DATE, 10)
    assert dated.proven_by(dated)
    assert dated.proof(dated) is Proof.LAST_MODIFIED
    assert not dated.is_another_edge_of(version(etag, LATER, 10))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("text/html; charset=utf-8", "text/html"),
        (" TEXT/HTML", "text/html"),
        ("html", None),
        (None, None),
        ("x/" + "y" * 100, "x/" + "y" * 58),
    ],
)
def test_a_kind_is_a_bare_type_in_small_letters(value: str | None, kind: str | None) -> None:
    assert version(kind=value).kind == kind


FILE = version('"a"', DATE, 10, kind="application/gzip")
PAGES = ["text/html", "application/xhtml+xml"]
MESSAGES = [*PAGES, "application/json", "application/problem+json"]


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_message_in_place_of_a_file_is_of_another_kind(kind: str) -> None:
    message = version('"b"', LATER, 9, kind=kind)
    assert FILE.is_replaced_by_message(message)
    assert not message.is_replaced_by_message(FILE)
    assert not message.is_replaced_by_message(version('"c"', LATER, 8, kind=kind))
    assert not version('"a"', DATE, 10).is_replaced_by_message(message)  # of no type: perhaps it was a message, too
    assert FILE.is_replaced_by_page(message) is (kind in PAGES)
    assert not message.is_replaced_by_page(replace(FILE, kind=kind))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (FILE, version(None, None, 9), True),  # no validator at all: a program answers, not the file server
        (FILE, version(None, None, None), True),
        (FILE, version(None, None, 10), False),
        (version(None, DATE, 10), version(None, None, 9), True),
        (version('"a"', None, 10), version(None, None, 9), True),
        (FILE, version('"b"', None, 9), False),
        (FILE, version(None, LATER, 9), False),
        (version(None, None, 10), version(None, None, 9), False),
        (version(None, None, 10, kind="application/zip"), version(None, None, 9, kind="text/plain"), True),
        (version(None, None, 10, kind="application/zip"), version(None, None, 0), True),
        (version(None, None, 10, kind="application/zip"), version(None, None, 10, kind="text/plain"), False),
        (version(None, None, 10, kind="application/zip"), version(None, None, 9, kind="application/zip"), False),
        (version(None, None, 10), version(None, None, 9, kind="text/plain"), True),
        (FILE, version('"b"', LATER, 9, kind="application/zip"), False),
    ],
)
def test_a_response_that_lost_its_validators_is_of_another_kind(before: Version, now: Version, expected: bool) -> None:
    assert before.is_replaced_by_message(now) is expected


def test_dates_of_responses_are_no_difference_of_files() -> None:
    first, second = version(None, DATE, 10, date=DATE), version(None, LATER, 10, date=LATER)
    assert first.is_dated_by_response(second)
    assert not first.is_dated_by_response(version(None, LATER, 11, date=LATER))
    assert not first.is_dated_by_response(version(None, LATER, 10))
    assert not version(None, DATE, 10).is_dated_by_response(second)


def test_without_its_tag_a_version_has_its_date_left() -> None:
    assert version('W/"a"', DATE, 10).without_tag == version(None, DATE, 10)


def test_what_is_taken_up_keeps_the_first_word_and_the_weakest_proof() -> None:
    first = version('"a"', DATE, None)
    second = first.joined_by(version('"a"', LATER, 10, kind="text/plain"))
    assert (second.size, second.kind, second.modified, second.weakest) == (10, "text/plain", 784111777, Proof.ETAG)
    third = second.joined_by(version(None, DATE, None, kind="text/html"))
    assert (third.size, third.kind, third.weakest) == (10, "text/plain", Proof.LAST_MODIFIED)
    assert third.joined_by(version('"a"', DATE, 10)).weakest is Proof.LAST_MODIFIED
    assert Version.load(third.dump()) == third


IN_PLACE = "in place of the file, perhaps an error or login page, later"


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (version('"a"', DATE, 10), None),
        (version('"b"', DATE, 10, kind="application/gzip"), "the ETag changed, later"),
        (
            version('"b"', DATE, 9, kind="text/html"),
            f"the server now sends a web page of 9 bytes {IN_PLACE}",
        ),
        (
            version(None, None, 9),
            f"the server now sends something else of 9 bytes {IN_PLACE}",
        ),
        (
            version('"b"', DATE, None, kind="text/html"),
            f"the server now sends a web page {IN_PLACE}",
        ),
        (
            version('"b"', DATE, 9, kind="application/json"),
            f"the server now sends JSON of 9 bytes {IN_PLACE}",
        ),
        # The origin chooses a type as it likes, so its own words stay out of the text.
        (
            version(None, None, 9, kind="dear/customer.pay-at.evil.example"),
            f"the server now sends something else of 9 bytes {IN_PLACE}",
        ),
    ],
)
def test_another_version_says_what_came_instead(now: Version, words: str | None) -> None:
    head = ResponseHead(parse("http://example.org/"), 200, 10, False, ())
    if words is None:
        check_same(head, FILE, now, ", later")
        return
    with pytest.raises(Changed) as caught:
        check_same(head, FILE, now, ", later")
    assert str(caught.value) == f"http://example.org/: {words}"
    assert isinstance(caught.value, AnotherKind) is ("now sends" in words)
    if isinstance(caught.value, AnotherKind):
        assert caught.value.raw == f"{now.kind or 'no type'} where the file was application/gzip"


def test_dates_of_responses_are_named_as_such() -> None:
    head = ResponseHead(parse("http://example.org/"), 200, 10, False, ())
    first, second = version(None, DATE, 10, date=DATE), version(None, LATER, 10, date=LATER)
    with pytest.raises(
        Unsteady, match=r"^http://example.org/: the Last-Modified date is the time of the response, later$"
    ):
        check_same(head, first, second, ", later")
    without = version(None, DATE, 10)
    with pytest.raises(AnotherKind, match="something else of 9 bytes in place"):
        check_same(head, without, version(None, None, 9), "")


def test_a_sample_has_the_same_digest_in_every_release() -> None:
    """It stands in checkpoints."""
    assert Overlap.of(b"abc", 3).digest == "cf4ab791c62b8d2b2109c90275287816"
    assert Overlap.of(memoryview(b""), 0).digest == "cae66941d9efbd404e4d88758ea67670"


# --- edges of one name


class Line:
    """A connection that only remembers whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Edges:
    """Answers with these ETags in turn, the last one for ever."""

    def __init__(self, *etags: str, modified: str | None = DATE, status: int = 200) -> None:
        self.etags = etags
        self.modified = modified
        self.status = status
        self.lines: list[Any] = []

    def get(self, *fields: object) -> tuple[Any, ResponseHead]:
        etag = self.etags[min(len(self.lines), len(self.etags) - 1)]
        known = [(b"etag", etag.encode()), (b"last-modified", (self.modified or DATE).encode())]
        self.lines.append(Line())
        return self.lines[-1], ResponseHead(parse("http://example.org/"), self.status, 10, False, tuple(known))

    @property
    def closed(self) -> list[bool]:
        return [line.closed for line in self.lines]


OURS = version('"a"', DATE, 10)


@pytest.mark.parametrize("others", [0, 1, 2, 3])
def test_the_edge_with_our_version_is_asked_for_until_it_answers(others: int) -> None:
    edges = Edges(*['"b"'] * others, '"a"')
    connection, head, known = get_from_same_edge(edges.get, OURS)
    assert (connection, known) == (edges.lines[-1], OURS)
    assert head.get("etag") == '"a"'
    assert edges.closed == [True] * others + [False]


@pytest.mark.parametrize(
    ("etags", "asked"), [(['"b"'], 4), (['"b"', '"c"'] * 4, 7), (['"b"', '"c"', '"b"', '"c"', '"b"', '"b"'], 6)]
)
def test_another_version_is_believed_when_it_came_four_times(etags: list[str], asked: int) -> None:
    edges = Edges(*etags)
    with pytest.raises(Changed, match=r"^http://example.org/: the ETag changed$") as caught:
        get_from_same_edge(edges.get, OURS)
    assert not isinstance(caught.value, Unsteady)
    assert edges.closed == [True] * asked


@pytest.mark.parametrize("settled", [True, False])
def test_an_etag_of_its_own_for_each_response_is_no_version(settled: bool) -> None:
    edges = Edges(*(f'"{number}"' for number in range(20)))
    known = replace(OURS, settled=settled)
    if settled:
        connection, _, left = get_from_same_edge(edges.get, known)
        assert (connection, left) == (edges.lines[-1], known.without_tag)
        assert edges.closed == [True] * 7 + [False]
    else:
        with pytest.raises(Unsteady, match=r"^http://example.org/: every response has a different ETag$"):
            get_from_same_edge(edges.get, known)
        assert edges.closed == [True] * 8


def test_another_date_under_our_etag_is_another_version() -> None:
    edges = Edges('"a"', modified=LATER)
    with pytest.raises(Changed, match=r"^http://example.org/: the Last-Modified date changed$"):
        get_from_same_edge(edges.get, OURS)
    assert edges.closed == [True] * 4


def test_what_brings_no_file_is_of_no_other_edge() -> None:
    edges = Edges('"b"', status=503)
    connection, _, known = get_from_same_edge(edges.get, OURS)
    assert (connection, known, edges.closed) == (edges.lines[0], OURS, [False])
