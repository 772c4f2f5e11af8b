"""A digest is reused only for the version that it was computed of, whatever an origin claims."""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.counting_origin import CountingOrigin, Resource, counting_origin
from tests.support.origin.task_runner import patient
from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryTaskTable
from urlsum.deadline import Deadline
from urlsum.errors import FailureCode
from urlsum.origin.guard.guard import Guard
from urlsum.origin.source import HttpSource
from urlsum.task import Status, Task
from urlsum.text.remarks import UNCONFIRMED
from urlsum.worker.slice import run_slice

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 2 * 2**20
PATH = "/f.bin"
CONTENT = random.Random(5).randbytes(SIZE)
OTHER = random.Random(6).randbytes(SIZE)
DAY = 86_400


class Reader:
    """Runs one task after another against one origin, with the records that they share."""

    def __init__(self, origin: CountingOrigin) -> None:
        self.origin = origin
        settings = patient(read_timeout=5.0, min_rate_seconds=10.0)
        self.skipped = 0.0
        self.stopping = False
        source = HttpSource(settings, Guard(settings))
        self.deps = Deps(settings, MemoryTaskTable(), source, self.now, time.monotonic)

    def now(self) -> float:
        return time.time() + self.skipped

    def read(self, path: str = PATH, *, fresh: bool = False) -> Task:
        """Run a task until it ends, without its waits; ``stopping`` ends a slice."""
        now = self.now()
        task = Task(
            id=str(uuid.uuid4()),
            url=self.origin.url(path),
            created_at=now,
            updated_at=now,
            due_at=now,
            expires_at=int(now) + DAY,
            fresh=fresh,
        )
        self.deps.table.add(task)  # type: ignore[attr-defined] # it is a whole table
        while not task.complete:
            self.stopping = False
            task = run_slice(task.id, self.deps, deadline=Deadline.after(30, is_cancelled=lambda: self.stopping))
            self.skipped += max(0.0, (task.due_at or 0.0) - self.now()) + 0.001
        return task


@pytest.fixture
def reader() -> Iterator[Reader]:
    with counting_origin() as origin:
        origin.files[PATH] = Resource(CONTENT)
        yield Reader(origin)


def assert_read(task: Task, content: bytes) -> None:
    assert (task.status, task.md5) == (Status.DONE, hashlib.md5(content).hexdigest())
    assert task.reused_at is None


def assert_reused(task: Task, first: Task) -> None:
    assert (task.status, task.md5, task.size) == (Status.DONE, first.md5, first.size)
    assert task.reused_at == pytest.approx(first.finished_at, abs=1.0)


