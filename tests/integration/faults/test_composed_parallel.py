"""Faults in any order among several connections: no digest but that of one version, whole."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.integration.faults.test_composed import MOVES, Move, Origin, no_wrong_digest
from tests.integration.faults.test_parallel import RATE, SMALL_PARTS, Eager, no_thread_is_left
from tests.support.origin.origin_server import File, Request, Steps

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["no_thread_is_left"]

SIZE = 400_000
# Mostly answers that are well, or the first few end what was to be tried.
PLANS = st.lists(st.one_of(st.none(), st.none(), MOVES), min_size=4, max_size=40)
FILES = st.builds(
    File,
    content=st.just(b""),
    etag=st.sampled_from(['"v0"', '"v0"', 'W/"v0"', "_v0_", None]),
    rate=st.just(RATE),
    keep=st.booleans(),
)


class Among(Origin):
    """Moves come in the order of requests, whichever connection they are on; None is an answer that is well."""

    def __init__(self, form: File, sizes: Sequence[int], moves: Sequence[Move | None]) -> None:
        super().__init__(form, sizes, [])
        self.plan = list(moves)
        self.lock = threading.Lock()

    def __call__(self, request: Request) -> Steps:
        with self.lock:
            move = self.plan.pop(0) if self.plan else None
            self.moves = [] if move is None else [move]
            return super().__call__(request)


def examples(count: int) -> settings:
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    return settings(max_examples=count, deadline=None, database=None, suppress_health_check=checks)


@seed(7)
@examples(40)
@given(form=FILES, plan=PLANS, often=st.booleans())
def test_faults_among_many_connections_give_no_wrong_digest(
    form: File, plan: list[Move | None], *, often: bool
) -> None:
    no_wrong_digest(Among(form, [SIZE] * 4, plan), often=often, tuning=SMALL_PARTS, controller=Eager)


@pytest.mark.long
@pytest.mark.timeout(1800)
@seed(8)
@examples(1000)
@given(form=FILES, plan=PLANS, often=st.booleans())
def test_thousands_of_faults_among_many_connections_give_no_wrong_digest(
    form: File, plan: list[Move | None], *, often: bool
) -> None:
    no_wrong_digest(Among(form, [SIZE] * 4, plan), often=often, tuning=SMALL_PARTS, controller=Eager)
