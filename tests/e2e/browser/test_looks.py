"""Every page, in every dress: what axe-core, a phone, a keyboard and a hostile URL make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.e2e.browser.live_service import URL, with_url
from tests.integration.web.conftest import MD5
from tests.support.web.browser import PHONE

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.browser.conftest import Visit
    from tests.e2e.browser.live_service import LiveService

pytestmark = pytest.mark.browser

DRESSES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light"},
    "phone-dark": {"viewport": PHONE, "color_scheme": "dark"},
    "forced-colours": {"forced_colors": "active", "reduced_motion": "reduce"},
}
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


@pytest.mark.timeout(240)  # thirteen pages, each judged by some ninety rules
@pytest.mark.parametrize("dress", DRESSES)
def test_axe_finds_nothing_and_nothing_sticks_out(visit: Visit, service: LiveService, dress: str) -> None:
    visitor = visit(**DRESSES[dress])
    found = {}
    for name, address in service.every_page().items():
        visitor.page.goto(address)
        visitor.photograph(f"{name}-{dress}")
        found[name] = visitor.violations()
        assert visitor.overflow() <= 0, name
    assert found == {name: [] for name in found}


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
    visitor.page.goto(service.page(service.running()))
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
    task = service.failed(url=f"https://data.example.org/file?token={'%41' * 2500}")
    page = visit().page
    page.goto(service.page(task))
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("h1")).to_have_text("Waiting for a worker")
    assert service.backend.table.get(service.backend.queue.sent[-1][0]).url == task.url


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
        service.base: ["A:urlsum", "INPUT:url", "INPUT:md5", "INPUT:email", "BUTTON:Compute MD5"],
        service.page(service.done()): [
            "A:urlsum",
            "BUTTON:Copy MD5",
            "A:Download this line as an .md5 file",
            "A:Check another file",
        ],
        service.page(service.failed()): ["A:urlsum", "BUTTON:Try again", "A:use the form"],
        service.page(service.running()): ["A:urlsum", "BUTTON:Pause updates"],
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


@pytest.mark.parametrize("url", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_url_is_text_and_nothing_else(visit: Visit, service: LiveService, url: str) -> None:
    visitor = visit(viewport=PHONE)
    page = visitor.page
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
        assert page.locator("script").count() <= 1
        assert visitor.overflow() <= 0
        if task.complete and task.error:
            assert page.locator("input[name=url]").input_value() == url


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
