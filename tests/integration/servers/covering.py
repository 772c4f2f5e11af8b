"""A choice of the cases of a product that contains every pair of values: what the gate runs of the product."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def covering(levels: Sequence[int]) -> set[tuple[int, ...]]:
    """The cases of a product of factors with so many levels, as indices: every pair of two factors' levels is there.

    All of the first two factors is. Each further factor takes turns, at another pace of the first one than the factor
    before it, so that those two are not in step. It holds for the levels of ``test_replaced``, which checks it.
    """
    chosen = set()
    for first, second in product(range(levels[0]), range(levels[1])):
        further = ((first // 2**pace + second) % count for pace, count in enumerate(levels[2:]))
        chosen.add((first, second, *further))
    return chosen
