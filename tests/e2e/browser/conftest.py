"""Fixtures of the browser tests: a Chromium for each module, and visitors for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.browser.live_service import LiveService, live_service
from tests.support.web.browser import Visitor, chromium
from tests.support.web.clients import close_servers

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Visit = Callable[..., Visitor]


# Not for the whole session: Playwright's event loop runs in this thread as long as the browser, and other tests have
# their own loops.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open a browser with the given options; fail at the end of the test if it had errors."""
    with ExitStack() as stack:
        visitors: list[Visitor] = []

        def enter(**options: Any) -> Visitor:
            visitor = stack.enter_context(Visitor(browser, options))
            visitors.append(visitor)
            return visitor

        yield enter
        assert [complaint for visitor in visitors for complaint in visitor.complaints] == []


@pytest.fixture(scope="session", autouse=True)
def _servers() -> Iterator[None]:
    yield
    close_servers()


@pytest.fixture
def service() -> Iterator[LiveService]:
    with live_service() as served:
        yield served


@pytest.fixture(scope="module")
def shared_service() -> Iterator[LiveService]:
    """A service for tests that only add tasks of their own."""
    with live_service() as served:
        yield served


@pytest.fixture(scope="module")
def reader(browser: Browser) -> Iterator[Visitor]:
    """One visitor who opens page after page: a new one takes Chromium twice the processor time of a page."""
    with Visitor(browser, {}) as visitor:
        yield visitor
