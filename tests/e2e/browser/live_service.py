"""A real server whose tasks the test advances itself, and a record of the requests of the page."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.integration.web.conftest import MD5, NOW, SIZE, Backend, changed, stored
from tests.support.stores.memory import MemoryTaskTable, secret
from tests.support.web.clients import served
from urlsum.errors import FailureCode
from urlsum.mail.suppression import Reason, link, suppress
from urlsum.task import Checkpoint, Failure, Representation
from urlsum.worker import reuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from urlsum.task import Task

URL = "https://data.example.org/releases/2026-11/NA12878.wgs.hg38.bam"
OTHER = "0" * 32
# The time that page and server may need on a busy machine, besides the measured time.
SLACK_SECONDS = 3.0


@dataclass(frozen=True)
class PageRequest:
    """One request for a task: its time, the time of the response, and the seconds of Retry-After.

    ``answered`` is before the first byte is sent, so no visitor can have had the answer any sooner.
    """

    at: float
    answered: float
    target: str
    page: bool
    status: int
    retry_after: int | None


@dataclass
class Recorder:
    """Records every request to ``app``. While ``lost`` is set, a proxy answers and no request reaches ``app``."""

    app: ASGIApp
    asked: list[PageRequest] = field(default_factory=list)
    lost: bool = False
    lost_status: int = 502
    lost_headers: dict[str, str] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        at, started = time.monotonic(), dict[str, Any]()

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.update(message, answered=time.monotonic())
            await send(message)

        if self.lost:
            headers = [(name.lower().encode(), value.encode()) for name, value in self.lost_headers.items()]
            await note({"type": "http.response.start", "status": self.lost_status, "headers": headers})
            await note({"type": "http.response.body", "body": b"a proxy's own words"})
        else:
            await self.app(scope, receive, note)
        sent = {name.decode().lower(): value.decode() for name, value in started["headers"]}
        accept = dict(scope["headers"]).get(b"accept", b"")
        self.asked.append(
            PageRequest(
                at=at,
                answered=started["answered"],
                target=scope["path"] + "?" + scope["query_string"].decode(),
                page=accept.startswith(b"text/html"),
                status=started["status"],
                retry_after=int(sent["retry-after"]) if sent.get("retry-after", "").isdecimal() else None,
            )
        )


@dataclass
class LiveService:
    """A served backend whose clock and tasks the test moves."""

    backend: Backend
    table: MemoryTaskTable
    recorder: Recorder
    base: str

    def page(self, task: Task) -> str:
        return f"{self.base}/check?id={task.id}"

    def age(self, seconds: float) -> None:
        """Set the age of the tasks in seconds: Retry-After is a tenth of it."""
        self.backend.clock.now = NOW + seconds

    def queued(self, url: str = URL, **fields: Any) -> Task:
        return stored(self.backend, url=url, **fields)

    def claimed(self, task: Task | None = None, **fields: Any) -> Task:
        before = task or self.queued(**fields)
        return changed(self.backend, before, before.claimed(self.backend.clock(), 90))

    def hashed(self, task: Task, percent: int, rate: float = 104857600.4) -> Task:
        """``task`` with its next checkpoint; the rate is 100 MiB/s."""
        point = Checkpoint(offset=SIZE * percent // 100, md5_state=b"\0" * 29, validator="")
        now = self.backend.clock()
        after = task.checkpointed(point, size=SIZE, rate=rate, now=now, lease_seconds=90)
        return changed(self.backend, task, after)

    def running(self, percent: int = 42, **fields: Any) -> Task:
        return self.hashed(self.claimed(**fields), percent)

    def resumed(self, **fields: Any) -> Task:
        half = self.running(**fields)
        return self.hashed(self.claimed(changed(self.backend, half, half.released(self.backend.clock()))), 55)

    def begun_again(self, task: Task | None = None) -> Task:
        before = task or self.running()
        return changed(self.backend, before, before.restarted(self.backend.clock()))

    def retrying(self, task: Task | None = None, delay: float = 30) -> Task:
        before = task or self.running()
        failure = Failure(FailureCode.INCOMPLETE, f"{URL}: 203.0.113.9 closed the connection 406.0 MiB before the end")
        return changed(self.backend, before, before.retried(failure, self.backend.clock(), delay=delay))

    def following(self) -> tuple[Task, Task]:
        """A task that reads a file, and one that waits for its reading."""
        services, key = self.backend.services(), str(uuid.uuid4())
        claimed = [
            changed(self.backend, task, replace(task, file_key=key)) for task in (self.claimed(), self.claimed())
        ]
        found = [reuse.announced(task, services) for task in claimed]
        assert isinstance(found[1], reuse.Wait)
        follower = claimed[1].waiting(self.backend.clock(), delay=found[1].seconds)
        return self.hashed(claimed[0], 42), changed(self.backend, claimed[1], follower)

    def done(self, task: Task | None = None, **fields: Any) -> Task:
        before = task or self.claimed(**fields)
        return changed(self.backend, before, before.done(MD5, SIZE, NOW + 7))

    def noted(self) -> Task:
        """A done task with every note: a web page reached by a redirect, from a server without validators."""
        known = Representation(
            name="an-archive-with-quite-a-long-name-2026-11-05.tar.gz",
            final_url=f"https://login.example.org/{'sign-in/' * 12}?ticket=secret",
            content_type="application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            last_modified=NOW - 86400,
            notes=("web-page", "transformed", "content-encoding"),
        )
        before = self.claimed()
        return changed(self.backend, before, before.done(MD5, 0, NOW + 7, representation=known))

    def failed(self, code: FailureCode = FailureCode.HTTP, **fields: Any) -> Task:
        before = self.claimed(**fields)
        return changed(self.backend, before, before.failed(Failure(code, f"{URL}: no luck"), NOW + 7))

    def cancelled(self) -> Task:
        before = self.queued()
        return changed(self.backend, before, before.cancelled(NOW + 7))

    def every_page(self) -> dict[str, str]:
        """The URL of every kind of page, by a name for it."""
        tasks = {
            "waiting": self.queued(),
            "connecting": self.claimed(),
            "running": self.running(),
            "resumed": self.resumed(),
            "begun-again": self.begun_again(),
            "retrying": self.retrying(),
            "done": self.done(),
            "noted": self.noted(),
            "match": self.done(expected_md5=MD5),
            "mismatch": self.done(expected_md5=OTHER),
            "failed": self.failed(expected_md5=MD5),
            "failed-signed": self.failed(url=f"{URL}?X-Amz-Signature=secret", expected_md5=MD5),
            "cancelled": self.cancelled(),
            "following": self.following()[1],
        }
        asked, told = (link(secret, address, "") for address in ("anna@example.org", "berta@example.org"))
        suppress(self.backend.records, "berta@example.org", Reason.UNSUBSCRIBED, NOW)
        paths = {
            "unsubscribe": asked,
            "unsubscribed": told,
            "form": "/",
            "unknown": "/check?id=1",
            "nowhere": "/nowhere",
            "cancel": f"/check?id={self.running().id}&cancel=ask",
            "prefilled": f"/?url={URL}&md5={MD5}",
        }
        return {name: self.base + path for name, path in paths.items()} | {
            name: self.page(task) for name, task in tasks.items()
        }


@contextmanager
def live_service() -> Iterator[LiveService]:
    table = MemoryTaskTable()
    backend = Backend(table)
    recorder = Recorder(backend.app())
    with served(recorder, dates=False) as server:
        yield LiveService(backend, table, recorder, f"http://localhost:{server.port}")


def with_url(service: LiveService, task: Task, url: str) -> Task:
    """``task``, as if it had been submitted with a URL that the guard blocks."""
    return changed(service.backend, task, replace(task, url=url))
