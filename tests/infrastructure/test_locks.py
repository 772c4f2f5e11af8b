"""The locks: every file that an installation fetches has a hash, and every version is written down once."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.support.imports import required_by

ROOT = Path(__file__).parents[2]
NAMES = [
    "requirements",
    "requirements-sam",
    "requirements-audit",
    "requirements-mutants",
    "selfhost/requirements",
    "src/requirements",
    "docker/mail/requirements",
]
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==(?P<version>[^\s;\\]+)", re.IGNORECASE)
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def lines(name: str, suffix: str) -> list[str]:
    """The lines of a requirements file that are no comments."""
    text = (ROOT / f"{name}{suffix}").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def pins(name: str, suffix: str) -> dict[str, str]:
    """The versions that a requirements file pins, by name."""
    found = (PIN.match(line) for line in lines(name, suffix))
    return {match["name"].lower(): match["version"] for match in found if match}


@pytest.mark.parametrize("name", NAMES)
def test_every_package_of_a_lock_has_a_hash(name: str) -> None:
    content = lines(name, ".txt")
    bare = [
        line
        for line, after in zip(content, [*content[1:], ""], strict=True)
        if PIN.match(line) and not HASH.match(after)
    ]
    assert pins(name, ".txt")
    assert bare == []


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_holds_pins_and_hashes_and_nothing_else(name: str) -> None:
    """In particular it holds no address of an index: pip's own configuration names the index."""
    assert [line for line in lines(name, ".txt") if not PIN.match(line) and not HASH.match(line)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_has_the_versions_of_its_source(name: str) -> None:
    wanted = pins(name, ".in")
    assert wanted.items() <= pins(name, ".txt").items()


@pytest.mark.parametrize("name", ["selfhost/requirements", "src/requirements"])
def test_what_is_deployed_is_what_was_tested(name: str) -> None:
    assert pins(name, ".txt").items() <= pins("requirements", ".txt").items()


@pytest.mark.parametrize("name", ["requirements", "selfhost/requirements", "src/requirements"])
def test_a_lock_names_every_package_that_its_packages_require(name: str) -> None:
    """`make install` has pip look for no other."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert required_by(pins(name, ".in"), python=python) <= pins(name, ".txt").keys()
