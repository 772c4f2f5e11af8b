"""What a response says about the file, from the socket to ``Body.representation``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.origin.conftest import client, read_all
from tests.support.origin.origin_server import answers, head
from urlsum.task import Checkpoint, Proof, Task
from urlsum.text import remarks

if TYPE_CHECKING:
    from tests.integration.origin.conftest import Serve
    from tests.support.origin.origin_server import Request, Steps
    from urlsum.task import Representation

CONTENT = bytes(range(256)) * 1000


def described(serve: Serve, *fields: str, path: str = "/file") -> Representation:
    raw = "\r\n".join(["HTTP/1.1 200 OK", "Content-Length: 2", *fields, "", ""]).encode("latin-1", "surrogateescape")
    with client().open(serve(answers([raw, b"ok"])).url(path)) as body:
        assert read_all(body) == b"ok"
        return body.representation


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ('Content-Disposition: attachment; filename="reads.bam"', "reads.bam"),
        ("Content-Disposition: attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe.bam", "größe.bam"),
        ('Content-Disposition: attachment; filename="gr\xf6\xdfe.bam"', "größe.bam"),  # Latin-1 on the wire
        ('Content-Disposition: attachment; filename="gr\xc3\xb6\xc3\x9fe.bam"', "größe.bam"),  # UTF-8 on the wire
        ("X-Other: 1", "file"),
    ],
)
def test_the_name_is_that_of_the_response(serve: Serve, field: str, name: str) -> None:
    assert described(serve, field).name == name


def partial(request: Request, content: bytes, *fields: str, end: int | None = None) -> Steps:
    first, _, last = request.fields["range"].removeprefix("bytes=").partition("-")
    end = end or min(int(last or len(content)) + 1, len(content))
    part = content[int(first) : end]
    span = f"Content-Range: bytes {first}-{end - 1}/{len(content)}"
    return [head("206 Partial Content", *fields, span, f"Content-Length: {len(part)}"), part]


@pytest.mark.parametrize("path", ["/api/files/reads.bam/content", "/reads.bam/download", "/reads.bam?download=1"])
def test_without_a_content_disposition_the_url_has_it(serve: Serve, path: str) -> None:
    assert described(serve, path=path).name == "reads.bam"


@pytest.mark.parametrize(
    ("fields", "proof"),
    [
        (['ETag: "v1"', "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"], Proof.ETAG),
        (['ETag: W/"v1"', "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"], Proof.LAST_MODIFIED),
        (["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"], Proof.LAST_MODIFIED),
        (['ETag: W/"v1"'], Proof.LENGTH),
        ([], Proof.LENGTH),
    ],
)
def test_the_proof_is_the_strongest_validator(serve: Serve, fields: list[str], proof: Proof) -> None:
    assert described(serve, *fields).proof == proof


def test_two_types_cost_the_type_and_not_the_file(serve: Serve) -> None:
    known = described(serve, "Content-Type: text/html", "Content-Type: text/plain", "Content-Disposition: attachment")
    assert (known.content_type, known.notes) == (None, ())


def test_the_response_after_the_redirects_counts(serve: Serve) -> None:
    def script(request: Request) -> Steps:
        if request.path.startswith("/storage"):
            return [head("200 OK", "Content-Type: text/html", "Content-Length: 2"), b"ok"]
        disposed = 'Content-Disposition: attachment; filename="not.this"'
        return [head("302 Found", "Location: /storage/reads.bam?Signature=s", disposed, "Content-Length: 0")]

    origin = serve(script)
    with client().open(origin.url("/reads/42")) as body:
        read_all(body)
        known = body.representation
    assert known.final_url == origin.url("/storage/reads.bam?Signature=s")
    assert (known.name, known.content_type, known.notes) == ("reads.bam", "text/html", ("web-page",))


def test_a_partial_response_without_the_facts_is_completed_by_the_first_one(serve: Serve) -> None:
    validator = 'ETag: "v1"'

    def script(request: Request) -> Steps:
        if "range" not in request.fields:
            fields = (validator, "Content-Type: text/html", 'Content-Disposition: inline; filename="a.bam"')
            return [head("200 OK", *fields, f"Content-Length: {len(CONTENT)}"), CONTENT[:200_000]]
        first, _, last = request.fields["range"].removeprefix("bytes=").partition("-")
        rest = CONTENT[int(first) : int(last or len(CONTENT) - 1) + 1]
        span = f"Content-Range: bytes {first}-{int(first) + len(rest) - 1}/{len(CONTENT)}"
        return [head("206 Partial Content", validator, span, f"Content-Length: {len(rest)}"), rest]

    url = serve(script).url("/download")
    with client().open(url) as body:
        read = 0
        while read < 128_000:
            read += len(body.read())
        first, checkpoint = body.representation, Checkpoint(read, b"", body.validator)
    with client().open(url, resume=checkpoint) as body:
        read_all(body)
        later = body.representation
    assert (later.name, later.content_type, later.notes) == ("download", None, ())
    assert later.filled_from(first) == first
    assert (first.name, first.content_type, first.notes) == ("a.bam", "text/html", ("web-page",))


PAGE = b"<!doctype html><title>Sign in</title>" + b" " * 300_000


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("length", [37, 65_536, 300_037])
def test_a_page_without_a_type_is_found_in_any_framing(serve: Serve, length: int, chunked: bool) -> None:
    page = PAGE[:length]
    framed = b"%x\r\n%s\r\n0\r\n\r\n" % (length, page) if chunked else page
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"

    def script(request: Request) -> Steps:
        if "range" in request.fields:
            return partial(request, page, 'ETag: "v1"')
        return [head("200 OK", framing, 'ETag: "v1"'), framed]

    with client().open(serve(script).url("/reads.bam")) as body:
        assert read_all(body) == page
        assert body.representation.notes == ("web-page",)


def test_a_page_is_known_before_its_end_and_not_from_its_middle(serve: Serve) -> None:
    def script(request: Request) -> Steps:
        if "range" in request.fields:
            return partial(request, PAGE, 'ETag: "v1"')
        return [head("200 OK", f"Content-Length: {len(PAGE)}", 'ETag: "v1"'), PAGE]

    url = serve(script).url("/reads.bam")
    with client().open(url) as body:
        read = 0
        while read < 128_000:
            read += len(body.read())
        checkpoint, first = Checkpoint(read, b"", body.validator), body.representation
    assert first.notes == ("web-page",)
    with client().open(url, resume=checkpoint) as body:
        read_all(body)
        assert body.representation.notes == ()
        assert body.representation.filled_from(first).notes == ("web-page",)


def test_the_first_response_of_a_body_has_the_facts(serve: Serve) -> None:
    """A 206 that brings less than was asked for is followed by one without the facts (RFC 9110, 15.3.7)."""
    content = CONTENT * 12  # more than one read brings
    facts = ('ETag: "v1"', "Content-Type: text/plain", 'Content-Disposition: inline; filename="a.bam"')

    def script(request: Request) -> Steps:
        if "range" not in request.fields:
            return [head("200 OK", *facts, f"Content-Length: {len(content)}"), content]
        if request.fields["range"].endswith("-") and len(origin.requests) <= 2:
            return partial(request, content, *facts, end=2_000_000)
        return partial(request, content, 'ETag: "v1"')

    origin = serve(script)
    url = origin.url("/download")
    with client().open(url) as body:
        read = 0
        while read < 128_000:
            read += len(body.read())
        checkpoint = Checkpoint(read, b"", body.validator)
    with client().open(url, resume=checkpoint) as body:
        assert read_all(body) == content[read:]
        known = body.representation
    assert len(origin.requests) > 4
    assert (known.name, known.content_type, known.etag, known.proof) == ("a.bam", "text/plain", '"v1"', Proof.ETAG)


@pytest.mark.parametrize(
    ("first", "later", "code"),
    [
        (['ETag: "v1"'], [], "unconfirmed-validator"),
        (['ETag: "v1"'], ['ETag: W/"v1"'], "unconfirmed-validator"),
        (["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"], [], "unconfirmed-validator"),
        (['ETag: W/"v1"'], [], "weak-validator"),
        ([], [], "no-validator"),
        (['ETag: "v1"'], ['ETag: "v1"'], None),
        (["Last-Modified: Fri, 01 Jan 1960 00:00:00 GMT"], ["Last-Modified: Fri, 01 Jan 1960 00:00:00 GMT"], None),
    ],
)
def test_a_validator_that_the_server_does_not_repeat_is_unconfirmed(
    serve: Serve, first: list[str], later: list[str], code: str | None
) -> None:
    def script(request: Request) -> Steps:
        if "range" in request.fields:
            return partial(request, CONTENT, *later)
        fields = later if request.connection else first
        return [head("200 OK", *fields, f"Content-Length: {len(CONTENT)}"), CONTENT]

    url = serve(script).url("/reads.bam")
    with client().open(url) as body:
        assert read_all(body) == CONTENT
        known = body.representation
    task = Task(id="t", url=url, created_at=0, updated_at=0, expires_at=0)
    task = task.done("0" * 32, len(CONTENT), 1, representation=known)
    assert [note.code for note in remarks.notes(task)] == ([code] if code else [])
