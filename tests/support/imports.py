"""Reads from the sources which packages a part of the code imports, and from metadata what those require."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import packages_distributions, requires
from typing import TYPE_CHECKING

import grimp
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

OURS = frozenset({"urlsum", "functions", "selfhost"})


@cache
def graph() -> grimp.ImportGraph:
    """Every import of the sources, including lazy ones, without those that only a type checker follows."""
    return grimp.build_graph(
        *sorted(OURS), include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


def modules(package: str) -> set[str]:
    """The package's own modules, itself included."""
    return {name for name in graph().modules if name == package or name.startswith(f"{package}.")}


def reached(roots: Iterable[str], *, without: Collection[tuple[str, str]] = ()) -> set[str]:
    """Our modules that an import of ``roots`` can load, unless an import in ``without`` (importer, imported) is needed.

    Importing a module imports its parents too. Raises ValueError for an entry of ``without`` that no source contains.
    """
    for importer, imported in without:
        if not graph().direct_import_exists(importer=importer, imported=imported):
            raise ValueError(f"{importer} does not import {imported}")
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found and name.partition(".")[0] in OURS:
            found.add(name)
            waiting += [
                imported
                for imported in graph().find_modules_directly_imported_by(name)
                if (name, imported) not in without
            ]
            waiting += [name.rpartition(".")[0]]
    return found


def imported_by(names: Iterable[str], *, without: Collection[tuple[str, str]] = ()) -> set[str]:
    """The distributions, by normalized name, that these modules import themselves."""
    packages = {
        imported.partition(".")[0]
        for name in names
        for imported in graph().find_modules_directly_imported_by(name)
        if (name, imported) not in without
    }
    return distributions(packages - OURS)


def distributions(packages: Iterable[str]) -> set[str]:
    """The distributions, by normalized name, that install these top-level packages; the standard library has none."""
    known = packages_distributions()
    return {
        canonicalize_name(name)
        for package in packages
        if package not in sys.stdlib_module_names
        for name in known[package]
    }


def required_by(names: Iterable[str], *, python: str) -> set[str]:
    """``names`` and the distributions that their metadata require on ``python`` (``"3.13"``), at any depth."""
    # A later patch version than any that a marker excludes.
    environment = {"python_version": python, "python_full_version": f"{python}.99"}
    found: set[str] = set()
    waiting = [(canonicalize_name(name), "") for name in names]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found.add(name)
        for text in requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra}):
                waiting += [(canonicalize_name(requirement.name), wanted) for wanted in ("", *requirement.extras)]
    return found
