"""A person with a browser in front of what `make run` starts: from the form to the verdict."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect

from scripts.sam_build import ROOT
from tests.support.origin.origin_server import File, OriginServer, head
from tests.support.origin.paced_origin import PacedOrigin
from tests.support.processes.selfhosted import SelfHosted, wait_until
from tests.support.web.browser import PHONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.e2e.browser.conftest import Visit
    from tests.support.origin.origin_server import Request, Steps

pytestmark = pytest.mark.browser

MIB = 2**20
BLOCK = os.urandom(MIB + 1)
SMALL = b"a file that is hashed in a moment" * 1000
SMALL_MD5 = hashlib.md5(SMALL).hexdigest()
RECIPIENT = "example@abc.ru"
# From the click to the first figure: the first checkpoint comes after a second, and the page asks every second then. As
# long again for a machine that does other things too; CHECKPOINT_SECONDS would be ten.
FIRST_PROGRESS_SECONDS = 5.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SelfHosted]:
    """What `make run` starts, with the times of checkpoint and lease that it has by default."""
    folder: Path = tmp_path_factory.mktemp("service")
    times = {"CHECKPOINT_SECONDS": "10", "LEASE_SECONDS": "90", "READ_TIMEOUT": "30", "RETRY_BASE_SECONDS": "6"}
    # Its own folder is the repository, so what it writes is pointed elsewhere.
    written = {"DATABASE_URI": f"sqlite:///{folder}/urlsum.db", "OUTBOX_DIR": f"{folder}/outbox"}
    made = SelfHosted(folder, ["make", "-s", "-C", str(ROOT), f"VENV={sys.prefix}", "run"], **times, **written)
    if not (Path(sys.prefix) / ".installed").exists():
        made.command = [sys.executable, "-m", "selfhost.server"]  # this Python is not one that make set up
    made.settings["PUBLIC_URL"] = made.base
    with made:
        yield made


def submit(page: Page, service: SelfHosted, url: str, *, md5: str = "", email: str = "") -> None:
    page.goto(service.base)
    page.get_by_label("URL of the file").fill(url)
    page.get_by_label("Expected MD5").fill(md5)
    page.get_by_label("Email address").fill(email)
    page.get_by_role("button", name="Compute MD5").click()


def heading(page: Page, text: str, seconds: float = 30) -> None:
    expect(page.locator("h1")).to_have_text(text, timeout=1000 * seconds)


def percent(page: Page) -> float:
    """What the page shows now; nothing where it does not, or is just being loaded anew."""
    shown = ""
    with suppress(PlaywrightError):
        shown = "".join(page.locator("#percent").all_text_contents())
    return float(shown.split()[0]) if shown else 0.0


def test_a_throttled_file_is_watched_from_the_form_to_the_copied_md5(
    visit: Visit, service: SelfHosted, tmp_path: Path
) -> None:
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.page
    with PacedOrigin(BLOCK, 40 * MIB + 5, rate=4 * MIB) as origin:
        # By the keyboard alone: the first field has the focus.
        page.goto(service.base)
        page.keyboard.type(origin.url)
        page.keyboard.press("Enter")
        started = time.monotonic()
        page.wait_for_url("**/check?id=*")
        seen: list[float] = []
        wait_until(lambda: percent(page) > 0, FIRST_PROGRESS_SECONDS, page.content)
        assert time.monotonic() - started < FIRST_PROGRESS_SECONDS
        while page.locator("#md5").count() == 0:
            seen.append(percent(page))
            page.wait_for_timeout(250)
            if len(set(seen)) == 3 and seen[-1] != seen[-2]:
                expect(page.locator("#hashed")).to_have_text(re.compile(r"MiB of 40\.0 MiB"))
                expect(page.locator("#rate")).to_have_text(re.compile(r"[1-4]\.[0-9] MiB/s"))
                expect(page.locator("#left")).to_have_text(re.compile(r"about [0-9]+ s"))
                visitor.photograph("service-running")
            assert time.monotonic() - started < 60
        moved = sorted({each for each in seen if each})
        assert len(moved) >= 3, seen
        assert [each for each in seen if each] == sorted(each for each in seen if each)
        heading(page, "Done")
        expect(page.locator("#md5")).to_have_text(origin.md5)
        page.get_by_role("button", name="Copy MD5").click()
        expect(page.locator("#copied")).to_have_text("✓ MD5 copied")
        assert page.evaluate("navigator.clipboard.readText()") == origin.md5
        page.get_by_role("button", name="Copy as JSON").click()
        expect(page.locator("#copied")).to_have_text("✓ JSON copied")
        answer = page.request.get(page.url, headers={"Accept": "application/json"})
        assert json.loads(page.evaluate("navigator.clipboard.readText()")) == answer.json()
        expect(page.locator("pre").first).to_have_text(f"{origin.md5}  file.bin")
        with page.expect_download() as saving:
            page.get_by_role("link", name="Download this line").click()
        assert saving.value.suggested_filename == "file.bin.md5"
        saving.value.save_as(tmp_path / "file.bin.md5")
        visitor.photograph("service-done")
        if shutil.which("md5sum"):
            copy = (BLOCK * 41)[: origin.size]
            (tmp_path / "file.bin").write_bytes(copy)
            subprocess.run(["md5sum", "--check", "--strict", "file.bin.md5"], cwd=tmp_path, check=True)


def test_where_there_is_no_clipboard_the_button_copies_all_the_same(visit: Visit, service: SelfHosted) -> None:
    page = visit(permissions=["clipboard-read"]).page
    # What a page over plain http from another machine finds.
    page.add_init_script("Object.defineProperty(Navigator.prototype, 'clipboard', {value: undefined})")
    with OriginServer(File(SMALL)) as origin:
        submit(page, service, origin.url())
        heading(page, "Done")
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.locator("#copied")).to_have_text("✓ JSON copied")
    page.get_by_role("button", name="Copy MD5").click()
    expect(page.locator("#copied")).to_have_text("✓ MD5 copied")
    page.goto(service.base)
    page.get_by_label("Expected MD5").focus()
    page.keyboard.press("Control+V")
    expect(page.get_by_label("Expected MD5")).to_have_value(SMALL_MD5)


@pytest.mark.parametrize("scripts", [True, False])
def test_one_click_selects_the_md5(visit: Visit, service: SelfHosted, scripts: bool) -> None:
    page = visit(java_script_enabled=scripts).page
    with OriginServer(File(SMALL)) as origin:
        submit(page, service, origin.url())
        heading(page, "Done")
    expect(page.get_by_role("button", name=re.compile("^Copy"))).to_have_count(2 * scripts)
    page.locator("#md5").click()
    assert page.evaluate("getSelection().toString()") == SMALL_MD5


@pytest.mark.parametrize(
    ("expected", "verdict", "sign"), [(SMALL_MD5.upper(), "Match", "✓"), ("0" * 32, "Does not match", "✗")]
)
@pytest.mark.parametrize("scripts", [True, False])
def test_the_verdict_is_a_word_and_a_sign(
    visit: Visit, service: SelfHosted, scripts: bool, expected: str, verdict: str, sign: str
) -> None:
    visitor = visit(java_script_enabled=scripts, viewport=PHONE)
    page = visitor.page
    with OriginServer(File(SMALL)) as origin:
        submit(page, service, origin.url(), md5=expected)
        heading(page, verdict)
    expect(page.locator(".sign").first).to_have_text(sign)
    assert page.title().startswith(f"{verdict} ")
    expect(page.locator("#md5")).to_have_text(SMALL_MD5)
    assert visitor.overflow() <= 0
    visitor.photograph(f"service-{verdict.lower().replace(' ', '-')}")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_failure_says_why_and_what_to_do_and_its_button_tries_again(
    visit: Visit, service: SelfHosted, scripts: bool
) -> None:
    visitor = visit(java_script_enabled=scripts)
    page = visitor.page
    repaired = False

    def script(request: Request) -> Steps:
        return File(SMALL)(request) if repaired else [head("404 Not Found", "Content-Length: 0")]

    with OriginServer(script) as origin:
        submit(page, service, origin.url("/gone.bam"), md5=SMALL_MD5, email=RECIPIENT)
        heading(page, "Couldn't compute the MD5")
        main = expect(page.locator("main"))
        for words in ("The server answered with status 404", "require a login", "in a private window"):
            main.to_contain_text(words, ignore_case=True)
        assert RECIPIENT not in page.content()
        visitor.photograph("service-failed")
        first, repaired = page.url, True
        page.get_by_role("button", name="Try again").click()
        heading(page, "Match")
        assert page.url != first


def test_a_try_that_failed_is_told_and_that_it_went_on_from_where_it_was(visit: Visit, service: SelfHosted) -> None:
    content = (BLOCK * 9)[: 8 * MIB]
    whole = File(content, rate=2 * MIB)

    def script(request: Request) -> Steps:
        if request.connection == 0:
            fields = ('ETag: "v1"', "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", f"Content-Length: {len(content)}")
            # Within the first megabyte, before there are ranges that would make good a cut without a word; and not by
            # RST, which would take along what was not read yet.
            return [head("200 OK", *fields), content[: MIB // 2]]
        return whole(request)

    visitor = visit()
    page = visitor.page
    with OriginServer(script) as origin:
        submit(page, service, origin.url())
        heading(page, "Retrying soon")
        expect(page.locator("#retry")).to_be_visible()
        expect(page.locator("#why")).not_to_be_empty()
        visitor.photograph("service-retrying")
        heading(page, "Hashing")
        expect(page.locator("#resumed")).to_have_text("512.0 KiB")
        visitor.photograph("service-resumed")
        heading(page, "Done")
        expect(page.locator("#md5")).to_have_text(hashlib.md5(content).hexdigest())


def test_without_scripts_a_throttled_file_is_watched_too(visit: Visit, service: SelfHosted) -> None:
    visitor = visit(java_script_enabled=False)
    page = visitor.page
    with PacedOrigin(BLOCK, 16 * MIB, rate=3 * MIB) as origin:
        submit(page, service, origin.url)
        seen = set[float]()
        deadline = time.monotonic() + 30
        while page.locator("#md5").count() == 0:
            seen.add(percent(page))
            page.wait_for_timeout(200)
            assert time.monotonic() < deadline
        assert len(seen - {0.0}) >= 2, seen
        expect(page.locator("#md5")).to_have_text(origin.md5)
        visitor.photograph("service-no-scripts")


def test_the_link_in_the_mail_opens_the_result(visit: Visit, service: SelfHosted) -> None:
    page = visit(color_scheme="dark").page
    before = len(service.mails())
    with OriginServer(File(SMALL)) as origin:
        submit(page, service, origin.url(), email=RECIPIENT)
        wait_until(lambda: len(service.mails()) > before, 30, lambda: service.output)
    text = next(mail.get_content() for mail in service.mails() if SMALL_MD5 in mail.get_content())
    found = re.search(r"^Link: +(http\S+)$", text, re.MULTILINE)
    assert found is not None, text
    page.goto(found[1])
    expect(page.locator("#md5")).to_have_text(SMALL_MD5)


def test_a_blocked_address_is_refused_beside_its_field(visit: Visit, service: SelfHosted) -> None:
    page = visit().page
    submit(page, service, "http://169.254.169.254/latest", md5="0" * 32)
    expect(page.locator("#url-error")).to_contain_text("urlsum won't connect to this address")
    expect(page.get_by_label("Expected MD5")).to_have_value("0" * 32)
