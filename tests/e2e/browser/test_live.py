"""The page of an unfinished task: it moves by itself, asks no sooner than it may, and says what it knows."""

from __future__ import annotations

import itertools
import random
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.e2e.browser.live_service import SLACK_SECONDS
from tests.integration.web.conftest import MD5, NOW
from tests.support.processes.selfhosted import wait_until
from urlsum.text.format import human_bytes
from urlsum.web.pages.filters import duration

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.browser.conftest import Visit
    from tests.e2e.browser.live_service import LiveService, PageRequest

pytestmark = pytest.mark.browser

HEARD = """() => {
  window.heard = [];
  new MutationObserver(() => window.heard.push(document.getElementById("announcement").textContent))
    .observe(document.getElementById("announcement"), {childList: true, characterData: true, subtree: true});
}"""


def never_sooner(asked: list[PageRequest]) -> None:
    """Check that every request came at least as late as the answer before it said."""
    for before, after in itertools.pairwise(asked):
        assert before.retry_after is not None
        assert after.at - before.answered >= before.retry_after, (before, after)


def fact(page: Page, identity: str) -> Any:
    return expect(page.locator(f"#{identity}"))


@pytest.mark.parametrize("scripts", [True, False])
def test_it_asks_as_retry_after_says_and_never_sooner(visit: Visit, service: LiveService, scripts: bool) -> None:
    task = service.running(percent=1)
    service.hashed(task, 1, rate=1000)  # an end that is far away
    service.age(8)
    page = visit(java_script_enabled=scripts).page
    page.goto(service.page(task))
    asked = service.recorder.asked
    for different, age in ((1, 28), (2, 18), (3, None)):
        for _ in range(200):  # a page that asks too late fails below
            if len({each.retry_after for each in asked}) == different and len(asked) > different:
                break
            page.wait_for_timeout(100)
        if age is not None:
            service.age(age)
    assert len({each.retry_after for each in asked}) == 3
    never_sooner(asked)
    for before, after in itertools.pairwise(asked):
        assert after.at - before.answered < (before.retry_after or 0) + SLACK_SECONDS  # but it does ask
    assert [each.page for each in asked] == [True, *[not scripts] * (len(asked) - 1)]


def test_it_shows_what_is_being_done_and_how_far_it_is_without_being_loaded_again(
    visit: Visit, service: LiveService
) -> None:
    task = service.queued()
    page = visit().page
    page.goto(service.page(task))
    page.evaluate(HEARD)
    heading = expect(page.locator("h1"))
    heading.to_have_text("Waiting")
    fact(page, "bar").to_be_hidden()
    fact(page, "ahead").to_have_text("next in line")
    service.queued(due_at=NOW - 2)
    fact(page, "ahead").to_have_text("1 task ahead")

    task = service.claimed(task)
    heading.to_have_text("Hashing")
    fact(page, "bar").to_be_visible()
    fact(page, "hashed").to_be_hidden()
    fact(page, "ahead").to_be_hidden()

    for percent in (10, 20, 30):
        task = service.hashed(task, percent)
        fact(page, "percent").to_have_text(f"{percent}.0 %")
        fact(page, "bar").to_have_js_property("value", percent)
    fact(page, "hashed").to_have_text("210.0 MiB of 700.0 MiB")
    fact(page, "rate").to_have_text("100.0 MiB/s")
    fact(page, "left").to_have_text("about 5 s")
    assert page.title().startswith("30.0 % ")
    fact(page, "resumed").to_be_hidden()

    task = service.retrying(task, delay=12)
    heading.to_have_text("Retrying soon")
    fact(page, "why").to_have_text("(address) closed the connection 406.0 MiB before the end")
    expect(page.locator("#retry")).to_contain_text("Attempt 1 of 5 in")
    page.get_by_role("button", name="Pause updates").click()
    shown = page.locator("#when").text_content()
    page.wait_for_timeout(1_200)
    assert page.locator("#when").text_content() != shown  # it counts down
    page.get_by_role("button", name="Resume updates").click()
    fact(page, "rate").to_be_hidden()

    service.age(13)
    task = service.claimed(task)
    heading.to_have_text("Hashing")
    fact(page, "retry").to_be_hidden()
    fact(page, "resumed").to_have_text("210.0 MiB")
    heard = page.evaluate("window.heard")
    assert heard == [
        "Hashing. ",
        "30.0 % hashed.",
        "Retrying soon. (address) closed the connection 406.0 MiB before the end",
        "Hashing. ",
    ]
    assert [each.page for each in service.recorder.asked] == [True] + [False] * (len(service.recorder.asked) - 1)

    service.done(task)
    heading.to_have_text("Done")
    assert page.locator("#md5").text_content() == MD5
    asked = service.recorder.asked
    never_sooner([each for each in asked if each.status == 202])
    # The JSON that says so, and the page that shows it; then silence.
    assert [each.page for each in asked if each.status == 200] == [False, True]
    page.wait_for_timeout(1_500)
    assert len(service.recorder.asked) == len(asked)


