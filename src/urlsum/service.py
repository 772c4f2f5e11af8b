"""The use cases of a caller: submit a URL, check a task, cancel it; and unsubscribe from emails."""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from msgspec import Struct

from urlsum.errors import (
    Blocked,
    Conflict,
    InvalidRequest,
    InvalidUrl,
    LeaseLost,
    QueueUnavailable,
    TableUnavailable,
    TaskExists,
    TaskNotFound,
    UnknownLink,
)
from urlsum.mail import suppression
from urlsum.secret import authenticate
from urlsum.task import Mail, Status, Task
from urlsum.text import expected_md5
from urlsum.text.expected_md5 import NotMd5

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.limits.limiter import Admission, Limiter
    from urlsum.origin.guard.guard import Guard
    from urlsum.queues import TaskQueue
    from urlsum.secret import Secret
    from urlsum.tables import Records, TaskTable

DAY = 24 * 3600
# Tries of a submission or a cancellation that lost a race. The row changes between read and write only if a worker
# claims or settles it, or another caller sends the same request at the same moment.
TRIES = 5
# An insert that failed after more than this leaves no time to take it back: the request has 30 s (API Gateway).
TAKE_BACK_WITHIN_SECONDS = 12.0
# How long the row of a submission that was taken back keeps its id taken: longer than a store can delay an insert.
TAKEN_BACK_SECONDS = 3600
# Whole labels: a domain that ends in "local" may be public.
_SPECIAL_USE = tuple(f"@{each}" for each in SPECIAL_USE_DOMAIN_NAMES) + tuple(
    f".{each}" for each in SPECIAL_USE_DOMAIN_NAMES
)
# Of the tasks ahead of one that waits, so many are counted: beyond that the number changes no decision of a person.
MOST_AHEAD = 100


class Submission(Struct, frozen=True, kw_only=True):
    """A caller's request as sent, without blanks around each field; ``submit`` validates it.

    ``client`` and ``network`` come from the web server, not from the caller: the subject of the limits per client, and
    the network that the request came from, as the email shows it.
    """

    url: str
    email: str | None = None
    md5: str | None = None
    fresh: bool = False
    idempotency_key: str | None = None
    client: str | None = None
    network: str | None = None