def with_bytes(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


@pytest.mark.parametrize(
    ("etag", "last_modified"),
    [
        ('"v1"', "Sun, 06 Nov 1994 08:49:37 GMT"),
        ('"v1"', None),
        (None, "Sun, 06 Nov 1994 08:49:37 GMT"),
        ('W/"v1"', "Sun, 06 Nov 1994 08:49:37 GMT"),
    ],
)
def test_the_same_version_is_not_read_again(reader: Reader, etag: str | None, last_modified: str | None) -> None:
    file = reader.origin.files[PATH]
    file.etag, file.last_modified = etag, last_modified
    file.fields = (("Content-Type", "application/x-thing"), ("Content-Disposition", 'attachment; filename="thing"'))
    first = reader.read()
    assert_read(first, CONTENT)
    sent = reader.origin.sent[PATH]
    task = reader.read(PATH + "#part-2")
    assert_reused(task, first)
    assert reader.origin.sent[PATH] - sent < SIZE / 4
    assert task.representation == first.representation
    assert task.received == 144 * 1024


def test_a_reading_of_several_slices_is_reused(reader: Reader) -> None:
    """Each slice has its own response; the opening comes from the first, the spot and the tail from the last."""
    file = reader.origin.files[PATH]

    def stop(at: int) -> None:
        if at == SIZE // 2:
            reader.stopping, file.before = True, lambda _: None

    file.before = stop
    first = reader.read()
    assert (first.md5, first.slices) == (hashlib.md5(CONTENT).hexdigest(), 2)
    assert_reused(reader.read(), first)


def test_the_samples_are_both_ends_and_a_place_that_nobody_can_predict(reader: Reader) -> None:
    reader.read()
    places = set()
    for _ in range(3):
        reader.read(fresh=True)
        reader.origin.requests.clear()
        reader.read()
        ranges = [asked for _, asked in reader.origin.requests if asked]
        assert (ranges[0], ranges[2]) == ("bytes=0-65535", f"bytes={SIZE - 65536}-{SIZE - 1}")
        places.add(ranges[1])
    assert len(places) == 3


@pytest.mark.parametrize("at", [0, 60_000, SIZE - 65_536, SIZE - 1])
def test_a_replacement_of_the_same_length_date_and_etag_is_read(reader: Reader, at: int) -> None:
    reader.read()
    changed = with_bytes(CONTENT, at, bytes([CONTENT[at] ^ 1]))
    reader.origin.files[PATH].content = changed
    second = reader.read()
    assert_read(second, changed)
    # Its digest is the known one from now on.
    assert_reused(reader.read(), second)


def test_a_file_that_was_replaced_between_its_ends_is_read(reader: Reader) -> None:
    reader.read()
    changed = CONTENT[:65_536] + OTHER[65_536 : SIZE - 65_536] + CONTENT[SIZE - 65_536 :]
    reader.origin.files[PATH].content = changed
    assert_read(reader.read(), changed)


@pytest.mark.parametrize(
    "changes",
    [
        {"etag": '"v2"'},
        {"last_modified": "Sun, 06 Nov 1994 08:49:38 GMT"},
        {"content": CONTENT + b"!"},
        {"etag": None},
        {"etag": 'W/"v1"'},
        {"last_modified": None},
    ],
)
def test_other_validators_are_another_version(reader: Reader, changes: dict[str, object]) -> None:
    reader.read()
    reader.origin.files[PATH] = replace(Resource(CONTENT), **changes)  # type: ignore[arg-type]
    assert_read(reader.read(), reader.origin.files[PATH].content)


def http_date(seconds_ago: float) -> str:
    return formatdate(time.time() - seconds_ago, usegmt=True)


@pytest.mark.parametrize(
    "file",
    [
        Resource(CONTENT, etag=None, last_modified=None),
        Resource(CONTENT, etag='W/"v1"', last_modified=None),
        Resource(CONTENT, etag="v1", last_modified=None),
        Resource(CONTENT, last_modified="Thu, 01 Jan 1970 00:00:01 GMT"),
        Resource(CONTENT, last_modified="Tue, 01 Jan 1980 00:00:00 GMT"),
        Resource(CONTENT, fields=(("Vary", "*"),)),
        Resource(CONTENT, fields=(("Vary", "Accept, *"),)),
        Resource(CONTENT, fields=(("Set-Cookie", "session=1"),)),
        Resource(CONTENT, fields=(("Content-Encoding", "gzip"),)),
        Resource(CONTENT, fields=(("Warning", '214 - "Transformation Applied"'),)),
        Resource(CONTENT, ranges=False, fields=(("Accept-Ranges", "none"),)),
    ],
)
def test_what_identifies_no_version_is_read_each_time(reader: Reader, file: Resource) -> None:
    reader.origin.files[PATH] = file
    for _ in range(2):
        assert_read(reader.read(), CONTENT)
    assert reader.deps.records.records == {}  # type: ignore[attr-defined] # in memory


def test_a_date_of_the_second_of_the_response_proves_nothing_yet(reader: Reader) -> None:
    file = reader.origin.files[PATH]
    file.etag, file.last_modified = None, http_date(0)
    assert_read(reader.read(), CONTENT)
    # Written again within that second, with the same date.
    file.content = with_bytes(CONTENT, SIZE // 2, b"other")
    assert_read(reader.read(), file.content)


def test_a_date_that_is_the_time_of_each_response_proves_nothing(reader: Reader) -> None:
    file = reader.origin.files[PATH]
    file.etag = None
    file.before = lambda _: setattr(file, "last_modified", http_date(0))
    file.before(0)
    for _ in range(2):
        assert_read(reader.read(), CONTENT)


def test_fields_that_every_task_sends_alike_do_not_matter(reader: Reader) -> None:
    reader.origin.files[PATH].fields = (("Vary", "Accept-Encoding, User-Agent"),)
    first = reader.read()
    assert_reused(reader.read(), first)


def test_without_ranges_the_file_is_read_each_time(reader: Reader) -> None:
    reader.origin.files[PATH].ranges = False
    for _ in range(2):
        assert_read(reader.read(), CONTENT)


def test_a_server_whose_ranges_begin_elsewhere_is_not_believed(reader: Reader) -> None:
    first = reader.read()
    file = reader.origin.files[PATH]
    file.block = SIZE
    sent = reader.origin.sent[PATH]
    assert_read(reader.read(), CONTENT)
    assert reader.origin.sent[PATH] - sent < 3 * SIZE
    file.block = 1
    assert_reused(reader.read(), first)


@pytest.mark.parametrize("status", [400, 403, 416, 500, 501])
def test_refused_ranges_prove_nothing(reader: Reader, status: int) -> None:
    reader.read()
    file = reader.origin.files[PATH]
    file.range_status = status
    task = reader.read()
    assert_read(task, CONTENT)


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_that_may_pass_is_waited_out(reader: Reader, status: int) -> None:
    first = reader.read()
    file = reader.origin.files[PATH]
    file.range_refusals = [status]
    task = reader.read()
    assert_reused(task, first)
    assert reader.origin.whole(PATH) == 1


def test_a_gone_file_is_not_reported_as_known(reader: Reader) -> None:
    reader.read()
    reader.origin.files[PATH].gone = True
    task = reader.read()
    assert (task.status, task.error and task.error.code) == (Status.FAILED, FailureCode.HTTP)


def test_ranges_without_the_validators_prove_nothing(reader: Reader) -> None:
    file = reader.origin.files[PATH]
    reader.read()
    file.bare_ranges = True
    task = reader.read()
    assert (task.md5, task.reused_at) == (hashlib.md5(CONTENT).hexdigest(), None)


def test_contents_that_take_turns_under_one_etag_are_never_confused(reader: Reader) -> None:
    """The tail is the guard: each response begins another content."""
    file = reader.origin.files[PATH]
    turns = [CONTENT, OTHER]

    def turn(at: int) -> None:
        if at == 0:
            file.content = turns[len(reader.origin.requests) % 2]

    for _ in range(6):
        file.content = turns[0]
        file.before = lambda _: None
        assert_read(reader.read(fresh=True), turns[0])
        turns.reverse()
        file.content = turns[0]
        file.before = turn
        task = reader.read()
        assert task.reused_at is None
        assert task.status is Status.FAILED or task.md5 in {hashlib.md5(content).hexdigest() for content in turns}


def test_each_edge_with_its_own_etag_is_a_version_of_its_own(reader: Reader) -> None:
    edges = ['"a"', '"b"']
    file = reader.origin.files[PATH]
    first = {}
    for edge in edges:
        file.etag = edge
        first[edge] = reader.read()
        assert_read(first[edge], CONTENT)
    for edge in reversed(edges):
        file.etag = edge
        assert_reused(reader.read(), first[edge])


def test_an_etag_of_each_response_is_never_known(reader: Reader) -> None:
    file = reader.origin.files[PATH]
    file.etag_per_response = True
    for _ in range(2):
        assert reader.read().reused_at is None


def test_redirects_to_another_file_are_another_version(reader: Reader) -> None:
    """Two mirrors may agree in length and date while one of them is damaged in the middle."""
    files = reader.origin.files
    files["/a/f.bin"] = Resource(CONTENT, etag=None)
    files["/b/f.bin"] = Resource(with_bytes(CONTENT, SIZE // 2, b"damaged"), etag=None)
    files["/go"] = Resource(b"", location="/a/f.bin")
    first = reader.read("/go")
    assert_read(first, CONTENT)
    files["/go"].location = "/b/f.bin"
    assert_read(reader.read("/go"), files["/b/f.bin"].content)
    files["/go"].location = "/a/f.bin"
    assert_reused(reader.read("/go"), first)


def test_a_redirect_with_another_signature_is_the_same_file(reader: Reader) -> None:
    files = reader.origin.files
    for number in range(2):
        files[f"/a/f.bin?signature={number}"] = Resource(CONTENT)
    files["/go"] = Resource(b"", location="/a/f.bin?signature=0")
    first = reader.read("/go")
    files["/go"].location = "/a/f.bin?signature=1"
    task = reader.read("/go")
    assert_reused(task, first)
    assert task.representation
    # Its own redirect, not the one that was signed for the first task.
    assert task.representation.final_url.endswith("?signature=1")


def test_a_submitted_signature_is_a_file_of_its_own(reader: Reader) -> None:
    files = reader.origin.files
    for number in range(2):
        files[f"/f.bin?signature={number}"] = Resource(CONTENT)
        assert_read(reader.read(f"/f.bin?signature={number}"), CONTENT)


def test_a_digest_that_was_not_confirmed_is_not_reused(reader: Reader) -> None:
    """The origin serves each link once."""
    file = reader.origin.files[PATH]
    for _ in range(2):
        file.gone_after_first = True
        reader.origin.requests.clear()
        task = reader.read()
        assert_read(task, CONTENT)
        assert task.representation
        assert UNCONFIRMED in task.representation.notes


def test_a_file_that_changes_while_it_is_read_leaves_no_result(reader: Reader) -> None:
    file = reader.origin.files[PATH]

    def replace_it(at: int) -> None:
        if at >= SIZE // 2:
            file.etag, file.content, file.before = '"v2"', OTHER, lambda _: None

    file.before = replace_it
    first = reader.read()
    assert_read(first, OTHER)
    file.etag, file.content = '"v1"', CONTENT
    assert_read(reader.read(), CONTENT)


def test_the_result_is_kept_as_long_as_a_task(reader: Reader) -> None:
    first = reader.read()
    days = reader.deps.settings.task_ttl_days
    reader.skipped += (days - 1) * DAY
    task = reader.read()
    assert task.reused_at == pytest.approx(first.finished_at, abs=1.0)
    reader.skipped += DAY
    assert_read(reader.read(), CONTENT)
