"""Kills a worker at a line of its code, and reports the fate of its task.

``python -m tests.support.processes.kill_points DIRECTORY SCENE WHICH`` runs a scene (see ``SCENES``) once to learn
which lines of urlsum it executes. Then it repeats the scene for each of them in a forked process that kills itself with
SIGKILL just before that line, and lets a sweep and another worker finish. It prints one JSON line for each kill. WHICH
is ``all``, ``ends`` (the first and the last execution of each line), or a number n (every n-th line). It runs in its
own process because forks need one without threads.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tests.support.origin.synthetic import Clock, SyntheticSource
from tests.support.stores.deps import Deps
from tests.support.stores.memory import secret
from urlsum import service, wiring
from urlsum.deadline import Deadline
from urlsum.errors import TaskNotFound
from urlsum.mail.outbox import OutboxMailer
from urlsum.origin.guard.guard import Guard
from urlsum.queues import decode
from urlsum.service import Submission
from urlsum.settings import Settings, load
from urlsum.task import Mail
from urlsum.worker.delivery import handle
from urlsum.worker.lease import LateClaims
from urlsum.worker.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from urlsum.queues import TaskQueue
    from urlsum.tables import Records, TaskTable

SOURCE = str(Path(service.__file__).parent)
# 31 pieces of a second each: three checkpoints. Large enough to be read once for several tasks.
PIECE = 20_000
CONTENT = bytes(range(256)) * 2400
URL = "https://origin.example/"
# A file that ends before its claim must be written.
SMALL = CONTENT[:PIECE]
FOREVER = 10**6


@dataclass
class TaskSetup:
    """The services and the source of one task, for a process that dies and its successor."""

    table: TaskTable
    records: Records
    queue: TaskQueue
    outbox: Path
    settings: Settings
    clock: Clock
    key: str
    content: bytes = CONTENT

    @property
    def _submission(self) -> Submission:
        return Submission(url=URL + self.key, email="reader@abc.ru", idempotency_key=self.key)

    @property
    def _of_reader(self) -> Submission:
        """The same file, submitted by somebody else."""
        return replace(self._submission, email=None, idempotency_key=f"{self.key}-reader")

    @property
    def id(self) -> str:
        return service._id(self._submission, secret)  # a dead submitter returns no id

    @property
    def reader_id(self) -> str:
        return service._id(self._of_reader, secret)

    def submit(self) -> str:
        return self._submitted(self._submission)

    def submit_reader(self) -> str:
        return self._submitted(self._of_reader)

    def _submitted(self, submission: Submission) -> str:
        return service.submit(
            submission,
            table=self.table,
            queue=self.queue,
            guard=Guard(self.settings),
            secret=secret,
            now=self.clock(),
            ttl_days=30,
        )

    def work(self, task_id: str, seconds: float = FOREVER, late: LateClaims | None = None) -> None:
        pause = 1.0 if self.content is CONTENT else 0.1
        source = SyntheticSource(self.content, self.clock, piece=PIECE, seconds=pause)
        mailer = OutboxMailer(self.outbox, "urlsum@example.org", clock=self.clock)
        deps = Deps(self.settings, self.table, source, self.clock, self.clock, self.queue, mailer, self.records)
        handle(task_id, deps, deadline=Deadline.after(seconds, clock=self.clock), late=late)

    def sweep(self) -> None:
        sweep(self.table, self.queue, now=self.clock(), settings=self.settings)

    def letters(self) -> int:
        return len(list(self.outbox.glob("*.eml")))


def _submit(setup: TaskSetup) -> None:
    setup.submit()


def _whole(setup: TaskSetup) -> None:
    """Claim, checkpoints, commit, mail, mark."""
    setup.work(setup.id)


def _late(setup: TaskSetup) -> None:
    """Read, claim and commit in one write, mail, mark."""
    setup.work(setup.id, late=LateClaims())


def _hand_over(setup: TaskSetup) -> None:
    """Claim, checkpoints, release, message to the next slice."""
    setup.work(setup.id, seconds=15)


def _sweep(setup: TaskSetup) -> None:
    """A sweep that finds a task whose message was lost."""
    setup.clock.now += 1000
    setup.sweep()


def _wait(setup: TaskSetup) -> None:
    """Claim, a look at the task that reads the file, release, message to the next look."""
    setup.work(setup.id)


def _reuse(setup: TaskSetup) -> None:
    """Claim, the result of another task, commit, mail, mark."""
    setup.work(setup.id)


def _half_read(setup: TaskSetup) -> None:
    setup.work(setup.submit_reader(), seconds=15)


def _read(setup: TaskSetup) -> None:
    setup.work(setup.submit_reader())


# What happens before a scene.
BEFORE: dict[Callable[[TaskSetup], None], Callable[[TaskSetup], None]] = {_wait: _half_read, _reuse: _read}

SCENES: dict[str, Callable[[TaskSetup], None]] = {
    "submit": _submit,
    "whole": _whole,
    "late": _late,
    "hand over": _hand_over,
    "sweep": _sweep,
    "wait": _wait,
    "reuse": _reuse,
}


class LineKiller:
    """Counts the executed lines of urlsum, and kills the process before the ``fatal``-th line."""

    def __init__(self, fatal: int | None = None) -> None:
        self.fatal = fatal
        self.lines: list[str] = []

    def run(self, scene: Callable[[TaskSetup], None], setup: TaskSetup) -> None:
        if scene in BEFORE:
            BEFORE[scene](setup)
        if scene is not _submit:
            setup.submit()
            for delivery in setup.queue.receive(10, wait=0):
                setup.queue.delete(delivery)
        sys.settrace(self._call)
        try:
            scene(setup)
        finally:
            sys.settrace(None)

    def _call(self, frame: FrameType, _event: str, _argument: object) -> Any:
        return self._line if frame.f_code.co_filename.startswith(SOURCE) else None

    def _line(self, frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line":
            if len(self.lines) == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            self.lines.append(f"{frame.f_code.co_filename.removeprefix(SOURCE)}:{frame.f_lineno}")
        return self._line


def forked(function: Callable[[], object]) -> Any:
    """The result of ``function`` in its own process; None if that was killed. Raises RuntimeError if it failed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.write(writer, json.dumps(function()).encode())
            status = 0
        except BaseException:  # noqa: BLE001 - the process ends without the interpreter
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        result = answer.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return None
    if status != 0:
        raise RuntimeError("a forked process failed, see standard error")
    return json.loads(result)


