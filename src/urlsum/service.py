"""What the service does for its callers: submit a URL, check a task."""

from __future__ import annotations

import hashlib
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from email_validator import EmailNotValidError, validate_email

from urlsum.errors import Blocked, Conflict, InvalidRequest, InvalidUrl, QueueUnavailable, TaskExists, TaskNotFound
from urlsum.task import Mail, Task

if TYPE_CHECKING:
    from urlsum.origin.guard import Guard
    from urlsum.queues import TaskQueue
    from urlsum.tables import TaskTable

DAY = 24 * 3600
# How often a submission that met its own Idempotency-Key looks again: the row can move between the two steps
# only when a worker claims it, and a claimed row needs no second look.
IDEMPOTENT_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a caller asks for, as sent: ``submit`` validates it."""

    url: str
    email: str | None = None
    md5: str | None = None
    idempotency_key: str | None = None


def submit(
    submission: Submission, *, table: TaskTable, queue: TaskQueue, guard: Guard, now: float, ttl_days: int
) -> str:
    """Accept a task and return its id: from then on it is in the table and on the queue.

    Raises InvalidRequest, and TableUnavailable or QueueUnavailable when nothing was accepted.
    """
    task = _task(submission, guard, now, ttl_days)
    try:
        table.add(task)
    except TaskExists:
        if submission.idempotency_key is None:
            raise
        _adopt(task, table)
        queue.send(task.id)
        return task.id
    try:
        queue.send(task.id)
    except QueueUnavailable:
        # Conditional on the fence: a submission with the same key that got through meanwhile keeps the row.
        table.remove(task)
        raise
    return task.id


def check(task_id: str, *, table: TaskTable, now: float) -> Task:
    """The task of this id. Raises TaskNotFound for an unknown, expired or malformed one, all alike."""
    try:
        canonical = str(uuid.UUID(task_id))
    except ValueError:
        raise TaskNotFound(task_id) from None
    if canonical != task_id.lower():  # UUID() also takes braces, urn: and missing hyphens; one spelling is enough
        raise TaskNotFound(task_id)
    task = table.get(canonical)
    if task.expires_at <= now:  # DynamoDB deletes expired items within days, not at once
        raise TaskNotFound(task_id)
    return task


def _task(submission: Submission, guard: Guard, now: float, ttl_days: int) -> Task:
    try:
        guard.inspect(submission.url)
    except Blocked as exc:
        raise InvalidUrl(
            "urlsum does not contact this address; give the URL of a file on a public host, on a usual port"
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
    # A version 8 UUID (RFC 9562, 5.8) whose bits are the key's: the table's own insert condition then makes
    # the key unique, also against a submission that runs at this very moment.
    digest = bytearray(hashlib.sha256(b"urlsum idempotency key\0" + idempotency_key.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def _adopt(task: Task, table: TaskTable) -> None:
    """Check that the stored task is this one, and mark it so that its first sender can no longer take it back."""
    for _ in range(IDEMPOTENT_TRIES):
        stored = table.get(task.id)
        if (stored.url, stored.email, stored.expected_md5) != (task.url, task.email, task.expected_md5):
            raise InvalidRequest(
                "Idempotency-Key", "this key was used for another request; take a new key for a new request"
            )
        if stored.fence > 0:
            return
        with suppress(Conflict):
            table.save(replace(stored, fence=1), over=stored)
            return
    raise QueueUnavailable("the same Idempotency-Key is being used by many requests at once")


def _email(email: str | None) -> str | None:
    if email is None or email == "":
        return None
    try:
        # SMTPUTF8 needs every server on the way to support it, so plain-ASCII local parts only.
        # Whether the domain takes mail is the mail system's to find out: a look-up here would let strangers
        # send queries through this host, and fail where DNS does.
        return validate_email(email, allow_smtputf8=False, check_deliverability=False).ascii_email
    except EmailNotValidError as exc:
        raise InvalidRequest("email", f"not an e-mail address that mail can be sent to: {exc}") from exc


def _md5(md5: str | None) -> str | None:
    if md5 is None or md5 == "":
        return None
    if not re.fullmatch(r"[0-9a-fA-F]{32}", md5):
        raise InvalidRequest("md5", "an MD5 is written as 32 hexadecimal digits, for example md5sum's first column")
    return md5.lower()
