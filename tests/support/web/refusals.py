"""Checks the form of every refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.web.clients import Answer


def refused(answer: Answer, status: int, kind: str, field: str | None = None) -> str:
    """Check that ``answer`` is the named problem, complete and well-formed; return its detail."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["vary"] == "Accept"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"} | ({"field"} if field else set()) | (
        {"suggestion"} & set(problem)
    )
    assert (problem["type"], problem["status"]) == (f"urn:urlsum:problem:{kind}", status)
    assert problem.get("field") == field
    detail = str(problem["detail"])
    assert detail.isprintable()
    # A sentence, even if the text comes from a lower layer. A quotation may end in a colon or an ellipsis.
    assert detail.endswith((".", ":", "…", "?")), detail
    assert detail.startswith("urlsum") or not detail[0].islower(), detail
    return detail
