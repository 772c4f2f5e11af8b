"""checkov, bandit and pip-audit in `make check`: what is left out has a reason, and what is found fails the check."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from scripts import audit
from scripts.audit import Report, describe

ROOT = Path(__file__).parents[2]
CHECKOV = audit.PIP_AUDIT.with_name("checkov")
CONFIG = ROOT / ".checkov.yaml"
LOCK = "selfhost/requirements.txt"


def recipe() -> str:
    """What `make check` runs."""
    return (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck: ")[2].partition("\n\n")[0]


@pytest.mark.parametrize("tool", ["$(CHECKOV) ", "bin/bandit ", "scripts.audit"])
def test_make_check_runs_each_of_them(tool: str) -> None:
    assert tool in recipe()


def test_bandit_reads_everything_that_is_deployed() -> None:
    assert re.search(r"bandit .*--recursive src functions selfhost$", recipe(), re.MULTILINE)


def test_every_check_of_checkov_that_is_left_out_has_its_reason_above_it() -> None:
    lines = CONFIG.read_text(encoding="utf-8").partition("skip-check:\n")[2].splitlines()
    entries = [index for index, line in enumerate(lines) if line.startswith("  - ")]
    assert entries
    assert all(lines[index - 1].startswith("  # ") for index in entries)
    assert all(re.fullmatch(r"  - CKV_AWS_\d+|  # .+", line) for line in lines)


def test_every_test_of_bandit_that_is_left_out_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    entries = re.findall(r'^    "(B\d+)", # .*S\d+', text, re.MULTILINE)
    assert entries == tomllib.loads(text)["tool"]["bandit"]["skips"]


def checkov(template: Path) -> subprocess.CompletedProcess[str]:
    command = [str(CHECKOV), "--config-file", str(CONFIG), "--file", str(template)]
    return subprocess.run(command, cwd=template.parent, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not CHECKOV.exists(), reason="checkov is not installed; make check installs it")
def test_checkov_finds_a_fault_in_the_template(tmp_path: Path) -> None:
    good = (ROOT / "template.yaml").read_text(encoding="utf-8")
    bad = good.replace("PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false")
    assert good != bad
    file = tmp_path / "template.yaml"
    file.write_text(bad, encoding="utf-8")
    ran = checkov(file)  # `make check` shows that it passes the template itself
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "CKV_AWS_28" in ran.stdout


FOUND = {
    "dependencies": [
        {"name": "h11", "version": "0.14.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["0.16.0"]}]},
        {"name": "idna", "version": "3.20", "vulns": []},
        {"name": "jmespath", "skip_reason": "Dependency not found on PyPI"},
    ],
    "fixes": [],
}


def pip_audit(monkeypatch: pytest.MonkeyPatch, folder: Path, *, out: str = "", err: str = "") -> None:
    """Put a program in pip-audit's place that prints what the real one does in a case that no test can cause."""
    program = folder / "pip-audit"
    (folder / "out").write_text(out, encoding="utf-8")
    (folder / "err").write_text(err, encoding="utf-8")
    program.write_text(f"#!/bin/sh\ncat {folder}/out; cat {folder}/err >&2; exit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(audit, "PIP_AUDIT", program)


def test_a_vulnerability_is_named_and_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pip_audit(monkeypatch, tmp_path, out=json.dumps(FOUND))
    assert audit.main() == 1
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        f"pip-audit: {LOCK}: 1 in 2 packages; 1 are unknown to the database",
        "h11 0.14.0: PYSEC-1, fixed in 0.16.0",
    ]


def test_a_database_that_does_not_answer_is_no_finding_and_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pip_audit(monkeypatch, tmp_path, err="requests.exceptions.ConnectionError: Failed to resolve 'pypi.org'")
    assert audit.main() == 0
    said = capsys.readouterr().out
    assert said.count("was NOT audited: the database of vulnerabilities cannot be reached") == len(audit.LOCKS)


def test_an_index_without_the_database_is_not_taken_for_a_good_result() -> None:
    unknown = {"dependencies": [{"name": "h11", "skip_reason": "not found"}], "fixes": []}
    [said] = describe(LOCK, Report.read(json.dumps(unknown)))
    assert "was NOT audited" in said


def test_any_other_failure_of_the_tool_fails_the_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pip_audit(monkeypatch, tmp_path, err="error: unrecognized arguments")
    with pytest.raises(RuntimeError, match="unrecognized arguments"):
        audit.main()


def test_what_is_deployed_is_what_is_audited() -> None:
    assert [lock for lock in audit.LOCKS if not (ROOT / lock).is_file()] == []
