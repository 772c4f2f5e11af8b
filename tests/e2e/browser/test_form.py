"""The form: what fills it, what it offers for several URLs, and the list of recent tasks; cancelling; notifications."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from scripts.sam_build import ROOT
from tests.e2e.browser.live_service import URL
from tests.integration.web.conftest import MD5, changed
from urlsum.cli import options
from urlsum.task import Status

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.browser.conftest import Visit
    from tests.e2e.browser.live_service import LiveService
    from tests.support.web.browser import Visitor

pytestmark = pytest.mark.browser

PASTE = """text => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  const event = new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true});
  return document.getElementById("url").dispatchEvent(event);
}"""


def names(page: Page) -> list[str]:
    return page.locator("#recent li a").all_text_contents()


def test_a_link_fills_the_form_and_submits_nothing(visit: Visit, service: LiveService) -> None:
    page = visit().page
    url = f"{URL}?a=1&b=%20ä"
    page.goto(f"{service.base}/?url={quote(url, safe='')}&md5={MD5}&other=1")
    expect(page.get_by_label("URL of the file")).to_have_value(url)
    expect(page.get_by_label("URL of the file")).to_be_focused()
    expect(page.get_by_label("Expected MD5")).to_have_value(MD5)
    assert service.backend.queue.sent == []
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Waiting")
    [(task_id, _)] = service.backend.queue.sent
    task = service.backend.table.get(task_id)
    assert (task.url, task.expected_md5) == (url, MD5)


def test_the_bookmarklet_of_the_guide_opens_the_form_with_the_address(visit: Visit, service: LiveService) -> None:
    [code] = re.findall(r"^javascript:(.+)$", (ROOT / "docs" / "page.md").read_text(encoding="utf-8"), re.MULTILINE)
    page = visit().page
    address = f"{service.base}/nowhere?a=1&b=%20#part"
    page.goto(address)
    page.evaluate(code.replace("https://urlsum.example.org", service.base))
    expect(page.get_by_label("URL of the file")).to_have_value(address)


def test_a_failed_submission_can_be_edited(visit: Visit, service: LiveService) -> None:
    page = visit().page
    page.goto(service.page(service.failed(expected_md5=MD5)))
    page.get_by_role("link", name="Edit and retry").click()
    expect(page.get_by_label("URL of the file")).to_have_value(URL)
    expect(page.get_by_label("Expected MD5")).to_have_value(MD5)


def command(page: Page) -> options.Options:
    """The command that the page offers, as the command line reads it."""
    program, *arguments = shlex.split(page.locator("#several pre").inner_text())
    assert program == "urlsum"
    return options.parse(arguments, {})


def test_several_urls_lead_to_the_command_and_one_does_not(visit: Visit, service: LiveService) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(service.base)
    several = expect(page.locator("#several"))
    # The browser would join the lines.
    assert page.evaluate(PASTE, "https://a.example/1\nhttps://b.example/it's;2?a=1&b=2\n") is False
    several.to_contain_text("You pasted 2 URLs, and this form takes one.")
    found = command(page)
    assert (found.server, list(found.names)) == (
        service.base,
        ["https://a.example/1", "https://b.example/it's;2?a=1&b=2"],
    )
    visitor.photograph("several")
    assert visitor.violations() == []
    assert visitor.overflow() <= 0
    assert page.evaluate(PASTE, f"{MD5}  https://a.example/1\nMD5 (https://a.example/2) = {MD5}") is False
    several.to_contain_text("save the list as MD5SUMS")
    found = command(page)
    assert (found.server, found.check, list(found.names)) == (service.base, True, ["MD5SUMS"])
    many = [f"https://a.example/{number}" for number in range(6)]
    assert page.evaluate(PASTE, "\n".join(many)) is False
    several.to_contain_text("save the list as urls.txt")
    found = command(page)
    assert (found.server, list(found.inputs), list(found.names)) == (service.base, ["urls.txt"], [])
    # An archive's URL has another one inside.
    assert page.evaluate(PASTE, "https://web.archive.org/web/2020/https://a.example/1") is True
    several.to_be_hidden()


def test_recent_tasks_are_listed_in_this_browser_until_they_are_cleared(visit: Visit, service: LiveService) -> None:
    visitor, other = visit(timezone_id="Asia/Kolkata", locale="en-GB"), visit()
    page = visitor.page
    page.goto(service.base)
    expect(page.locator("#recent")).to_be_hidden()
    task = service.queued()
    page.goto(service.page(task))
    page.goto(service.page(service.failed(url=f"{URL}.bai?sig=secret")))
    page.goto(service.base)
    assert names(page) == ["NA12878.wgs.hg38.bam.bai", "NA12878.wgs.hg38.bam"]
    expect(page.locator("#recent li").first).to_contain_text("No MD5, 5 Nov 2026, 15:30")
    expect(page.locator("#recent li").last).to_contain_text("Unfinished")
    # Names and ids, and no URL: it may be signed.
    kept = page.evaluate("JSON.stringify(localStorage)")
    assert "secret" not in kept
    assert "https" not in kept
    visitor.photograph("recent")
    assert visitor.violations() == []
    # The newest first, each once, and its end when that was seen.
    service.done(service.claimed(task))
    page.locator("#recent li a").last.click()
    expect(page.locator("h1")).to_have_text("Done")
    page.go_back()
    expect(page.locator("#recent li").first).to_contain_text("Done")
    assert names(page) == ["NA12878.wgs.hg38.bam", "NA12878.wgs.hg38.bam.bai"]
    # A task that is gone leaves the list when somebody looks.
    service.backend.table.remove(service.backend.table.get(task.id))
    page.locator("#recent li a").first.click()
    expect(page.locator("h1")).to_have_text("Task not found")
    page.goto(service.base)
    assert names(page) == ["NA12878.wgs.hg38.bam.bai"]
    other.page.goto(service.base)
    expect(other.page.locator("#recent")).to_be_hidden()
    page.get_by_role("button", name="Clear the list").click()
    expect(page.locator("#recent")).to_be_hidden()
    page.reload()
    expect(page.locator("#recent")).to_be_hidden()


@pytest.mark.parametrize(
    "kept",
    [
        "no JSON",
        "{}",
        "null",
        '[null, 1, {"id": "javascript:alert(1)"}]',
        json.dumps([{"id": "0e4fac17-f367-4807-8c28-8a059a2f82ac", "name": "<img src=x onerror=alert(1)>"}]),
    ],
)
def test_what_else_is_in_the_storage_breaks_nothing(reader: Visitor, shared_service: LiveService, kept: str) -> None:
    service, page = shared_service, reader.page
    page.goto(service.base)
    page.evaluate("kept => localStorage.setItem('urlsum /', kept)", kept)
    page.reload()
    assert page.locator("#recent img").count() == 0
    page.goto(service.page(service.queued()))
    page.goto(service.base)
    assert names(page)[0] == "NA12878.wgs.hg38.bam"
    assert reader.complaints == []


def test_without_storage_everything_else_works(visit: Visit, service: LiveService) -> None:
    page = visit().page
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('', 'SecurityError'); }})"
    )
    task = service.queued()
    page.goto(service.page(task))
    service.claimed(task)
    expect(page.locator("h1")).to_have_text("Hashing")
    page.goto(service.base)
    expect(page.locator("#recent")).to_be_hidden()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_task_can_be_kept_or_cancelled(visit: Visit, service: LiveService, scripts: bool) -> None:
    visitor = visit(java_script_enabled=scripts)
    page, task = visitor.page, service.running()
    page.goto(service.page(task))
    page.get_by_role("link", name="Cancel this task").click()
    expect(page.locator("h1")).to_have_text("Cancel this task?")
    expect(page.locator(".note")).to_contain_text("294.0 MiB hashed so far are lost")
    visitor.photograph("cancel")
    page.get_by_role("link", name="Keep it").click()
    expect(page.locator("h1")).to_have_text("Hashing")
    assert service.backend.table.get(task.id).status is Status.RUNNING
    page.get_by_role("link", name="Cancel this task").click()
    page.get_by_role("button", name="Cancel the task").click()
    expect(page.locator("h1")).to_have_text("This task was cancelled")
    assert service.backend.table.get(task.id).status is Status.CANCELLED
    page.get_by_role("button", name="Submit again").click()
    expect(page.locator("h1")).to_have_text("Waiting")


NOTIFICATIONS = """
window.shown = [];
const Browser = Notification;
window.Notification = class {
  static requestPermission() { return Browser.requestPermission(); }
  static get permission() { return Browser.permission; }
  constructor(title, {body}) {
    localStorage.setItem("shown", JSON.stringify([title, body]));
    if (window.refuses) throw new TypeError("Illegal constructor");
  }
};
"""


def ended(service: LiveService, task: Any) -> None:
    service.done(service.claimed(task))


@pytest.mark.parametrize("asked", [True, False])
def test_a_notification_comes_at_the_end_if_it_was_asked_for(visit: Visit, service: LiveService, asked: bool) -> None:
    page = visit(permissions=["notifications"]).page
    page.add_init_script(NOTIFICATIONS)
    task = service.queued()
    page.goto(service.page(task))
    button = page.get_by_role("button", name="notif")
    if asked:
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
    ended(service, task)
    expect(page.locator("h1")).to_have_text("Done")
    shown = page.evaluate("localStorage.getItem('shown')")
    assert shown == ('["NA12878.wgs.hg38.bam","The MD5 is known."]' if asked else None)


def test_a_browser_that_blocks_notifications_says_so(visit: Visit, service: LiveService) -> None:
    page = visit().page  # headless browsers refuse what was not granted
    page.goto(service.page(service.queued()))
    page.get_by_role("button", name="Notify me when it ends").click()
    expect(page.get_by_role("button", name="Your browser blocks notifications")).to_be_visible()


def test_a_browser_that_cannot_notify_shows_the_end_all_the_same(visit: Visit, service: LiveService) -> None:
    page = visit(permissions=["notifications"]).page
    page.add_init_script(f"{NOTIFICATIONS} window.refuses = true;")
    task = service.queued()
    page.goto(service.page(task))
    page.get_by_role("button", name="Notify me when it ends").click()
    expect(page.get_by_role("button", name="You will be notified")).to_be_visible()
    ended(service, task)
    expect(page.locator("h1")).to_have_text("Done")


def test_times_are_local_beside_utc(visit: Visit, service: LiveService) -> None:
    page = visit(timezone_id="America/New_York", locale="en-US").page
    page.goto(service.page(service.done()))
    facts = expect(page.locator(".facts"))
    facts.to_contain_text("2026-11-05 10:00:00 UTC")
    facts.to_contain_text("Nov 5, 2026, 5:00 AM local time")


def test_the_figures_of_the_reader_move_while_a_task_waits_for_it(visit: Visit, service: LiveService) -> None:
    reader, follower = service.following()
    visitor = visit()
    page = visitor.page
    page.goto(service.page(follower))
    expect(page.locator("h1")).to_have_text("Waiting")
    expect(page.locator("#reader")).to_be_visible()
    expect(page.locator("#percent")).to_have_text("42.0 %")
    visitor.photograph("following")
    reader = service.hashed(reader, 60)
    expect(page.locator("#percent")).to_have_text("60.0 %")
    service.done(reader)
    expect(page.locator("#reader")).to_be_hidden()
    expect(page.locator("#percent")).to_be_hidden()
    changed(service.backend, follower, replace(follower, lease_until=2**40))
    expect(page.locator("h1")).to_have_text("Hashing")
