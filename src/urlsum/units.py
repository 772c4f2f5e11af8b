"""Sizes and durations as people write them in settings: ``5TB``, ``500 MiB``, ``1h``, ``1 h 30 min``."""

from __future__ import annotations

import re
from fractions import Fraction

# Decimal with SI's prefixes, binary with IEC's; upper and lower case alike. Without the B, tools disagree on which.
SIZES = {"b": 1} | {
    f"{prefix}{middle}b": base**power
    for middle, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate("kmgtp", 1)
}
SECONDS = {
    "ms": Fraction(1, 1000),
    **dict.fromkeys(("s", "sec", "second", "seconds"), Fraction(1)),
    **dict.fromkeys(("m", "min", "minute", "minutes"), Fraction(60)),
    **dict.fromkeys(("h", "hour", "hours"), Fraction(3600)),
    **dict.fromkeys(("d", "day", "days"), Fraction(86_400)),
    **dict.fromkeys(("w", "week", "weeks"), Fraction(604_800)),
}
# 18 digits hold every size in 64 bits, and bound the time of the arithmetic.
_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)[ \t]*([A-Za-z]+)[ \t]*")


def size(text: str) -> int | None:
    """The bytes in ``text``, a number with a unit; None if it is none, or no whole number of bytes.

    >>> size("5TB"), size("1.5 kib"), size("7B"), size("5T"), size("1000")
    (5000000000000, 1536, 7, None, None)
    """
    match = _QUANTITY.fullmatch(text.strip())
    factor = SIZES.get(match[2].lower()) if match else None
    if match is None or factor is None:
        return None
    count = Fraction(match[1]) * factor
    return int(count) if count.denominator == 1 else None


def duration(text: str) -> Fraction | None:
    """The seconds in ``text``, one or more numbers with units; None if it has none.

    >>> [str(duration(each)) for each in ("1h", "1 h 30 min", "500ms", "1.5d", "90", "1 parsec")]
    ['3600', '5400', '1/2', '129600', 'None', 'None']
    """
    seconds, at, text = Fraction(0), 0, text.strip()
    while at < len(text):
        match = _QUANTITY.match(text, at)
        factor = SECONDS.get(match[2].lower()) if match else None
        if match is None or factor is None:
            return None
        seconds, at = seconds + Fraction(match[1]) * factor, match.end()
    return seconds if text else None
