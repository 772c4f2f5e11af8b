"""Proof by two readings, for a server whose validators differ in each response and therefore prove nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from urlsum.task import Proof
from urlsum.text.remarks import READ_TWICE

if TYPE_CHECKING:
    from urlsum.md5 import MD5
    from urlsum.task import Representation


class TwoReadings:
    """Remembers a complete reading until the next one ends; both must have the same MD5 and size."""

    def __init__(self) -> None:
        self._first: tuple[str, int] | None = None

    @property
    def half_done(self) -> bool:
        """Whether the last reading was complete and waits for a second one."""
        return self._first is not None

    def agree(self, md5: MD5, size: int | None) -> bool:
        """Whether the reading that ended with ``md5`` is complete and equal to the one before it.

        ``size`` is the proven length of the file in bytes, if there is one.
        """
        reading = (md5.hexdigest(), md5.count) if md5.count == size else None
        first = self._first
        self._first = reading if first is None else None
        return reading is not None and reading == first


def proven(representation: Representation) -> Representation:
    """The facts of the response, with two equal readings as the proof of version."""
    return replace(representation, proof=Proof.LENGTH, notes=(*representation.notes, READ_TWICE))