def submit(  # noqa: PLR0913 - the ports and facts of one use case, all by name
    submission: Submission,
    *,
    table: TaskTable,
    queue: TaskQueue,
    guard: Guard,
    secret: Secret,
    now: float,
    ttl_days: int,
    local_email: bool = False,
    admission: Admission | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> str:
    """Accept a task and return its id; the task is then in the table and on the queue.

    ``local_email``: the mail system is the operator's own, so addresses like root@localhost are accepted. Without an
    ``admission`` nothing is limited or counted. Raises InvalidRequest, LimitReached, and Overloaded,
    TableUnavailable or QueueUnavailable: nothing was accepted then, and will be, unless the error is in doubt.
    """
    began = monotonic()
    try:
        task = _task(submission, guard, secret, now, ttl_days, local_email=local_email)
        if admission is not None:
            # Before the task is stored: a count without a task lapses, but a task without a count would pass the
            # limits.
            admission.admit(task)
    except TableUnavailable as unavailable:
        raise TableUnavailable(str(unavailable)) from unavailable  # whatever is in doubt, it is no task
    repeatable = submission.idempotency_key is not None
    # Whether the count stands for a row. If the table does not answer, nobody knows, and the count may lapse.
    counts = True
    try:
        # A task that an earlier request with the same key stored is counted already.
        counts = added = _added(task, table, now, repeatable=repeatable)
        # A repeated request must not bring a task that has begun back before new ones.
        queue.send(task.id, continued=not added)
    except InvalidRequest:
        counts = False
        raise
    except TableUnavailable as lost:
        # With a key the client settles it: the same request again finds the row, or stores it.
        if not lost.in_doubt or repeatable or monotonic() - began > TAKE_BACK_WITHIN_SECONDS:
            raise
        if not _taken_back(task, table, now):
            raise
        counts = False
        raise TableUnavailable(str(lost)) from lost
    except QueueUnavailable as refused:
        # Conditional on the fence: a worker may have the message all the same, and a concurrent submission with the
        # same key that succeeded keeps the row.
        if added and _removed(task, table):
            counts = False
            raise
        raise QueueUnavailable(str(refused), in_doubt=True) from refused
    finally:
        if admission is not None and not counts:
            admission.withdraw(task)
    return task.id


def _removed(task: Task, table: TaskTable) -> bool:
    with suppress(TableUnavailable):
        return table.remove(task)
    return False


def _taken_back(task: Task, table: TaskTable, now: float) -> bool:
    """Whether the insert of ``task``, which had no reply, has no effect, neither now nor when it comes late.

    Its id, which nobody knows, is taken by a row that is cancelled: an insert that is still under way will be refused.
    If the insert was faster, its row is cancelled.
    """

    def withdrawn(stored: Task) -> Task:
        return replace(stored.cancelled(now), email=None, expires_at=int(now) + TAKEN_BACK_SECONDS)

    with suppress(Conflict, TaskNotFound, TableUnavailable):
        try:
            table.add(withdrawn(task))
        except TaskExists:
            stored = table.get(task.id)
            table.save(withdrawn(stored), over=stored)
        return True
    return False


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


def ahead_of(task: Task, *, table: TaskTable, now: float) -> int | None:
    """How many tasks have waited for a worker for longer than ``task``, at most ``MOST_AHEAD``; None if it does not.

    One or two short look-ups in the table's index. New tasks go before those that have had a slice.
    """
    if task.complete or task.due_at is None or task.due_at > now or task.lease_until >= now:
        return None
    # One more than are counted, for the task itself.
    ahead = set(table.due(task.due_at, MOST_AHEAD + 1, continued=task.continued))
    if task.continued:
        ahead |= set(table.due(now, MOST_AHEAD + 1, continued=False))
    return min(len(ahead - {task.id}), MOST_AHEAD)


def cancel(task_id: str, *, table: TaskTable, now: float, limiter: Limiter | None = None) -> Task:
    """End the task with this id and return it; a task that is already cancelled is returned unchanged.

    The table refuses the next checkpoint of a worker that holds its lease. With a ``limiter``, the task no longer
    counts as an unfinished one of its client. Raises TaskNotFound like ``check``, TaskFinished if the task has a result
    or has failed, TableUnavailable.
    """
    for _ in range(TRIES):
        task = check(task_id, table=table, now=now)
        if task.status is Status.CANCELLED:
            return task
        cancelled = task.cancelled(now)
        with suppress(LeaseLost):
            table.save(cancelled, over=task)
            if limiter is not None:
                limiter.settle(cancelled, now)
            return cancelled
    raise TableUnavailable("the task changed too often to be cancelled")


def is_suppressed(token: str, *, records: Records, secret: Secret, now: float) -> bool:
    """Whether the mailbox whose email has the link with this token gets no more email.

    Raises UnknownLink, TableUnavailable.
    """
    return suppression.reason_for(records, _recipient(token, secret), now) is not None


def unsubscribe(token: str, *, records: Records, secret: Secret, now: float) -> None:
    """Send no more email to that mailbox, for good. Idempotent. Raises UnknownLink, TableUnavailable."""
    suppression.suppress_recipient(records, _recipient(token, secret), suppression.Reason.UNSUBSCRIBED, now)


def _recipient(token: str, secret: Secret) -> bytes:
    recipient = suppression.recipient_of(secret, token)
    if recipient is None:
        raise UnknownLink
    return recipient


def _task(
    submission: Submission, guard: Guard, secret: Secret, now: float, ttl_days: int, *, local_email: bool
) -> Task:
    try:
        guard.inspect(submission.url)
    except Blocked as exc:
        raise InvalidUrl(
            "urlsum won't connect to this address. Use a public host and a standard port, such as 80 or 443."
        ) from exc
    email = _email(submission.email, local=local_email)
    return Task(
        id=_id(submission, secret),
        url=submission.url,
        email=email,
        expected_md5=_md5(submission.url, submission.md5),
        mail=Mail.PENDING if email else Mail.NONE,
        created_at=now,
        updated_at=now,
        due_at=now,
        expires_at=int(now) + ttl_days * DAY,
        client=submission.client,
        network=submission.network,
        fresh=submission.fresh,
    )


def _id(submission: Submission, secret: Secret) -> str:
    key = submission.idempotency_key
    if key is None:
        return str(uuid.uuid4())
    # A version 8 UUID (RFC 9562, 5.8) from an HMAC of the key: the table's conditional insert makes the key unique,
    # even against a concurrent submission. An id lets its owner read and cancel the task, so only this deployment can
    # make one from a key, and the same key from another client is another task.
    digest = bytearray(authenticate(secret, "idempotency-key", submission.client, key)[:16])
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


def _email(email: str | None, *, local: bool) -> str | None:
    if email is None or email == "":
        return None
    # To the library, the special-use domains of RFC 6761 (localhost, local, …) receive no email. Where they do, it
    # judges the rest of the address, with a public domain behind.
    stand_in = ".org" if local and email.lower().endswith(_SPECIAL_USE) else ""
    try:
        # Only plain-ASCII local parts: SMTPUTF8 needs the support of every server on the path. The mail system checks
        # whether the domain accepts email: a look-up here would let strangers send DNS queries through this host, and
        # fail with DNS.
        valid = validate_email(email + stand_in, allow_smtputf8=False, check_deliverability=False).ascii_email
    except EmailNotValidError as exc:
        raise InvalidRequest("email", f"Not a valid email address: {exc}") from exc
    return valid and valid.removesuffix(stand_in)


def _md5(url: str, md5: str | None) -> str | None:
    try:
        expected = expected_md5.read(md5) if md5 else None
    except NotMd5 as exc:
        raise InvalidRequest("md5", str(exc)) from exc
    try:
        return expected_md5.of_url(url, expected)
    except NotMd5 as exc:
        raise InvalidRequest("url", str(exc)) from exc