def test_a_file_that_changed_is_begun_again_with_a_word(visit: Visit, service: LiveService) -> None:
    task = service.running(42)
    page = visit().page
    page.goto(service.page(task))
    page.evaluate(HEARD)
    fact(page, "percent").to_have_text("42.0 %")
    fact(page, "restarted").to_be_hidden()
    service.begun_again(task)
    fact(page, "restarted").to_have_text("the file may have changed")
    fact(page, "percent").to_be_hidden()
    assert page.evaluate("window.heard") == ["Restarted: the file may have changed."]
    page.reload()
    fact(page, "restarted").to_be_visible()


@pytest.mark.parametrize(
    ("ending", "heading"), [("cancelled", "This task was cancelled"), ("purged", "Task not found")]
)
def test_whatever_ends_it_is_shown(visit: Visit, service: LiveService, ending: str, heading: str) -> None:
    task = service.queued()
    page = visit().page
    page.goto(service.page(task))
    if ending == "cancelled":
        service.backend.table.save(task.cancelled(service.backend.clock()), over=task)
    else:
        service.backend.table.remove(task)
    expect(page.locator("h1")).to_have_text(heading)


def test_while_nobody_answers_it_says_so_and_asks_more_and_more_rarely(visit: Visit, service: LiveService) -> None:
    task = service.running()
    page = visit().page
    page.goto(service.page(task))
    page.evaluate(HEARD)
    service.recorder.lost = True
    wait_until(
        lambda: sum(each.status == 502 for each in service.recorder.asked) == 2, 15, lambda: service.recorder.asked
    )
    lost = expect(page.locator("#lost"))
    lost.to_contain_text("Can't reach urlsum")
    fact(page, "percent").to_have_text("42.0 %")  # what is known stays
    service.recorder.lost = False
    lost.to_be_hidden()
    last = service.recorder.asked[1:]
    assert [each.status for each in last] == [502, 502, 202]
    gaps = [after.at - before.answered for before, after in itertools.pairwise(last)]
    assert 2 <= gaps[0] < 2 + SLACK_SECONDS
    assert 4 <= gaps[1] < 4 + SLACK_SECONDS
    assert page.evaluate("window.heard") == [
        "Can't reach urlsum. This page keeps trying.",
        "Reconnected.",
    ]


def test_who_does_not_answer_may_still_say_when_to_come_again(visit: Visit, service: LiveService) -> None:
    task = service.running()
    page = visit().page
    page.goto(service.page(task))
    service.recorder.lost, service.recorder.lost_headers = True, {"Retry-After": "4"}
    wait_until(
        lambda: sum(each.status == 502 for each in service.recorder.asked) == 2, 15, lambda: service.recorder.asked
    )
    never_sooner(service.recorder.asked)


@pytest.mark.parametrize("dated", [True, False])
def test_a_time_of_day_to_come_again_is_waited_for_by_the_clock_that_gave_it(
    visit: Visit, service: LiveService, dated: bool
) -> None:
    page = visit().page
    page.goto(service.page(service.running()))
    now = time.time() - (3600 if dated else 0)  # a clock that is an hour slow says so
    service.recorder.lost_headers = {"Retry-After": formatdate(now + 7, usegmt=True)}
    service.recorder.lost_headers |= {"Date": formatdate(now, usegmt=True)} if dated else {}
    service.recorder.lost = True
    wait_until(lambda: any(each.status == 502 for each in service.recorder.asked), 15, lambda: service.recorder.asked)
    service.recorder.lost = False
    wait_until(lambda: service.recorder.asked[-1].status == 202, 15, lambda: service.recorder.asked)
    before, after = service.recorder.asked[-2:]
    assert (
        4 <= after.at - before.answered < 7 + SLACK_SECONDS
    )  # 2 s without it; the time to ask and a second's rounding


@pytest.mark.parametrize(("status", "media_type"), [(404, "text/plain"), (200, "text/html"), (410, None)])
def test_what_others_answer_ends_nothing(
    visit: Visit, service: LiveService, status: int, media_type: str | None
) -> None:
    page = visit().page
    page.goto(service.page(service.running()))
    service.recorder.lost_status, service.recorder.lost = status, True
    service.recorder.lost_headers = {"Content-Type": media_type} if media_type else {}
    expect(page.locator("#lost")).to_be_visible()
    service.recorder.lost = False
    expect(page.locator("#lost")).to_be_hidden()
    assert [each.page for each in service.recorder.asked] == [True] + [False] * (len(service.recorder.asked) - 1)


