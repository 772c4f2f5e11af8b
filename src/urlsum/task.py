"""The task: its fields, its states, and every legal change of it as a pure function.

A change returns a new ``Task``; nothing here does I/O. A table stores it by a conditional write on the old fence
(``urlsum.tables.TaskTable.save``), which refuses stale changes. All times are seconds since the epoch, sizes and
offsets are bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum

from urlsum.errors import FailureCode, LeaseHeld, NotDue, NothingToDo, TaskFinished, one_line


class Status(StrEnum):
    """The state of a task; ``done``, ``failed`` and ``cancelled`` are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Mail(StrEnum):
    """The state of the result email.

    ``failed`` means given up, visible to operators; ``suppressed``, that this mailbox gets no more email.
    """

    NONE = "none"
    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The progress of a hash: enough for another process, on another machine, to resume.

    ``offset`` is a multiple of 64, MD5's block size. ``md5_state`` is the portable layout of
    ``urlsum.md5``. ``validator`` is the origin's proof of version, as ``urlsum.origin`` dumps it.
    """

    offset: int
    md5_state: bytes
    validator: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why the last try ended without a digest.

    ``message`` is one line of at most MESSAGE_LIMIT characters, whatever it was made of: a longer one would not fit
    into a row, and the task could never end. ``detail`` is for the terminal of the command line; no table keeps it, and
    no stranger may see it.
    """

    code: FailureCode
    message: str
    detail: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", one_line(self.message))


