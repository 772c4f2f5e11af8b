"""What a response says about the file, from the socket to ``Body.representation``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.origin.conftest import client, read_all
from tests.support.origin_server import answers, head
from urlsum.task import Checkpoint, Proof

if TYPE_CHECKING:
    from tests.integration.origin.conftest import Serve
    from tests.support.origin_server import Request, Steps
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
