"""Lint template.yaml and its translation from SAM to CloudFormation; exit 1 on any finding.

cfn-lint covers CloudFormation's resources better than SAM's: it finds a wrong RecursiveLoop only after the
translation. Runs offline.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from tests.support.aws import template, translation

if TYPE_CHECKING:
    from tests.support.aws.intrinsics import Template

REGIONS = ["us-east-1", "eu-central-1"]


def findings(source: str) -> list[str]:
    """The findings of cfn-lint on a template, one line each."""
    # Imported here, because it takes half a second, which every process of a test run would pay.
    from cfnlint.api import lint  # type: ignore[import-untyped]  # noqa: PLC0415

    return [f"{match.rule.id} line {match.linenumber}: {match.message}" for match in lint(source, regions=REGIONS)]


def translated_findings(source: Template) -> list[str]:
    """The findings of cfn-lint on the translation of a SAM template, for both architectures."""
    lines = []
    for architecture in source["Parameters"]["Architecture"]["AllowedValues"]:
        translated = translation.translate(source, {**template.PARAMETERS, "Architecture": architecture})
        lines += findings(json.dumps(translated, indent=1))
    return lines


def main() -> int:
    """Print the findings of both forms; return the exit status."""
    lines = [f"source: {line}" for line in findings(template.PATH.read_text(encoding="utf-8"))]
    lines += [f"translated: {line}" for line in translated_findings(template.load())]
    for line in lines:
        print(f"template.yaml: {line}", file=sys.stderr)  # noqa: T201 (a command's findings)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
