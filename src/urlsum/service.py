"""The use cases of a caller: submit a URL, check a task, cancel it."""

from __future__ import annotations

import hashlib
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from email_validator import EmailNotValidError, validate_email

from urlsum.errors import (
    Blocked,
    InvalidRequest,
    InvalidUrl,
    LeaseLost,
    QueueUnavailable,
    TableUnavailable,
    TaskExists,
    TaskNotFound,
)
from urlsum.task import Mail, Status, Task

if TYPE_CHECKING:
    from urlsum.origin.guard.guard import Guard
    from urlsum.queues import TaskQueue
    from urlsum.tables import TaskTable

DAY = 24 * 3600
# Tries of a submission or a cancellation that lost a race. The row changes between read and write only if a worker
# claims or settles it, or another caller sends the same request at the same moment.
TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A caller's request as sent; ``submit`` validates it."""

    url: str
    email: str | None = None
    md5: str | None = None
    idempotency_key: str | None = None


def submit(
    submission: Submission, *, table: TaskTable, queue: TaskQueue, guard: Guard, now: float, ttl_days: int
) -> str:
    """Accept a task and return its id; the task is then in the table and on the queue.

    Raises InvalidRequest, and TableUnavailable or QueueUnavailable if nothing was accepted.
    """
    task = _task(submission, guard, now, ttl_days)
    added = _added(task, table, now, repeatable=submission.idempotency_key is not None)
    try:
        queue.send(task.id)
    except QueueUnavailable:
        # Conditional on the fence: a concurrent submission with the same key that succeeded keeps the row.
        if added:
            table.remove(task)
        raise
    return task.id


def check(task_id: str, *, table: TaskTable, now: float) -> Task:
    """The task with this id. Raises the same TaskNotFound for an unknown, expired or malformed id."""
    try:
        canonical = str(uuid.UUID(task_id))
    except ValueError:
        raise TaskNotFound(task_id) from None
    if canonical != task_id.lower():  # UUID() also accepts braces, urn: and missing hyphens; one spelling is enough
        raise TaskNotFound(task_id)
    task = table.get(canonical)
    if task.expires_at <= now:  # DynamoDB deletes expired items within days, not at once
        raise TaskNotFound(task_id)
    return task


def cancel(task_id: str, *, table: TaskTable, now: float) -> Task:
    """End the task with this id and return it; a task that is already cancelled is returned unchanged.

    The table refuses the next checkpoint of a worker that holds its lease. Raises TaskNotFound like ``check``,
    TaskFinished if the task has a result or has failed, TableUnavailable.
    """
    for _ in range(TRIES):
        task = check(task_id, table=table, now=now)
        if task.status is Status.CANCELLED:
            return task
        cancelled = task.cancelled(now)
        with suppress(LeaseLost):
            table.save(cancelled, over=task)
            return cancelled
    raise TableUnavailable("the task changed too often to be cancelled")


def _task(submission: Submission, guard: Guard, now: float, ttl_days: int) -> Task:
    try:
        guard.inspect(submission.url)
    except Blocked as exc:
        raise InvalidUrl(
            "urlsum won't connect to this address. Use a public host and a standard port, such as 80 or 443."
        ) from exc
    email = _email(submission.email)
    return Task(
        id=_id(submission.idempotency_key),
        url=submission.url,
        email=email,
        expected_md5=_md5(submission.md5),
        mail=Mail.PENDING if email else Mail.NONE,
        created_at=now,
        updated_at=now,
        due_at=now,
        expires_at=int(now) + ttl_days * DAY,
    )


def _id(idempotency_key: str | None) -> str:
    if idempotency_key is None:
        return str(uuid.uuid4())
    # A version 8 UUID (RFC 9562, 5.8) from the hash of the key: the table's conditional insert makes the key unique,
    # even against a concurrent submission.
    digest = bytearray(hashlib.sha256(b"urlsum idempotency key\0" + idempotency_key.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def _added(task: Task, table: TaskTable, now: float, *, repeatable: bool) -> bool:
    """Store ``task`` and return True, or return False if the same Idempotency-Key has stored it already."""
    for _ in range(TRIES):
        try:
            table.add(task)
        except TaskExists:
            if not repeatable:
                raise
            # The row may be gone: its sender removed it, because the queue refused, or the sweeper purged it.
            with suppress(TaskNotFound, LeaseLost):
                if _adopted(task, table, now):
                    return False
        else:
            return True
    raise TableUnavailable("many requests are using the same Idempotency-Key at once")


def _adopted(task: Task, table: TaskTable, now: float) -> bool:
    """Check that the stored task is this one, and raise its fence so that its first sender cannot remove it."""
    stored = table.get(task.id)
    if stored.expires_at <= now:
        table.remove(stored)  # callers can no longer read it, so the key is free
        return False
    if (stored.url, stored.email, stored.expected_md5) != (task.url, task.email, task.expected_md5):
        raise InvalidRequest(
            "Idempotency-Key", "This key was used for another request. Use a new key for a new request."
        )
    if stored.fence == 0:
        table.save(replace(stored, fence=1), over=stored)
    return True


def _email(email: str | None) -> str | None:
    if email is None or email == "":
        return None
    try:
        # Only plain-ASCII local parts: SMTPUTF8 needs the support of every server on the path. The mail system checks
        # whether the domain accepts email: a look-up here would let strangers send DNS queries through this host, and
        # fail with DNS.
        return validate_email(email, allow_smtputf8=False, check_deliverability=False).ascii_email
    except EmailNotValidError as exc:
        raise InvalidRequest("email", f"Not a valid email address: {exc}") from exc


def _md5(md5: str | None) -> str | None:
    if md5 is None or md5 == "":
        return None
    if not re.fullmatch(r"[0-9a-fA-F]{32}", md5):
        raise InvalidRequest("md5", "An MD5 is 32 hexadecimal digits, like the first column of md5sum's output.")
    return md5.lower()