def finish(setup: TaskSetup) -> dict[str, Any]:
    """The outcome after a sweep and a healthy worker have continued the task of the dead process."""
    try:
        left = setup.table.get(setup.id)
    except TaskNotFound:
        return {"stored": False, "letters": setup.letters()}
    unnoted = left.mail is Mail.PENDING and setup.letters() > 0
    reader = None
    for _ in range(20):
        setup.clock.now += 1000
        setup.sweep()
        for delivery in setup.queue.receive(10, wait=0):
            if decode(delivery.body) in (setup.id, setup.reader_id):
                setup.work(decode(delivery.body))
            setup.queue.delete(delivery)
        task = setup.table.get(setup.id)
        with suppress(TaskNotFound):
            reader = setup.table.get(setup.reader_id)
        if task.due_at is None and (reader is None or reader.due_at is None):
            break
    return {
        "reader": reader and reader.status,
        "stored": True,
        "left": f"{left.status} {left.mail}",
        "unnoted": unnoted,
        "status": task.status,
        "right": task.md5 == SyntheticSource(setup.content, setup.clock).md5,
        "mail": task.mail,
        "letters": setup.letters(),
    }


def chosen(lines: list[str], which: str) -> list[int]:
    """The numbers of the lines at which the process dies."""
    match which:
        case "all":
            return list(range(len(lines)))
        case "ends":
            first = {line: at for at, line in reversed(list(enumerate(lines)))}
            last = {line: at for at, line in enumerate(lines)}
            return sorted({*first.values(), *last.values()})
        case _:
            return list(range(0, len(lines), int(which)))


def main() -> None:
    """Kill a process at each chosen line."""
    logging.disable(logging.ERROR)  # a sweep logs every stranded task, as it should
    directory, scene, which = Path(sys.argv[1]), SCENES[sys.argv[2]], sys.argv[3]
    settings = load()
    common = wiring.wire(settings)  # does the imports once for all forks
    if settings.tasks_table:
        # Creating a client takes half a second. moto closes each connection after its response, so forks share none.
        common.table.due(0.0, 1)
        common.queue.receive(1, wait=0)
        common.queue.send("nobody")
    number = 0

    def setup() -> TaskSetup:
        # SQL connections must not be shared across a fork.
        services = common if settings.tasks_table else wiring.wire(settings)
        outbox = directory / f"outbox-{number}"
        clock = Clock(time.time())
        queue = services.queue
        if queue.reads_table:
            from urlsum.queues.table import TableQueue  # noqa: PLC0415

            queue = TableQueue(services.table, clock=clock, redelivery_seconds=0.0)
        key, content = f"{scene.__name__}-{number}", SMALL if scene is _late else CONTENT
        return TaskSetup(services.table, services.records, queue, outbox, settings, clock, key, content)

    def learn() -> list[str]:
        line = LineKiller()
        line.run(scene, setup())
        return line.lines

    lines = forked(learn)
    forked(lambda: finish(setup()))  # so that the next receive finds no message of this run
    for fatal in chosen(lines, which):
        number += 1
        died = forked(lambda at=fatal: LineKiller(at).run(scene, setup())) is None  # type: ignore[misc]
        outcome = forked(lambda: finish(setup()))
        print(json.dumps({"at": lines[fatal], "died": died, **outcome}), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
