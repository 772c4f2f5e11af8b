"""The lint of `make check`: that it is clean, and that it finds what it is there for."""

from __future__ import annotations

from copy import deepcopy

import pytest

from scripts import lint_template
from tests.support.aws import template

pytestmark = pytest.mark.slow


@pytest.mark.long  # 6 s of a core for what `make check` runs in each gate
def test_the_template_is_clean_as_written_and_as_translated() -> None:
    assert lint_template.main() == 0


# By the rule that finds it: resource, property, value.
BREAKS: dict[str, tuple[str, str, object]] = {
    "E3030": ("HashWorkerFunction", "RecursiveLoop", "Allowed"),
}


@pytest.fixture(scope="module")
def findings() -> list[str]:
    """What the lint says of all breaks at once; it takes seconds for each architecture, and they are of neither."""
    broken = deepcopy(template.load())
    broken["Parameters"]["Architecture"]["AllowedValues"] = ["arm64"]
    for resource, name, value in BREAKS.values():
        broken["Resources"][resource]["Properties"][name] = value
    return lint_template.translated_findings(broken)


@pytest.mark.parametrize("rule", BREAKS)
def test_only_the_lint_of_the_translation_finds_these(findings: list[str], rule: str) -> None:
    assert any(finding.startswith(rule) for finding in findings)
