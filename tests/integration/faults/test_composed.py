"""Faults in any order, on any kind of file: whatever happens, no digest but that of one version, whole."""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, event, given, seed, settings
from hypothesis import strategies as st

from tests.support.origin.faults import FAULTS, Fault, fields, healthy
from tests.support.origin.origin_server import RESET, File, OriginServer, Request, Steps, head
from tests.support.origin.task_runner import Worker, patient
from urlsum.errors import FailureCode
from urlsum.origin.tuning import Tuning

if TYPE_CHECKING:
    from collections.abc import Sequence

# Sizes around the block of MD5, the tail that is re-read, and what one read of a socket brings.
SIZES = [0, 1, 63, 64, 65, 1000, 65_535, 65_536, 65_600, 200_000, 300_000]
DATES = [None, "Sun, 06 Nov 1994 08:49:37 GMT", "Mon, 07 Nov 1994 08:49:37 GMT"]
# A stall costs a whole time-out each, and is as good as a cut to all that follows: few of many examples have one.
QUICK = [fault for fault in FAULTS if fault.ends != "timeout" and fault.passing == "done"]
LAST = [fault for fault in FAULTS if fault.passing != "done"]
STALLS = [fault for fault in FAULTS if fault.name in {"never answers", "stalls half-way", "stalls in the head"}]


@dataclass(frozen=True)
class Cut:
    """The right answer up to a share of its body, then FIN or RST."""

    share: float
    reset: bool

    def spoil(self, request: Request, file: File) -> Steps:
        answer, right = healthy(request, file)
        return [answer, right[: int(len(right) * self.share)], *([RESET] if self.reset else [])]


@dataclass(frozen=True)
class Change:
    """From here on another version of the file is served, cut or whole; its ETag may keep silent about that."""

    version: int
    honest: bool
    cut: Cut | None

    def spoil(self, request: Request, file: File) -> Steps:
        return self.cut.spoil(request, file) if self.cut else file(request)


@dataclass(frozen=True)
class Overwrite:
    """While this response is sent, the file is overwritten in place; validators may keep silent about that."""

    version: int
    honest: bool
    share: float
    cut: Cut | None

    def spoil(self, request: Request, file: File) -> Steps:
        return self.cut.spoil(request, file) if self.cut else file(request)


@dataclass(frozen=True)
class Refusal:
    """No to a range request, the file to any other."""

    status: str

    def spoil(self, request: Request, file: File) -> Steps:
        if "range" not in request.fields:
            return file(request)
        return [head(self.status, "Content-Length: 0")]


@dataclass(frozen=True)
class ShortRange:
    """A range that is shorter than asked (RFC 9110, 15.3.7), begins earlier, or is not what it says."""

    most: int
    earlier: int
    shifted: int

    def spoil(self, request: Request, file: File) -> Steps:
        asked = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", request.fields.get("range", ""))
        first = max(0, int(asked[1]) - self.earlier) if asked else 0
        end = min(len(file.content), first + self.most + self.earlier)
        if asked is None or not file.ranges or first >= end:
            return file(request)
        piece = (file.content + file.content)[first + self.shifted :][: end - first]
        validators = [f"ETag: {file.etag}"] if file.etag else []
        told = f"Content-Range: bytes {first}-{end - 1}/{len(file.content)}"
        return [head("206 Part", *validators, told, f"Content-Length: {len(piece)}"), piece]


@dataclass(frozen=True)
class Redirect:
    """Somewhere else, where the same file is."""

    status: str
    cookie: bool

    def spoil(self, request: Request, file: File) -> Steps:
        fields = ["Set-Cookie: a=b"] if self.cookie else []
        return [head(self.status, f"Location: /{request.connection}/../x", "Content-Length: 0", *fields)]


@dataclass(frozen=True)
class Scribble:
    """The right answer, or that of another status, with nonsense in a field that is read."""

    status: str | None
    name: str
    value: bytes

    def spoil(self, request: Request, file: File) -> Steps:
        line = f"{self.name}: {self.value.decode('latin-1')}"
        return fields(line, without=self.name.lower(), status=self.status)(request, file)


