"""A task as one flat row, with the same names in every table: the adapters store and read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from urlsum.errors import FailureCode
from urlsum.task import Checkpoint, Failure, Mail, Representation, Status, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = str | int | float | bytes | None


def to_row(task: Task) -> dict[str, Value]:
    """Every field of ``task`` by its stored name; None where the task has no value."""
    checkpoint, error, representation = task.checkpoint, task.error, task.representation
    return {
        "id": task.id,
        "url": task.url,
        "email": task.email,
        "md5": task.md5,
        # For people and queries that read the table; from_row ignores it, because the status implies it.
        "complete": task.complete,
        "status": task.status.value,
        "size": task.size,
        "offset": checkpoint.offset if checkpoint else None,
        "md5_state": checkpoint.md5_state if checkpoint else None,
        "validator": checkpoint.validator if checkpoint else None,
        "representation": representation.dump() if representation else None,
        "rate": task.rate,
        "fence": task.fence,
        "lease_until": task.lease_until,
        "due_at": task.due_at,
        "not_before": task.not_before,
        "attempts": task.attempts,
        "slices": task.slices,
        "restarts": task.restarts,
        "received": task.received,
        "resumed_from": task.resumed_from,
        "error_code": error.code.value if error else None,
        "error_message": error.message if error else None,
        "mail": task.mail.value,
        "expected_md5": task.expected_md5,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "finished_at": task.finished_at,
        "expires_at": task.expires_at,
        "client": task.client,
        "network": task.network,
        "fresh": task.fresh or None,
        "reused_at": task.reused_at,
        "continued": task.continued,
        "file_key": task.file_key,
    }


def from_row(row: Mapping[str, Any]) -> Task:
    """The task in a row from ``to_row``; names that this version does not know are ignored."""
    return Task(
        id=row["id"],
        url=row["url"],
        email=row["email"],
        md5=row["md5"],
        status=Status(row["status"]),
        size=row["size"],
        checkpoint=_checkpoint(row),
        representation=Representation.load(row["representation"]) if row["representation"] else None,
        rate=_float(row["rate"]),
        fence=row["fence"],
        lease_until=float(row["lease_until"]),
        due_at=_float(row["due_at"]),
        not_before=float(row["not_before"] or 0.0),  # older versions do not write it
        attempts=row["attempts"],
        slices=row["slices"],
        restarts=row["restarts"],
        received=row["received"] or 0,  # older versions do not write it
        resumed_from=row["resumed_from"],
        error=_failure(row),
        mail=Mail(row["mail"]),
        expected_md5=row["expected_md5"],
        created_at=float(row["created_at"]),
        updated_at=float(row["updated_at"]),
        finished_at=_float(row["finished_at"]),
        expires_at=row["expires_at"],
        client=row["client"],
        network=row["network"],
        fresh=bool(row["fresh"]),
        reused_at=_float(row["reused_at"]),
        continued=bool(row["continued"]),
        file_key=row["file_key"],
    )


def _float(value: float | None) -> float | None:
    # DynamoDB has one number type, and PynamoDB returns whole numbers as int.
    return None if value is None else float(value)


def _checkpoint(row: Mapping[str, Any]) -> Checkpoint | None:
    offset, md5_state, validator = row["offset"], row["md5_state"], row["validator"]
    # One write stores all three. Somebody edited a row with only some of them by hand; restarting at the first byte is
    # always right.
    if offset is None or md5_state is None or validator is None:
        return None
    return Checkpoint(offset=offset, md5_state=bytes(md5_state), validator=validator)


def _failure(row: Mapping[str, Any]) -> Failure | None:
    if row["error_code"] is None:
        return None
    try:
        code = FailureCode(row["error_code"])
    except ValueError:
        # A newer version has a code that this one does not know; the message still gives the reason.
        code = FailureCode.INTERNAL
    return Failure(code, row["error_message"] or "")
