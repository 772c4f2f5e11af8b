"""Debian's web servers, one after the other; and which cases of their products the gate runs."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.servers.covering import covering
from tests.support.origin.web_servers import PROGRAMS, web_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.origin.web_servers import WebServer

FOLDER = Path(__file__).parent
# These are points of one file, and have their own choice.
POINTS = "points"


@pytest.fixture(scope="package", params=sorted(PROGRAMS))
def server(request: pytest.FixtureRequest) -> Iterator[WebServer]:
    with web_server(request.param) as running:
        yield running


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is long
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark a case as long if each pair of its server, client, way and so on is in other cases of its test.

    All of them take two and a half times the processor time. What needs three of these at once is left to ``make
    test-long``.
    """
    families = defaultdict[str, list[pytest.Function]](list)
    for item in items:
        if isinstance(item, pytest.Function) and item.path.parent == FOLDER and hasattr(item, "callspec"):
            families[item.originalname].append(item)
    for family in families.values():
        # pytest's own indices count the cases, not the values.
        values: dict[str, list[object]] = {}
        for item in family:
            for name, value in item.callspec.params.items():
                if name != POINTS and value not in values.setdefault(name, []):
                    values[name].append(value)
        # The server first: it has the most values. Then the client, and the rest by name.
        names = [name for name, found in values.items() if len(found) > 1]
        names.sort(key=lambda name: (name != "server", name != "client", name))
        if len(names) > 2:
            chosen = covering([len(values[name]) for name in names])
            for item in family:
                case = tuple(values[name].index(item.callspec.params[name]) for name in names)
                if case not in chosen:
                    item.add_marker(pytest.mark.long)
