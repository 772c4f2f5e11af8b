"""The lint of `make check`: that it is clean, and that it finds what it is there for."""

from __future__ import annotations

from copy import deepcopy

import pytest

from scripts import lint_template
from tests.support import template


def test_the_template_is_clean_as_written_and_as_translated() -> None:
    assert lint_template.main() == 0


@pytest.mark.parametrize(
    ("resource", "name", "value", "rule"),
    [
        ("HashWorkerFunction", "RecursiveLoop", "Allowed", "E3030"),
        ("TasksQueue", "VisibilityTimeout", 200, "E3505"),
    ],
)
def test_only_the_lint_of_the_translation_finds_these(resource: str, name: str, value: object, rule: str) -> None:
    broken = deepcopy(template.load())
    broken["Resources"][resource]["Properties"][name] = value
    assert any(finding.startswith(rule) for finding in lint_template.translated_findings(broken))
