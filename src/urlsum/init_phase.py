"""The init phase of a function on Lambda: imports and wiring, without Python's garbage collector.

Each function begins it before its other imports and ends it after its last line. Until then nearly every object is one
that stays, and the collector, which looks through them again and again, takes a tenth of the CPU time.
"""

from __future__ import annotations

import gc

from urlsum.settings import on_lambda


def begin() -> None:
    """Stop the collector on Lambda; elsewhere do nothing."""
    if on_lambda():
        gc.disable()


def end() -> None:
    """Start the collector again, without the objects that there are by now."""
    if on_lambda():
        gc.freeze()
        gc.enable()