@pytest.mark.parametrize("scripts", [True, False])
def test_an_answer_that_failed_leaves_nobody_behind(visit: Visit, service: LiveService, scripts: bool) -> None:
    task = service.running()
    page = visit(java_script_enabled=scripts).page
    service.table.down = True
    page.goto(service.page(task))
    heading = expect(page.locator("h1"))
    heading.to_have_text("Temporarily unavailable")
    service.table.down = False
    service.done(task)
    heading.to_have_text("Done")
    assert [(each.status, each.page) for each in service.recorder.asked] == [(503, True), (200, True)]
    never_sooner(service.recorder.asked)


def test_without_a_network_it_goes_on_when_there_is_one_again(visit: Visit, service: LiveService) -> None:
    visitor = visit()
    visitor.page.goto(service.page(service.running()))
    visitor.context.set_offline(True)
    lost = expect(visitor.page.locator("#lost"))
    lost.to_be_visible()
    visitor.context.set_offline(False)
    lost.to_be_hidden()


def test_a_page_that_nobody_looks_at_asks_rarely_until_somebody_does(visit: Visit, service: LiveService) -> None:
    task = service.queued()
    page = visit().page
    page.clock.install()
    page.goto(service.page(task))
    looked = "seen => { Object.defineProperty(document, 'hidden', {get: () => !seen, configurable: true});"
    looked += " document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(looked, False)
    page.clock.fast_forward(28_000)
    page.wait_for_timeout(300)
    assert len(service.recorder.asked) == 1
    page.clock.fast_forward(4_000)
    wait_until(lambda: len(service.recorder.asked) == 2, SLACK_SECONDS, lambda: service.recorder.asked)
    page.clock.fast_forward(5_000)
    page.wait_for_timeout(300)
    assert len(service.recorder.asked) == 2
    page.evaluate(looked, True)
    wait_until(lambda: len(service.recorder.asked) == 3, SLACK_SECONDS, lambda: service.recorder.asked)


def test_it_can_be_paused_and_go_on(visit: Visit, service: LiveService) -> None:
    page = visit().page
    page.goto(service.page(service.queued()))
    page.get_by_role("button", name="Pause updates").click()
    count = len(service.recorder.asked)
    page.wait_for_timeout(2_500)
    assert len(service.recorder.asked) == count
    expect(page.locator("#next")).to_have_text("Updates are paused.")
    page.get_by_role("button", name="Resume updates").click()
    wait_until(lambda: len(service.recorder.asked) > count, SLACK_SECONDS, lambda: service.recorder.asked)


def test_who_paused_while_nobody_answered_is_not_told_that_it_goes_on(visit: Visit, service: LiveService) -> None:
    page = visit().page
    page.goto(service.page(service.queued()))
    service.recorder.lost = True
    lost = expect(page.locator("#lost"))
    lost.to_contain_text("Trying again")
    page.get_by_role("button", name="Pause updates").click()
    lost.to_have_text("Can't reach urlsum; these figures may be out of date.")
    page.get_by_role("button", name="Resume updates").click()
    lost.to_contain_text("Trying again")


def test_a_page_that_was_asked_to_stand_still_does(visit: Visit, service: LiveService) -> None:
    page = visit().page
    page.goto(f"{service.page(service.queued())}&refresh=no")
    page.wait_for_timeout(2_500)
    assert len(service.recorder.asked) == 1
    expect(page.get_by_role("button", name="Resume updates")).to_be_visible()


def test_without_scripts_it_refreshes_itself_and_a_link_stops_that(visit: Visit, service: LiveService) -> None:
    task = service.running(percent=10)
    page = visit(java_script_enabled=False).page
    page.goto(service.page(task))
    for hidden in ("updates", "lost"):
        expect(page.locator(f"#{hidden}")).to_be_hidden()
    service.hashed(task, 60)
    fact(page, "percent").to_have_text("60.0 %")
    page.get_by_role("link", name="Turn automatic refresh off").click()
    count = len(service.recorder.asked)
    page.wait_for_timeout(2_500)
    assert len(service.recorder.asked) == count
    page.get_by_role("link", name="Turn it on").click()
    wait_until(lambda: len(service.recorder.asked) > count + 1, 5, lambda: service.recorder.asked)


def test_script_and_server_write_figures_alike(visit: Visit, service: LiveService) -> None:
    page = visit().page
    page.goto(service.page(service.queued()))
    chance = random.Random(7)
    figures = [0, 1, 59, 60, 1023, 1024, 3600, 93_784, 86_400, 2**20 - 1, 13_314_398_618, 5 * 2**40]
    figures += [int(2 ** chance.uniform(0, 52)) for _ in range(300)]
    assert page.evaluate("all => all.map(human)", figures) == [human_bytes(figure) for figure in figures]
    assert page.evaluate("all => all.map(span)", figures) == [duration(figure) for figure in figures]
