"""The trail: a line in the log for each accepted task, and for refusals, so that a complaint leads to a client.

The lines hold neither the path nor the query of a URL, which may be secret, nor an email address: a digest stands for
it, which an operator can compute from the address of a complaint (docs/operations.md).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from urlsum.limits.recipients import digest
from urlsum.text.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urlsum.service import Submission
    from urlsum.web.client import Client

log = logging.getLogger(__name__)

# Clients whose refusals are counted; the one that was refused first is forgotten first.
COUNTED = 1000
NONE = "-"

_lock = threading.Lock()
_refused: OrderedDict[tuple[str, str], int] = OrderedDict()


def accepted(client: Client, submission: Submission) -> dict[str, str | None]:
    """Who submitted a task, which server it reads, and who gets its result."""
    return {
        "client": client.address,
        "key": client.key,
        "host": one_line(urlsplit(submission.url).hostname or NONE),
        "recipient": digest(submission.email) if submission.email else None,
    }


def log_accepted(task_id: str, facts: Mapping[str, str | None]) -> None:
    """Log what ``accepted`` says of a task as text, for logs without members."""
    log.info("accepted task=%s %s", task_id, " ".join(f"{name}={value or NONE}" for name, value in facts.items()))


def refused(limit: str, client: Client) -> None:
    """Log that ``client`` met ``limit``: the 1st, 10th, 100th … time, so that a flood of requests is none of lines."""
    place = (limit, client.subject or client.address)
    with _lock:
        times = _refused[place] = _refused.pop(place, 0) + 1
        if len(_refused) > COUNTED:
            _refused.popitem(last=False)
    if str(times).strip("0") == "1":
        log.info("refused limit=%s client=%s key=%s times=%d", limit, client.address, client.key or NONE, times)
