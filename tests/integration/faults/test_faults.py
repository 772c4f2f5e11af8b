"""Every fault through the whole job: the right digest or the exact failure code, and nothing else ever."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.integration.origin.conftest import server_context
from tests.support.origin.faults import FAULTS, Fault, healthy, spread
from tests.support.origin.origin_server import LAST_CHUNK, File, Request, Steps, answers, chunk, head
from tests.support.origin.task_runner import Worker, patient

if TYPE_CHECKING:
    from pathlib import Path

    import trustme

    from tests.integration.origin.conftest import Serve
    from urlsum.task import Task

CONTENT = random.Random(4).randbytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
# Where TLS has its own way to end, to hang and to reset. The other faults are made of bytes, which it does not touch.
OVER_TLS = [
    fault
    for fault in FAULTS
    if fault.name.startswith(
        ("half", "all but", "head only", "no last", "empty", "reset", "never", "stalls", "one byte")
    )
]


@dataclass
class Faulty:
    """Serves ``file`` with faulty answers: only the first one, or ``always``.

    With ``cut`` there is a good one before, cut half-way, so that the fault comes after a checkpoint.
    """

    fault: Fault
    always: bool
    cut: bool
    file: File = field(default_factory=lambda: File(CONTENT))
    count: int = 0

    def __call__(self, request: Request) -> Steps:
        number, self.count = self.count - self.cut, self.count + 1
        if number < 0:
            answer, right = healthy(request, self.file)
            return [answer, right[: len(right) // 2]]
        if number == 0 or self.always:
            return self.fault.spoil(request, self.file)
        return self.file(request)


def outcome(task: Task) -> str:
    if task.error is not None:
        assert task.md5 is None
        return task.error.code
    assert (task.md5, task.size) == (MD5, len(CONTENT))
    return task.status


WAYS = [
    ("at the start-always", True, False),
    ("at the start-once", False, False),
    ("after a checkpoint-always", True, True),
    ("after a checkpoint-once", False, True),
]


@pytest.mark.parametrize(
    ("fault", "always", "cut"),
    [
        pytest.param(*fault.values, always, cut, id=f"{name}-{fault.id}", marks=fault.marks)
        for (name, always, cut), faults in zip(WAYS, spread(len(WAYS)), strict=True)
        for fault in faults
    ],
)
def test_a_fault_ends_as_it_should(serve: Serve, fault: Fault, *, always: bool, cut: bool) -> None:
    task = Worker().run(serve(Faulty(fault, always, cut)).url())
    assert outcome(task) == fault.expected(always=always, resumed=cut)


@pytest.mark.parametrize("fault", OVER_TLS, ids=[fault.name for fault in OVER_TLS])
@pytest.mark.parametrize(
    ("always", "cut"), [(True, False), (False, True)], ids=["always, at the start", "once, after a checkpoint"]
)
def test_a_fault_over_tls_ends_alike(
    serve: Serve, authority: trustme.CA, ca_file: Path, fault: Fault, *, always: bool, cut: bool
) -> None:
    context = server_context(authority.issue_cert("127.0.0.1"))
    origin = serve(Faulty(fault, always, cut), tls=context)
    task = Worker(patient(ssl_cert_file=ca_file)).run(origin.url())
    assert outcome(task) == fault.expected(always=always, resumed=cut)


@pytest.mark.parametrize(
    "file",
    [
        File(CONTENT),
        File(CONTENT, etag='W/"v1"'),
        File(CONTENT, etag=None),
        File(CONTENT, etag=None, last_modified=None),
        File(CONTENT, chunked=True),
        File(CONTENT, ranges=False),
        File(CONTENT, ranges=False, chunked=True, etag=None, last_modified=None),
    ],
    ids=["strong", "weak", "date", "nothing", "chunks", "no ranges", "nothing at all"],
)
@pytest.mark.parametrize(
    "name", ["half, RST", "stalls half-way", "status 503", "half a head", "416 for all that is asked"]
)
def test_whatever_tells_the_version_a_fault_costs_no_more_than_a_try(serve: Serve, file: File, name: str) -> None:
    [fault] = [fault for fault in FAULTS if fault.name == name]
    task = Worker().run(serve(Faulty(fault, always=False, cut=True, file=file)).url())
    assert outcome(task) == "done"
    assert task.restarts == 0


@pytest.mark.parametrize(
    "steps",
    [
        [head("200 OK", "Content-Length: 0")],
        [head("200 OK", "Content-Length: 0", "Content-Encoding: gzip")],
        [head("200 OK", "Content-Length: 000")],
        [head("200 OK", "Content-Length: 0", 'ETag: "d41d8"', "Accept-Ranges: bytes")],
        [head("200 OK", "Transfer-Encoding: chunked"), LAST_CHUNK],
        [head("200 OK", "Transfer-Encoding: chunked"), b"000;x=y\r\nX-Trailer: z\r\n\r\n"],
        [head("200 OK", "Content-Length: 0").replace(b"1.1", b"1.0")],
        [head("200 OK", "Content-Length: 0"), b"more than nothing"],
    ],
)
def test_an_empty_file_has_the_empty_digest_in_every_form(serve: Serve, steps: Steps) -> None:
    task = Worker().run(serve(answers(steps)).url())
    assert (task.status, task.md5, task.size) == ("done", "d41d8cd98f00b204e9800998ecf8427e", 0)


@pytest.mark.parametrize(
    "steps", [[head("200 OK")], [head("200 OK", "Connection: close")], [head("200 OK").replace(b"1.1", b"1.0")]]
)
def test_an_empty_answer_without_framing_is_no_empty_file(serve: Serve, steps: Steps) -> None:
    assert outcome(Worker().run(serve(answers(steps)).url())) == "unverifiable"


# A bomb unpacks to a thousand times its size; nobody unpacks it here.
BOMB = bytes.fromhex("1f8b0800000000000203") + bytes(range(256)) * 40


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate, gzip", "identity"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_coding_that_was_not_asked_for_is_hashed_as_sent(serve: Serve, coding: str, framing: str) -> None:
    lines = [f"Content-Encoding: {coding}"]
    steps: Steps = (
        [head("200 OK", *lines, f"Content-Length: {len(BOMB)}"), BOMB]
        if framing == "length"
        else [head("200 OK", *lines, "Transfer-Encoding: chunked"), chunk(BOMB), LAST_CHUNK]
    )
    task = Worker().run(serve(answers(steps)).url())
    assert (task.md5, task.size) == (hashlib.md5(BOMB).hexdigest(), len(BOMB))


@pytest.mark.parametrize("lines", [[f"Content-Length: {len(CONTENT)}"], ["Transfer-Encoding: chunked"]])
def test_a_file_over_the_cap_is_refused_at_once(serve: Serve, lines: list[str]) -> None:
    origin = serve(answers([head("200 OK", *lines), chunk(CONTENT) * 10]))
    assert outcome(Worker(patient(max_bytes=100_000)).run(origin.url())) == "too_large"
    assert origin.connections == 1
