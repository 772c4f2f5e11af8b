"""What templates make of values: figures, times, digests and links as people read them."""

from __future__ import annotations

import html
import re
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from urlsum.service import MOST_AHEAD
from urlsum.text import md5sum
from urlsum.text.format import human_bytes, shown_url
from urlsum.text.signed_url import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from urlsum.web.task_models import TaskModel

# A link with a longer URL may not pass API Gateway, whose limit is 10,240 bytes for the request line and all headers.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
LONGEST_PREFILL = 6000
DIGITS = 32
# So few differing digits look like a slip of the hand: of two unrelated digests 30 differ.
FEW_DIGITS = 4
# Two units are precise enough: in a wait of hours, seconds do not matter.
UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: int) -> str:
    """``seconds`` in the two largest units that are not zero.

    >>> duration(0), duration(59), duration(3600), duration(93784)
    ('0 s', '59 s', '1 h', '1 d 2 h')
    """
    parts: list[str] = []
    for unit, length in UNITS:
        count, seconds = divmod(seconds, length)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def code(text: str) -> str:
    """``text`` as HTML, with what stands between backticks as code.

    >>> code("`202 {}` & more")
    '<code>202 {}</code> &amp; more'
    """
    return re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(text))


def joined(text: str) -> list[str]:
    """The items of a numbered list in Markdown, each as one line."""
    return re.split(r"\n(?=\d+\. )", re.sub(r"\n {2,}", " ", text))


def ahead(count: int) -> str:
    """The place in the queue behind ``count`` tasks.

    >>> ahead(0), ahead(1), ahead(100)
    ('next in line', '1 task ahead', '100 or more tasks ahead')
    """
    if not count:
        return "next in line"
    return f"{f'{count} or more' if count == MOST_AHEAD else count} {'task' if count == 1 else 'tasks'} ahead"


def runs(md5: str, other: str | None) -> list[tuple[str, bool | None]]:
    """The digits of ``md5`` in runs, each with whether they differ from ``other``; None stands where a line may break.

    >>> runs("0" * 16 + "f" * 16, "0" * 15 + "f" * 17)
    [('000000000000000', False), ('0', True), ('', None), ('ffffffffffffffff', False)]
    """
    pairs = list(zip(md5, other or md5, strict=True))
    found: list[tuple[str, bool | None]] = []
    for half in (pairs[: DIGITS // 2], pairs[DIGITS // 2 :]):
        grouped = groupby(half, key=lambda pair: pair[0] != pair[1])
        found += [("", None)] * bool(found)
        found += [("".join(digit for digit, _ in group), differ) for differ, group in grouped]
    return found


def differences(md5: str, other: str) -> str:
    """In how many digits two digests differ, for those who do not see the marks, and what that suggests.

    >>> differences("0" * 32, "1" + "0" * 31)
    '1 of 32 digits differs and is marked. Perhaps the expected MD5 has a typing error.'
    """
    count = sum(a != b for a, b in zip(md5, other, strict=True))
    words = "differs and is" if count == 1 else "differ and are"
    hint = " Perhaps the expected MD5 has a typing error." if count <= FEW_DIGITS else ""
    return f"{count} of {DIGITS} digits {words} marked.{hint}"


def prefill(task: TaskModel) -> str:
    """The query of the form's address that fills it with the submission of ``task``, as far as it may be shown."""
    fields = {"url": task.url if HIDDEN not in task.url else None, "md5": task.expected_md5}
    query = urlencode({name: value for name, value in fields.items() if value})
    return f"?{query}" if 0 < len(query) <= LONGEST_PREFILL else ""


def prefix(url: str) -> str:
    """The beginning of messages about the origin; pages leave it out, since they show the URL already."""
    return f"{shown_url(url)}: "


def moment(time: datetime) -> str:
    """A time in UTC."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "ahead": ahead,
    "bytes": human_bytes,
    "code": code,
    "differences": differences,
    "duration": duration,
    "items": lambda text: [line.partition(". ")[2] for line in joined(text)],
    "last_name": lambda reference: reference.rpartition("/")[2],
    "md5sum": md5sum.line,
    "moment": moment,
    "name": md5sum.name_of,
    "paragraphs": lambda text: text.split("\n\n"),
    "prefill": prefill,
    "prefix": prefix,
    "reason": lambda message, url: message.removeprefix(prefix(url)),
    "runs": runs,
}
