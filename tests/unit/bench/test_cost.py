"""docs/cost.md: that it is what `make cost` writes, and that its sums follow the rules of the bill."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import cost
from tests.support.aws import template
from tests.support.aws.deployment import deploy


def test_the_document_is_what_make_cost_writes() -> None:
    assert cost.DOCUMENT.read_text(encoding="utf-8") == cost.document()


def test_a_terabyte_and_a_month_without_use_stay_below_their_bars() -> None:
    assert cost.per_tb(cost.memory("HashWorkerFunction")) <= cost.BARS["TB"]
    unused = cost.idle()
    assert unused.pop("alarms") == cost.ALARM.of(cost.alarm_metrics())  # as many as one wants to pay for
    assert sum(unused.values()) <= cost.BARS["idle"]


def test_the_default_memory_is_the_least_whose_share_of_a_slow_cpu_carries_the_network() -> None:
    default = deploy()["HashWorkerFunction"]["MemorySize"]
    assert cost.bytes_per_second(default, cost.HALF_SPEED) == cost.NETWORK_BYTES
    assert cost.bytes_per_second(512, cost.HALF_SPEED) < cost.NETWORK_BYTES


def test_the_sums_in_the_comments_of_the_template_are_right() -> None:
    comments = " ".join(template.PATH.read_text(encoding="utf-8").replace("#", "").split())
    _, check, submit = cost.flood().values()
    assert f"costs {check:.0f} dollars if it asks for /check, {submit:.0f} if it submits small files" in comments
    assert "288 runs a day cost about two cents a month" in comments
    assert round(cost.sweeps(cost.MONTH), 2) == 0.02


def test_a_function_is_billed_for_its_memory_and_for_its_share_of_a_cpu() -> None:
    whole = cost.run(1769, cpu=1.0, waits=0.0)
    assert whole == pytest.approx(0.2e-6 + 13.3334e-6 * 1769 / 1024)
    # Half of the CPU takes twice as long at half the price.
    assert cost.run(1769 / 2, cpu=1.0, waits=0.0) == pytest.approx(whole)
    assert cost.run(1024, cpu=0.0, waits=2.0, runs=3.0) == pytest.approx(3 * (0.2e-6 + 2 * 13.3334e-6))


@pytest.mark.parametrize(
    ("before", "after", "units"), [(None, 1.0, 2), (1.0, 1.0, 1), (1.0, 2.0, 3), (1.0, None, 2), (None, None, 1)]
)
def test_a_write_costs_the_item_and_each_entry_of_the_index(
    before: float | None, after: float | None, units: int
) -> None:
    task = cost.example()
    old = None if (before, after) == (None, 1.0) else replace(task, due_at=before)
    assert cost.writes_of(old, replace(task, due_at=after)) == units


def test_a_small_file_costs_five_and_a_half_write_units_with_its_client_and_its_origin() -> None:
    assert list(cost.writes_of_a_small_file().values()) == [2, 2, 1, 0.5]


def test_a_million_small_files_cost_less_than_their_bar_but_for_the_limits() -> None:
    assert sum(cost.small_files(limits=False).values()) <= cost.BARS["small files"]


def test_a_large_item_costs_a_unit_for_each_kilobyte() -> None:
    task = replace(cost.example(), due_at=None)
    assert cost.writes_of(task, replace(task, url="https://example.org/" + "x" * 2000)) == 3
