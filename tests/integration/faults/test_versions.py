"""Files that change while they are read: one version's digest, or ``changed``, and never a mixture."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.faults import half, healthy
from tests.support.origin.origin_server import File, Request, Script, Steps, head
from tests.support.origin.task_runner import Worker
from urlsum.errors import FailureCode
from urlsum.worker.retry import MAX_RESTARTS

if TYPE_CHECKING:
    from tests.integration.origin.conftest import Serve

CONTENT = random.Random(4).randbytes(300_000)
OTHER = random.Random(5).randbytes(300_000)
LATER = "Mon, 07 Nov 1994 08:49:37 GMT"


def md5(file: File) -> str:
    return hashlib.md5(file.content).hexdigest()


def cut(request: Request, file: File) -> Steps:
    answer, right = healthy(request, file)
    return [answer, half(right)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (File(CONTENT), File(OTHER, etag='"v2"')),
        (File(CONTENT), File(OTHER)),  # the ETag lies
        (File(CONTENT, etag='W/"v1"'), File(OTHER, etag='W/"v2"')),
        (File(CONTENT, etag='W/"v1"'), File(OTHER, etag='W/"v1"', last_modified=LATER)),
        (File(CONTENT, etag=None), File(OTHER, etag=None, last_modified=LATER)),
        (File(CONTENT, etag=None), File(OTHER, etag=None)),  # changed within the second
        (File(CONTENT, etag=None, last_modified=None), File(OTHER, etag=None, last_modified=None)),
        (File(CONTENT), File(CONTENT + b"more", etag='"v2"')),  # it grows, as logs do
        (File(CONTENT), File(CONTENT + b"more")),
        (File(CONTENT, etag=None), File(CONTENT + b"more", etag=None)),
        (File(CONTENT), File(OTHER[:1000], etag='"v2"')),  # shorter than the offset: 416, with the smaller total
        (File(CONTENT, etag=None), File(OTHER[:1000], etag=None)),
        (File(CONTENT, etag=None), File(CONTENT[:160_000], etag=None)),
        (File(CONTENT, ranges=False), File(OTHER, ranges=False, etag='"v2"')),
        (File(CONTENT, ranges=False, etag=None), File(OTHER, ranges=False, etag=None)),
        (File(CONTENT, chunked=True, ranges=False), File(OTHER[:1000], chunked=True, ranges=False)),
        (File(CONTENT), File(b"", etag='"v2"')),
    ],
)
def test_a_file_that_changes_once_is_read_again(serve: Serve, before: File, after: File) -> None:
    origin = serve(lambda request: after(request) if request.connection else cut(request, before))
    task = Worker().run(origin.url())
    assert (task.status, task.md5, task.size) == ("done", md5(after), len(after.content))
    assert task.restarts == 1


def always_another(*, etags: bool) -> Script:
    """A new version of the file at every request, each cut half-way."""

    def script(request: Request) -> Steps:
        content = random.Random(request.connection).randbytes(300_000)
        return cut(request, File(content, etag=f'"v{request.connection}"' if etags else None, last_modified=None))

    return script


@pytest.mark.parametrize("etags", [True, False])
def test_a_file_that_never_stays_the_same_has_no_digest(serve: Serve, *, etags: bool) -> None:
    task = Worker().run(serve(always_another(etags=etags)).url())
    assert task.error is not None
    assert (task.error.code, task.md5, task.restarts) == (FailureCode.CHANGED, None, MAX_RESTARTS)


@pytest.mark.parametrize("etags", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
def test_two_back_ends_that_disagree_and_cut_have_no_digest(serve: Serve, *, etags: bool, ranges: bool) -> None:
    files = [File(CONTENT, ranges=ranges), File(OTHER, etag='"v2"', ranges=ranges)]
    if not etags:
        files = [replace(file, etag=None, last_modified=None) for file in files]
    task = Worker().run(serve(lambda request: cut(request, files[request.connection % 2])).url())
    assert task.error is not None
    # The one that was begun may be found again, but not to its end.
    assert task.error.code in {FailureCode.CHANGED, FailureCode.INCOMPLETE}
    assert task.md5 is None


def test_two_back_ends_that_disagree_and_are_whole_give_one_of_the_two(serve: Serve) -> None:
    files = [File(CONTENT), File(OTHER, etag='"v2"')]

    def script(request: Request) -> Steps:
        file = files[request.connection % 2]
        return cut(request, file) if request.connection == 0 else file(request)

    task = Worker().run(serve(script).url())
    assert task.md5 in {md5(file) for file in files}


def test_a_total_that_shrinks_in_a_416_is_another_version(serve: Serve) -> None:
    before, after = File(CONTENT), File(OTHER[:100_000])

    def script(request: Request) -> Steps:
        if request.connection == 0:
            return cut(request, before)
        if "range" in request.fields:
            return [head("416 Range Not Satisfiable", "Content-Range: bytes */100000", "Content-Length: 0")]
        return after(request)

    task = Worker().run(serve(script).url())
    assert (task.md5, task.restarts) == (md5(after), 1)
