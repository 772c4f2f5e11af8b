"""The version: one place says it, and everything else reads it there."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import date
from pathlib import Path

from urlsum import __version__

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "src" / "urlsum" / "__init__.py"
FILES = ["pyproject.toml", "template.yaml", "samconfig.toml", "compose.yaml", "Dockerfile", "Makefile", "README.md"]
RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\S+)$", re.MULTILINE)


def test_no_other_file_of_the_project_holds_a_copy() -> None:
    version = re.compile(rf"(?<![\d.]){re.escape(__version__)}(?![\d.])")
    sources = [path for folder in ("src", "functions", "selfhost", "scripts") for path in (ROOT / folder).rglob("*.py")]
    files = [*sources, *(ROOT / name for name in FILES)]
    assert [path for path in files if version.search(path.read_text(encoding="utf-8"))] == [PLACE]


def test_the_package_reads_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "urlsum.__version__"}


def test_the_description_of_the_api_has_it() -> None:
    description = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert description["info"]["version"] == __version__


def test_the_changelog_has_it_as_its_newest_release_with_its_day() -> None:
    releases = RELEASE.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert releases[0][0] == __version__
    days = [date.fromisoformat(day) for _, day in releases]
    assert days == sorted(days, reverse=True)
