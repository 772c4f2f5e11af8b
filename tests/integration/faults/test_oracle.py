"""No oracle: a name whose addresses are refused cannot be told from a name that does not exist.

The same URL is worked on twice, in two networks: in one of them the name leads inside, in the other there is none. All
that a stranger sees must be equal: every state that is written, how often it is tried, and the email.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.origin_server import File, answers, head
from tests.support.origin.task_runner import Worker, patient
from urlsum.errors import FailureCode
from urlsum.mail.message import compose
from urlsum.text.redact import public_failure
from urlsum.web.responses import activity

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.origin.conftest import Serve
    from tests.support.origin.origin_server import Request, Steps
    from urlsum.task import Task

CONTENT = bytes(range(256)) * 1024
INSIDE = "inside.example.org"


def cut(request: Request) -> Steps:
    """The first half of the file; the rest must be requested over a new connection."""
    whole = File(CONTENT)(request)
    return [whole[0], CONTENT[: len(CONTENT) // 2]]


def looked_up(found: list[str] | OSError, *, after: int) -> Callable[[str], list[str]]:
    """A resolver that finds the origin for the first ``after`` look-ups of the name, and then ``found``."""
    left = [after]

    def resolve(host: str) -> list[str]:
        if host.removesuffix(".") != INSIDE:
            return ["127.0.0.1"]
        left[0] -= 1
        if left[0] >= 0:
            return ["127.0.0.1"]
        if isinstance(found, OSError):
            raise found
        return found

    return resolve


def seen(task: Task) -> tuple[object, ...]:
    """What /check shows of a state, but for its times."""
    failure = public_failure(task.error, task.url) if task.error else None
    return task.status, failure, activity(task, task.updated_at), task.offset, task.size, task.restarts, task.attempts


def known(worker: Worker, url: str) -> tuple[list[tuple[object, ...]], int, str]:
    """All that a stranger gets to know of a task of ``url``."""
    task = replace(worker.run(url), email="somebody@example.org", finished_at=0.0, created_at=0.0)
    email = str(compose(task, public_url=None))
    return [seen(written) for written in worker.table.writes], len(worker.delays), email


@pytest.mark.parametrize(
    "found",
    [["10.0.0.1"], ["8.8.8.8", "169.254.169.254"], ["fd00::1"], ["64:ff9b::10.0.0.1"], ["9.9.9.9"]],
    ids=["private", "mixed", "IPv6", "NAT64", "denied"],
)
@pytest.mark.parametrize("way", ["name", "redirect", "redirect of a range", "reconnect"])
def test_oracle_a_refused_address_looks_like_a_name_that_does_not_exist(
    serve: Serve, found: list[str], way: str
) -> None:
    redirect = [head("302 Found", f"Location: http://{INSIDE}/", "Content-Length: 0")]
    scripts = {
        "name": answers([]),
        "redirect": lambda request: redirect,
        "redirect of a range": lambda request: redirect if "range" in request.fields else cut(request),
        "reconnect": cut,
    }
    missing = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    origin, ends = serve(scripts[way]), []
    for answer in (found, missing):
        url = f"http://files.example.org:{origin.port}/" if "redirect" in way else f"http://{INSIDE}:{origin.port}/"
        worker = Worker(
            patient(blocked_hosts="9.9.9.9"), resolve=looked_up(answer, after=1 if way == "reconnect" else 0)
        )
        states, waits, email = known(worker, url)
        assert waits > 0
        failure = worker.task.error
        assert failure is not None
        # The operator sees which it was. A range that leads astray is requested as a whole file instead.
        own = FailureCode.DNS if answer is missing else FailureCode.BLOCKED
        assert failure.code == (FailureCode.INCOMPLETE if way == "redirect of a range" else own)
        ends.append((states, waits, email))
    assert ends[0] == ends[1]