Move = Fault | Cut | Change | Overwrite | Refusal | ShortRange | Redirect | Scribble
CUTS = st.builds(Cut, st.floats(0, 1), st.booleans())
CHANGES = st.builds(Change, st.integers(0, 3), st.booleans(), st.one_of(CUTS, CUTS, st.none()))
# Not the two that frame the body: who lies there in one voice is believed, by anybody.
READ = ["ETag", "Last-Modified", "Content-Range", "Location", "Retry-After", "Date", "Content-Encoding", "Connection"]
VALUES = st.one_of(
    st.binary(max_size=60).map(lambda value: value.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")),
    st.sampled_from(
        [b"", b"*", b"bytes 0-0/*", b"bytes 0-9/10", b"9" * 400, b'"', b'W/"', b"\xff" * 9, b"//", b"//[", b"/"]
    ),
)
STATUSES = st.sampled_from(
    [None, None, None, "302 Found", "416 No", "429 Slow Down", "503 Busy", "206 Part", "304 Same"]
)
SCRIBBLES = st.builds(Scribble, STATUSES, st.sampled_from(READ), VALUES)
OVERWRITES = st.builds(Overwrite, st.integers(0, 3), st.booleans(), st.floats(0, 1), st.one_of(CUTS, st.none()))
REFUSALS = st.builds(
    Refusal,
    st.sampled_from(
        [
            "403 No",
            "404 No",
            "412 No",
            "304 Same",
            "416 No",
            "429 Slow Down",
            "500 Oops",
            "501 No",
            "503 Busy",
            "204 No",
        ]
    ),
)
SHORT_RANGES = st.builds(
    ShortRange,
    st.sampled_from([1, 100, 5000, 65_536, 10**6]),
    st.sampled_from([0, 0, 1, 4096, 10**6]),
    st.sampled_from([0, 0, 0, 1, 64]),
)
REDIRECTS = st.builds(Redirect, st.sampled_from(["301 Moved", "302 Found", "307 Temporary"]), st.booleans())
# Mostly what leaves the task going on, so that one fault meets the traces of the other.
KINDS = [*[st.sampled_from(QUICK)] * 3, *[CUTS] * 5, *[CHANGES] * 3, *[SCRIBBLES] * 3, st.sampled_from(LAST)]
# What befalls a resume, and what the closing proof is there for.
RESUMES = [*[CUTS] * 3, *[OVERWRITES] * 3, *[REFUSALS] * 2, *[SHORT_RANGES] * 2, REDIRECTS, CHANGES]
MOVES = st.integers(0, len(KINDS) - 1).flatmap(KINDS.__getitem__)
RESUME_MOVES = st.integers(0, len(RESUMES) - 1).flatmap(RESUMES.__getitem__)
FILES = st.builds(
    File,
    content=st.just(b""),
    etag=st.sampled_from(['"v0"', 'W/"v0"', "_v0_", None]),
    last_modified=st.sampled_from(DATES[:2]),
    ranges=st.booleans(),
    chunked=st.booleans(),
)


class Origin:
    """Answers the n-th request by the n-th move, and well after the last one."""

    def __init__(self, form: File, sizes: Sequence[int], moves: Sequence[Move]) -> None:
        self.versions = [random.Random(number).randbytes(size) for number, size in enumerate(sizes)]
        self.file = replace(form, content=self.versions[0])
        self.moves = list(moves)

    def __call__(self, request: Request) -> Steps:
        move = self.moves.pop(0) if self.moves else None
        if move is None:
            return self.file(request)
        if isinstance(move, Change):
            self.file = self.changed(move)
        if isinstance(move, Overwrite):
            # By content that was never there before: two mixtures that are the same are beyond any proof.
            number, size = len(self.versions), len(self.versions[move.version])
            self.versions.append(random.Random(number).randbytes(size))
            before, self.file = self.file, self.changed(replace(move, version=number))
            at = int(move.share * len(before.content))
            # The length of the response was said before.
            mixed = (before.content[:at] + self.file.content[at:] + bytes(len(before.content)))[: len(before.content)]
            return move.spoil(request, replace(before, content=mixed))
        return move.spoil(request, self.file)

    def changed(self, move: Change | Overwrite) -> File:
        changed = replace(self.file, content=self.versions[move.version])
        if move.honest and self.file.etag:
            changed.etag = f'{self.file.etag[:-3]}v{move.version}"'
        if move.honest and self.file.last_modified:
            changed.last_modified = DATES[1 + move.version % 2]
        return changed


def no_wrong_digest(origin: Origin, *, often: bool, **options: Any) -> None:
    # A checkpoint at every read, or only where a try ends.
    worker = Worker(patient(read_timeout=0.15, checkpoint_seconds=0.0001 if often else 10.0), **options)
    with OriginServer(origin) as server:
        task = worker.run(server.url())
    right = {(hashlib.md5(version).hexdigest(), len(version)) for version in origin.versions}
    if task.error is None:
        assert (task.md5, task.size) in right
    else:
        assert task.md5 is None
        assert task.error.code != FailureCode.INTERNAL
    event(task.error.code if task.error else "done")
    event(f"{min(task.slices, 5)} slices" + (" or more" if task.slices > 4 else ""))
    event(f"{task.restarts} restarts")


MOST = st.lists(MOVES, min_size=2, max_size=10)
MOST_RESUMES = st.lists(RESUME_MOVES, min_size=2, max_size=10)
FOUR_SIZES = st.lists(st.sampled_from(SIZES), min_size=4, max_size=4)


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@seed(4)
@examples(400)
@given(form=FILES, sizes=FOUR_SIZES, moves=MOST, often=st.booleans())
def test_faults_in_any_order_give_no_wrong_digest(
    form: File, sizes: list[int], moves: list[Move], *, often: bool
) -> None:
    no_wrong_digest(Origin(form, sizes, moves), often=often)


@pytest.mark.long
@pytest.mark.timeout(1800)
@seed(5)
@examples(5000)
@given(form=FILES, sizes=FOUR_SIZES, moves=MOST, often=st.booleans())
def test_thousands_of_faults_give_no_wrong_digest(
    form: File, sizes: list[int], moves: list[Move], *, often: bool
) -> None:
    no_wrong_digest(Origin(form, sizes, moves), often=often)


# What comes at once needs no closing proof because nothing can divide it; here everything is divided.
NO_FILE_IS_SHORT = Tuning(moment_seconds=-1.0)


@seed(7)
@examples(300)
@given(form=FILES, size=st.sampled_from(SIZES), other=st.sampled_from(SIZES), moves=MOST_RESUMES, often=st.booleans())
def test_resumes_and_overwriting_give_no_wrong_digest(
    form: File, size: int, other: int, moves: list[Move], *, often: bool
) -> None:
    no_wrong_digest(Origin(form, [size, size, size, other], moves), often=often, tuning=NO_FILE_IS_SHORT)


@pytest.mark.long
@pytest.mark.timeout(1800)
@seed(8)
@examples(5000)
@given(form=FILES, size=st.sampled_from(SIZES), other=st.sampled_from(SIZES), moves=MOST_RESUMES, often=st.booleans())
def test_thousands_of_resumes_and_overwritings_give_no_wrong_digest(
    form: File, size: int, other: int, moves: list[Move], *, often: bool
) -> None:
    no_wrong_digest(Origin(form, [size, size, size, other], moves), often=often, tuning=NO_FILE_IS_SHORT)


@seed(6)
@examples(25)
@given(form=FILES, size=st.sampled_from(SIZES), moves=MOST, stall=st.sampled_from(STALLS))
def test_stalls_among_faults_give_no_wrong_digest(form: File, size: int, moves: list[Move], stall: Fault) -> None:
    no_wrong_digest(Origin(form, [size] * 4, [moves[0], stall, *moves[1:]]), often=True)