class Proof(StrEnum):
    """The proof that all bytes belong to one version: the strongest validator of all responses (RFC 9110, 8.8).

    For a file that came quickly, in one response, that is the validator of this response. For any other file, the
    origin confirmed the validator after the last byte.
    """

    ETAG = "etag"
    LAST_MODIFIED = "last-modified"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """The metadata in the origin's response (RFC 9110, 8); ``urlsum.origin`` bounds their size.

    ``name`` is a file's name of at most 255 bytes. ``final_url`` is the URL at the end of the redirects, without a
    fragment and possibly with a signed query; without redirects it is exactly the submitted URL. ``etag`` is quoted as
    sent, ``last_modified`` in seconds since the epoch. ``notes`` are codes of ``urlsum.text.remarks``.
    """

    name: str
    final_url: str
    content_type: str | None = None
    etag: str | None = None
    last_modified: float | None = None
    proof: Proof = Proof.LENGTH
    notes: tuple[str, ...] = ()

    def filled_from(self, earlier: Representation | None) -> Representation:
        """The facts of this response, completed by those of an ``earlier`` response of the same version.

        A 206 to If-Range has no Content-Type and no Content-Disposition (RFC 9110, 15.3.7), while the first response
        had every field. So name, URL and type come from the earlier response, validators and proof from the newer one,
        and notes accumulate.
        """
        if earlier is None:
            return self
        return replace(
            self,
            name=earlier.name,
            final_url=earlier.final_url,
            content_type=earlier.content_type or self.content_type,
            etag=self.etag or earlier.etag,
            last_modified=earlier.last_modified if self.last_modified is None else self.last_modified,
            notes=tuple(dict.fromkeys((*earlier.notes, *self.notes))),
        )

    def dump(self) -> str:
        """The facts as one text, so that a new fact needs no new column; unknown facts are omitted."""
        # Not asdict(), which copies every value: every write of a task runs this.
        known = {name: value for name in self.__slots__ if (value := getattr(self, name)) not in (None, ())}
        return json.dumps(known, separators=(",", ":"))

    @classmethod
    def load(cls, text: str) -> Representation | None:
        """Read a dump, of a newer version too; None if ``text`` is not a dump.

        Only the display reads the facts, so a text edited by hand must not cost the digest.
        """
        try:
            values = json.loads(text)
            proof, modified = values.get("proof"), values.get("last_modified")
            return cls(
                name=str(values["name"]),
                final_url=str(values["final_url"]),
                content_type=_text(values.get("content_type")),
                etag=_text(values.get("etag")),
                last_modified=None if modified is None else float(modified),
                # A newer version may store a stronger proof; this version can only vouch for the length.
                proof=Proof(proof) if proof in Proof.__members__.values() else Proof.LENGTH,
                notes=tuple(map(str, values.get("notes", ()))),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One URL to hash.

    ``fence`` rises with every claim; tables refuse a write with an older fence. The lease ends at ``lease_until``. The
    next look at the task is due at ``due_at``, the key of the tables' sparse index; None if no work is left. A worker
    may claim the task from ``not_before``; ``due_at`` is later while a worker holds the task, and after a new message.
    ``attempts`` counts claims since the last progress, ``restarts`` the restarts from the first byte, ``received`` all
    bytes that were read, repeated reads included. ``resumed_from`` is the offset at which the last claim resumed, None
    if it began at the first byte. ``rate`` is the smoothed speed of this claim in bytes per second. ``representation``
    is the metadata of the responses; None before the first checkpoint and in tasks older than schema version 0005.
    ``file_key`` identifies the version of the file that the task reads, or whose reading by another task it waits for;
    None where nothing identifies it, and for small files (``urlsum.worker.reuse``).

    ``client`` is the subject of the limits per client: an API key's name or an address, None for a client without
    limits. ``network`` is the network that the request came from, as the email shows it. A ``fresh`` task reads the
    file even if its digest is known. ``reused_at`` is the time when another task computed the digest that this one
    reports.

    A task is ``continued`` once it has used a worker for more than a moment: its next slices wait behind the first
    slices of others (a multilevel feedback queue with two levels).
    """

    id: str
    url: str
    created_at: float
    updated_at: float
    expires_at: int
    email: str | None = None
    expected_md5: str | None = None
    status: Status = Status.QUEUED
    md5: str | None = None
    size: int | None = None
    checkpoint: Checkpoint | None = None
    representation: Representation | None = None
    rate: float | None = None
    fence: int = 0
    lease_until: float = 0.0
    due_at: float | None = None
    not_before: float = 0.0
    attempts: int = 0
    slices: int = 0
    restarts: int = 0
    received: int = 0
    resumed_from: int | None = None
    error: Failure | None = None
    mail: Mail = Mail.NONE
    finished_at: float | None = None
    client: str | None = None
    network: str | None = None
    fresh: bool = False
    reused_at: float | None = None
    continued: bool = False
    file_key: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the result is final."""
        return self.status in (Status.DONE, Status.FAILED, Status.CANCELLED)

    @property
    def offset(self) -> int:
        """Bytes hashed up to the last checkpoint, or all of them when done."""
        if self.status is Status.DONE:
            return self.size or 0
        return self.checkpoint.offset if self.checkpoint else 0

    @property
    def match(self) -> bool | None:
        """Whether the digest is the expected one; None if the digest is unknown or none was expected."""
        if self.md5 is None or self.expected_md5 is None:
            return None
        return self.md5 == self.expected_md5

    def claimed(self, now: float, lease_seconds: float) -> Task:
        """Take the lease, for hashing or, on a finished task, for the outstanding email.

        Raises LeaseHeld, NotDue or NothingToDo.
        """
        if self.complete and self.mail is not Mail.PENDING:
            raise NothingToDo(self.id)
        if self.lease_until >= now:
            raise LeaseHeld(self.id)
        if self.not_before > now:
            raise NotDue(self.not_before, continued=self.continued)
        return replace(
            self,
            status=self.status if self.complete else Status.RUNNING,
            fence=self.fence + 1,
            lease_until=now + lease_seconds,
            due_at=now + lease_seconds,
            attempts=self.attempts + 1,
            slices=self.slices + 1,
            resumed_from=self.checkpoint.offset if self.checkpoint else None,
            rate=None,
            updated_at=now,
        )

    def checkpointed(
        self,
        checkpoint: Checkpoint,
        *,
        size: int | None,
        rate: float | None,
        now: float,
        lease_seconds: float,
        representation: Representation | None = None,
    ) -> Task:
        """Record progress and renew the lease; progress clears ``attempts`` and the last error."""
        progress = checkpoint.offset > self.offset
        return replace(
            self,
            checkpoint=checkpoint,
            representation=self._described(representation),
            size=size,
            rate=rate,
            attempts=0 if progress else self.attempts,
            error=None if progress else self.error,
            lease_until=now + lease_seconds,
            due_at=now + lease_seconds,
            updated_at=now,
            continued=True,
        )

    def renewed(self, now: float, *, lease_seconds: float) -> Task:
        """Renew the lease without progress."""
        until = now + lease_seconds
        return replace(self, lease_until=until, due_at=until, updated_at=now, continued=True)

    def restarted(self, now: float) -> Task:
        """Drop the checkpoint: the file changed, or its state cannot be trusted."""
        return replace(
            self,
            checkpoint=None,
            representation=None,
            size=None,
            rate=None,
            resumed_from=None,
            restarts=self.restarts + 1,
            file_key=None,
            updated_at=now,
        )

    def released(self, now: float, *, delay: float = 0.0) -> Task:
        """Release the lease; the next worker may claim the task after ``delay`` seconds."""
        return replace(
            self, lease_until=0.0, due_at=now + delay, not_before=now + delay, updated_at=now, continued=True
        )

    def put_off(self, now: float, *, delay: float) -> Task:
        """Release the lease of a try that met a limit of the origin before it could do anything: it never was.

        A task that has made progress stays ``running``, as between two slices.
        """
        idle = self.attempts > 0  # progress has cleared it
        return replace(
            self.released(now, delay=delay),
            status=Status.RUNNING if self.checkpoint else Status.QUEUED,
            continued=self.continued or not idle,
            attempts=self.attempts - idle,
            slices=self.slices - idle,
        )

    def retried(self, failure: Failure, now: float, *, delay: float, cheap: bool = False) -> Task:
        """Release the lease after a failure that a retry may cure.

        A try that took a moment was ``cheap``: it does not make the task a continuation.
        """
        continued = self.continued or not cheap
        return replace(self.released(now, delay=delay), status=Status.QUEUED, error=failure, continued=continued)

    def waiting(self, now: float, *, delay: float) -> Task:
        """Release the lease while another task reads the file. The claim was a look, neither a try nor a turn."""
        attempts = max(self.attempts - 1, 0)
        return replace(self.released(now, delay=delay), attempts=attempts, continued=self.continued)

    def done(
        self,
        md5: str,
        size: int,
        now: float,
        *,
        representation: Representation | None = None,
        reused_at: float | None = None,
    ) -> Task:
        """Record the digest of one complete version of the file, computed for another task at ``reused_at``. Final."""
        return replace(
            self._finished(now),
            status=Status.DONE,
            md5=md5,
            size=size,
            error=None,
            representation=self._described(representation),
            reused_at=reused_at,
        )

    def failed(self, failure: Failure, now: float) -> Task:
        """Record the reason why the task has no digest. Final."""
        return replace(self._finished(now), status=Status.FAILED, error=failure)

    def cancelled(self, now: float) -> Task:
        """End the task without a result and without an email, even while a worker holds its lease. Final.

        Raises TaskFinished if it has already ended.
        """
        if self.complete:
            raise TaskFinished(self.id)
        return replace(
            self._finished(now),
            status=Status.CANCELLED,
            fence=self.fence + 1,
            lease_until=0.0,
            due_at=None,
            mail=Mail.NONE,
            error=None,
        )

    def _described(self, representation: Representation | None) -> Representation | None:
        if representation is None:
            return self.representation
        return representation.filled_from(self.representation)

    def _finished(self, now: float) -> Task:
        # An outstanding email keeps the lease: the holder sends it under the same fence, and if the holder dies first,
        # the task comes due when the lease lapses.
        owed = self.mail is Mail.PENDING
        return replace(
            self,
            checkpoint=None,
            rate=None,
            resumed_from=None,
            attempts=0,
            lease_until=self.lease_until if owed else 0.0,
            due_at=self.due_at if owed else None,
            finished_at=now,
            updated_at=now,
        )

    def resent(self, now: float) -> Task:
        """Record a new message for a task whose worker died, or whose message was lost; it waits from now on.

        The fence rises: of two concurrent sweepers only one sends, and a holder that slept past its lease is fenced
        off. ``updated_at`` stays, because no work was done.
        """
        status = self.status if self.complete else Status.QUEUED
        return replace(self, status=status, fence=self.fence + 1, lease_until=0.0, due_at=now)

    def given_up(self, failure: Failure, now: float) -> Task:
        """Fail the task after its lease lapsed; the next claim sends an outstanding email. Final."""
        owed = self.mail is Mail.PENDING
        return replace(self.failed(failure, now), fence=self.fence + 1, lease_until=0.0, due_at=now if owed else None)

    def noted(self, code: str) -> Task:
        """Add a note to the facts about the file, if there are any."""
        known = self.representation
        return self if known is None else replace(self, representation=replace(known, notes=(*known.notes, code)))

    def mailed(self, mail: Mail, now: float) -> Task:
        """Settle the email, as sent or as given up."""
        return replace(self, mail=mail, lease_until=0.0, due_at=None, updated_at=now)
