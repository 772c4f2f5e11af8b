"""That the benchmarks' figures can be trusted: verified, in turns, and written where they belong."""

from __future__ import annotations

import importlib.util
import sys
from datetime import date
from pathlib import Path

import pytest

from bench import measure, report, run, workspace
from bench.measure import Command, Run, Spread

ABC = "900150983cd24fb0d6963f7d28e17f72"
README = (Path(run.__file__).with_name("README.md")).read_text()


def test_a_wrong_digest_ends_the_benchmark() -> None:
    measure.run(Command("right", "printf abc | md5sum", ABC))
    with pytest.raises(SystemExit, match="wrong"):
        measure.run(Command("wrong", "printf abd | md5sum", ABC))
    with pytest.raises(SystemExit, match="status 3"):
        measure.run(Command("failed", f"echo {ABC}; exit 3", ABC))


def test_cpu_time_counts_both_ends_of_a_pipe() -> None:
    work = "head -c 150000000 /dev/zero | md5sum"
    whole = measure.run(Command("pipe", work, ""))
    one = measure.run(Command("one end", "head -c 150000000 /dev/zero > /dev/null", ""))
    assert whole.cpu > one.cpu + 0.05


def test_contestants_take_turns_after_a_warm_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = [Command(name, f"echo {name} >> {log}; echo {ABC}", ABC) for name in "ab"]
    results = measure.interleaved(commands, 3)
    assert log.read_text().split() == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert [len(runs) for runs in results.values()] == [3, 3]


def test_a_ratio_is_taken_within_its_round() -> None:
    ours, theirs = [Run(1, 1, 0), Run(8, 4, 0)], [Run(2, 1, 0), Run(16, 1, 0)]
    assert measure.ratios(ours, theirs, "wall").values == [0.5, 0.5]
    row = workspace.against({"urlsum": ours, "peer": theirs}, "peer", "cpu", 2.0)
    assert (row.what, row.figure, row.met) == ("CPU, urlsum / peer", "2.500 (1.000 … 4.000)", False)


def test_what_is_measured_is_compiled_even_where_python_writes_no_byte_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = tmp_path / "src" / "package" / "module.py"
    module.parent.mkdir(parents=True)
    module.write_text("ONE = 1\n")
    workspace.compile_sources(tmp_path)
    assert Path(importlib.util.cache_from_source(str(module))).exists()


def test_a_spread_reads_median_then_both_ends() -> None:
    assert Spread([3.0, 1.0, 2.5]).text(1) == "2.5 (1.0 … 3.0)"


@pytest.mark.parametrize("case", run.CASES, ids=lambda case: case.key)
def test_each_case_has_its_place_in_the_readme(case: workspace.Case) -> None:
    rows = [workspace.Row("wall, a | b", "0.5", "≤ 0.6", met=True), workspace.Row("other", "2", "≤ 1", met=False)]
    text = report.section(case, rows, date(2026, 11, 24), 0.25)
    renewed = report.written(README, "the machine\n", case.key, text)
    assert text in renewed
    assert "| wall, a \\| b | 0.5 | ≤ 0.6 | met |" in text
    assert f"| 2026-11-24, {report.processor()}, {case.rounds} rounds, load 0.2 before |" in text
    assert "| other | 2 | ≤ 1 | **missed** |" in text
    assert case.limit in text
    assert report.written(renewed, "the machine\n", case.key, text) == renewed
    assert set(case.programs) <= set(workspace.PACKAGES)
