"""Every page, in every dress: what axe-core, a phone, a keyboard and a hostile URL make of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.e2e.browser.live_service import URL, with_url
from tests.integration.web.conftest import MD5
from tests.support.web.browser import PHONE, Visitor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.e2e.browser.conftest import Visit
    from tests.e2e.browser.live_service import LiveService

pytestmark = pytest.mark.browser

DRESSES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light"},
    "phone-dark": {"viewport": PHONE, "color_scheme": "dark"},
}
# In a context of its own: Chromium keeps the white ground when it is switched off again.
FORCED: dict[str, Any] = {"forced_colors": "active", "reduced_motion": "reduce"}
HOSTILE = [
    "https://a.org/<script>alert(1)</script>",
    'https://a.org/"><img src=x onerror=alert(1)>',
    "https://a.org/'-alert(1)-'",
    "https://a.org/</title></style><script>alert(1)</script>",
    "https://a.org/{{7*7}}${7*7}",
    "javascript:alert(1)//",
    "https://a.org/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "https://a.org/" + "w" * 2000,
    "https://a.org/" + "%E2%80%AE" * 50 + "gpj.exe",
    "https://a.org/مرحبا/世界/" + "\U0001d54f" * 200,
    "https://" + ".".join(["sub" * 20] * 4) + ".org/",
]


# The rules of axe that look at colours and boxes. All others judge elements, names and roles.
LOOKS = ["color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable", "css-orientation-lock"]
# What a page that keeps itself up to date changes by itself.
MOVING = re.compile(r"Next update in [0-9]+ s|Updating now|[0-9]+ s\b")


@pytest.mark.timeout(240)  # twenty pages, each in five dresses
def test_axe_finds_nothing_and_nothing_sticks_out(visit: Visit, service: LiveService) -> None:
    """Each page is loaded once and judged by all rules; in other dresses, only how it looks can differ."""
    visitor, forced = visit(), visit(**FORCED)
    found: dict[tuple[str, str], list[str]] = {}
    trees: dict[str, str] = {}
    for name, address in service.every_page().items():
        visitor.page.goto(address)
        for dress, options in DRESSES.items():
            visitor.dress(options)
            found[name, dress], heard = judged(visitor, f"{name}-{dress}", LOOKS if name in trees else None)
            # What a screen reader hears is the same in each dress, so the other rules need no second look.
            assert heard == trees.setdefault(name, heard), (name, dress)
        forced.page.goto(address)
        found[name, "forced"], heard = judged(forced, f"{name}-forced-colours", LOOKS)
        assert heard == trees[name], name
    assert found == {key: [] for key in found}


def judged(visitor: Visitor, name: str, rules: list[str] | None) -> tuple[list[str], str]:
    """What axe says of a page by these rules, and what a screen reader hears of it."""
    visitor.photograph(name)
    assert visitor.overflow() <= 0, name
    return visitor.violations(rules), MOVING.sub("", visitor.page.locator("body").aria_snapshot())


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        ("document.querySelector('.url').style.color = '#999'", "color-contrast"),
        ("document.title = ''", "document-title"),
        ("document.documentElement.removeAttribute('lang')", "html-has-lang"),
    ],
)
def test_axe_would_find_it(visit: Visit, service: LiveService, damage: str, rule: str) -> None:
    visitor = visit()
    visitor.page.goto(service.page(service.done()))  # a page of a running task mends its title with each response
    visitor.page.evaluate(damage)
    assert [found.partition(":")[0] for found in visitor.violations()] == [rule]


def test_a_page_that_comes_back_by_itself_is_as_good(visit: Visit, service: LiveService) -> None:
    task = service.running()
    service.table.down = True
    for dress in ("light", "phone-dark"):
        visitor = visit(**DRESSES[dress])
        visitor.page.goto(f"{service.page(task)}&refresh=no")
        visitor.photograph(f"later-{dress}")
        assert visitor.violations() == []
        assert visitor.overflow() <= 0
    expect(visitor.page.get_by_role("link", name="Turn it on")).to_be_visible()


def test_a_long_url_that_failed_can_be_tried_again(visit: Visit, service: LiveService) -> None:
    task = service.failed(url=f"https://data.example.org/file?name={'%41' * 2500}")
    page = visit().page
    page.goto(service.page(task))
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("h1")).to_have_text("Waiting")
    assert service.backend.table.get(service.backend.queue.sent[-1][0]).url == task.url


@pytest.mark.parametrize("dress", ["light", "phone-dark"])
def test_the_url_that_was_meant_is_one_click_away(visit: Visit, service: LiveService, dress: str) -> None:
    visitor = visit(**DRESSES[dress])
    page = visitor.page
    path = "ftp.example.org/pub/" + "long_name_without_a_break_" * 10
    page.goto(service.base)
    page.get_by_label("URL of the file").fill(f" ftp://{path} ")
    page.get_by_label("Expected MD5").fill(f"{MD5.upper()}  reads.bam")
    page.get_by_role("button", name="Compute MD5").click()
    button = page.get_by_role("button", name=f"Use https://{path}")
    expect(button).to_be_visible()
    visitor.photograph(f"suggested-{dress}")
    assert visitor.violations() == []
    assert visitor.overflow() <= 0
    button.click()
    expect(page.locator("h1")).to_have_text("Waiting")
    task = service.backend.table.get(service.backend.queue.sent[-1][0])
    assert (task.url, task.expected_md5) == (f"https://{path}", MD5)


def test_a_form_that_was_refused_is_as_good(visit: Visit, service: LiveService) -> None:
    for dress in ("light", "dark"):
        visitor = visit(**DRESSES[dress])
        page = visitor.page
        page.goto(service.base)
        page.get_by_label("URL of the file").fill("http://127.0.0.1/secret")
        page.get_by_role("button").click()
        field = page.get_by_label("URL of the file")
        expect(field).to_be_focused()
        expect(field).to_have_accessible_description(
            "Use an http or https link to a public host. urlsum won't connect to this address. Use a public host and a"
            " standard port, such as 80 or 443."
        )
        visitor.photograph(f"refused-{dress}")
        assert visitor.violations() == []


def background(page: Page) -> str:
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


def test_it_is_dark_where_the_reader_likes_it_dark(visit: Visit, service: LiveService) -> None:
    light, dark = visit(color_scheme="light").page, visit(color_scheme="dark").page
    for page in (light, dark):
        page.goto(service.base)
    brightness = [sum(int(part) for part in background(page)[4:-1].split(",")) for page in (light, dark)]
    assert brightness[0] > 600
    assert brightness[1] < 120


def test_nothing_moves_where_the_reader_likes_it_still(visit: Visit, service: LiveService) -> None:
    moving = "document.getAnimations().length"
    task = service.claimed()  # of unknown length: its bar wanders
    for taste, count in (("no-preference", 1), ("reduce", 0)):
        page = visit(reduced_motion=taste).page
        page.goto(service.page(task))
        assert page.evaluate(moving) == count


def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(visit: Visit, service: LiveService) -> None:
    page = visit().page
    stops = {
        # The first field has the focus already.
        service.base: ["INPUT:md5", "INPUT:email", "INPUT:fresh", "BUTTON:Compute MD5"],
        service.page(service.done()): [
            "A:urlsum",
            "BUTTON:Copy MD5",
            "BUTTON:Copy as JSON",
            "INPUT:",
            "A:Download this line as an .md5 file",
            "SUMMARY:As JSON",
            "A:Check another file",
        ],
        service.page(service.failed()): ["A:urlsum", "BUTTON:Try again", "A:Edit and retry"],
        service.page(service.running()): [
            "A:urlsum",
            "BUTTON:Pause updates",
            "A:Cancel this task",
            "BUTTON:Notify me when it ends",
        ],
        f"{service.page(service.running())}&cancel=ask": ["A:urlsum", "BUTTON:Cancel the task", "A:Keep it"],
    }
    for address, expected in stops.items():
        page.goto(address)
        reached = []
        for _ in expected:
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate("(e => `${e.tagName}:${e.name || e.textContent.trim()}`)(document.activeElement)")
            )
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid", reached
        assert reached == expected


@pytest.fixture(scope="module")
def phone(browser: Browser) -> Iterator[Visitor]:
    """One visitor with a phone, who opens page after page."""
    with Visitor(browser, {"viewport": PHONE}) as visitor:
        yield visitor


@pytest.mark.parametrize("url", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_url_is_text_and_nothing_else(phone: Visitor, shared_service: LiveService, url: str) -> None:
    service, page = shared_service, phone.page
    for task in (
        service.running(),
        service.done(),
        service.failed(expected_md5=MD5),
        service.retrying(),
        service.cancelled(),
    ):
        page.goto(service.page(with_url(service, task, url)))
        assert page.locator(".url").evaluate("e => e.textContent") == url
        # The page's own elements only.
        assert page.locator("img, iframe, main a[href^='javascript']").count() == 0
        assert page.locator("script").count() <= 2
        assert phone.overflow() <= 0
        if task.complete and task.error:
            assert page.locator("input[name=url]").input_value() == url
    assert phone.complaints == []


def test_what_an_origin_says_is_text_where_the_script_writes_it(visit: Visit, service: LiveService) -> None:
    task = service.queued()
    page = visit().page
    page.goto(service.page(task))
    claimed = service.claimed(task)
    hostile = "<img src=x onerror=alert(1)> $& $1 </p>"
    failure = service.retrying(claimed)
    assert failure.error is not None
    service.backend.table.save(
        replace(failure, error=replace(failure.error, message=f"{URL}: {hostile}")), over=failure
    )
    expect(page.locator("#why")).to_have_text(hostile)
    assert page.locator("img").count() == 0


def test_no_script_but_the_pages_own_runs(visit: Visit, service: LiveService) -> None:
    visitor = visit()
    visitor.page.goto(service.page(service.done()))
    visitor.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}))"
    )
    assert visitor.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in complaint for complaint in visitor.complaints)
    visitor.complaints.clear()
