"""Debian's web servers, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.origin.web_servers import PROGRAMS, web_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.origin.web_servers import WebServer


@pytest.fixture(scope="package", params=sorted(PROGRAMS))
def server(request: pytest.FixtureRequest) -> Iterator[WebServer]:
    with web_server(request.param) as running:
        yield running
