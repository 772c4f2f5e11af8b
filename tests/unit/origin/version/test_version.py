"""Which differences tell two versions of a file apart, and what a checkpoint keeps of one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from urlsum.errors import Changed
from urlsum.origin.guard.url import parse
from urlsum.origin.http11.response import ResponseHead
from urlsum.origin.version.version import MAX_DUMP_CHARACTERS, PROOFS, Overlap, Version
from urlsum.task import Proof

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"


def version(etag: str | None = None, modified: str | None = None, size: int | None = None) -> Version:
    fields = [(b"etag", etag.encode())] if etag else []
    fields += [(b"last-modified", modified.encode())] if modified else []
    return Version.of(ResponseHead(parse("http://example.org/"), 200, size, False, tuple(fields)), size)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (version('"a"', DATE, 10), version('"a"', DATE, 10)),
        (version('"a"', DATE, 10), version('"a"', LATER, 10)),  # two machines, one strong ETag
        (version('"a"', DATE, 10), version(None, DATE, 10)),
        (version('"a"', DATE, 10), version('W/"a"', DATE, 10)),  # a proxy that compresses weakens the tag
        (version('"a"', DATE, 10), version(None, None, None)),
        (version(None, DATE, 10), version(None, DATE, None)),
        (version("unquoted", None, 10), version("another", None, 10)),  # no tags at all
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
