"""A real browser: Debian's Chromium, driven by Playwright, with axe-core to check accessibility."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from playwright.sync_api import expect, sync_playwright

from scripts.sam_build import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

SWITCH = "URLSUM_TEST_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No sandbox, because the tests may run as root; no connections except to the page's own server.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Playwright's default time-out is 30 s. A page on loopback loads at once, and a failure should show soon.
PATIENCE_MILLISECONDS = 10_000
# After a lost response or two, a page polls again after 2 and 4 s; a busy machine needs additional time.
expect.set_options(timeout=15_000)
AXE = Path(__file__).parents[2] / "e2e" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = ROOT / "screenshots"
# Pictures are for people: make test-browser takes them, make test has no time for them.
CAMERA = "URLSUM_TEST_SCREENSHOTS"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1000, "height": 760}


def missing(what: str) -> None:
    """Skip, or fail if .ci/run requires the browser."""
    (pytest.fail if os.environ.get(SWITCH) == "required" else pytest.skip)(what)


@contextmanager
def chromium() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        missing("no Chromium is installed here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """One visitor's browser, with its own cookies, clipboard permissions and preferences; collects its errors."""

    browser: Browser
    options: dict[str, Any]
    complaints: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.context: BrowserContext = self.browser.new_context(
            viewport=self.options.pop("viewport", DESKTOP), **self.options
        )
        self.context.set_default_timeout(PATIENCE_MILLISECONDS)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"a dialog: {dialog.message}"))
        return self

    def __exit__(self, *exc: object) -> None:
        self.context.close()

    def _hear(self, message: ConsoleMessage) -> None:
        # The page of a failed or unknown task has an error status, which the browser logs.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    def dress(self, dress: dict[str, Any]) -> None:
        """Change the colours that the visitor prefers, and the window, without loading the page again."""
        self.page.set_viewport_size(dress.get("viewport", DESKTOP))
        # Without motion, or a colour could be judged half-way to another.
        self.page.emulate_media(color_scheme=dress["color_scheme"], reduced_motion="reduce")

    def violations(self, rules: list[str] | None = None) -> list[str]:
        """The findings of axe-core on the current page; with ``rules``, of these alone."""
        if not AXE.is_file():
            missing("no axe-core is installed here: make test-browser fetches it where there is npm")
        # Not as a script element, which the page's policy would block.
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        options: dict[str, Any] = {} if rules is None else {"runOnly": {"type": "rule", "values": rules}}
        results: dict[str, Any] = self.page.evaluate("options => axe.run(options)", options)
        assert results["passes"], "axe looked at nothing"
        return [
            f"{violation['id']}: {violation['help']}: {node['html']}: {node['failureSummary']}"
            for violation in results["violations"]
            for node in violation["nodes"]
        ]

    def overflow(self) -> int:
        """The pixels by which the page is wider than the window."""
        wider: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return wider

    def photograph(self, name: str) -> None:
        if CAMERA not in os.environ:
            return
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.locator("body").screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")
