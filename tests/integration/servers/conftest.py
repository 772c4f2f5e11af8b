"""Debian's web servers, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.servers import PROGRAMS, web_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.servers import WebServer


@pytest.fixture(scope="package", params=sorted(PROGRAMS))
def server(request: pytest.FixtureRequest) -> Iterator[WebServer]:
    with web_server(request.param) as running:
        yield running
