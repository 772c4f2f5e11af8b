"""The page of a finished task against a visitor's own copy, which never leaves the browser."""

from __future__ import annotations

import hashlib
import random
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.integration.web.conftest import changed
from urlsum.web import script

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.e2e.browser.conftest import Visit
    from tests.e2e.browser.live_service import LiveService
    from urlsum.task import Task

pytestmark = pytest.mark.browser

MIB = 2**20
# More than two chunks of the worker, and an odd end.
CONTENT = random.Random(11).randbytes(9 * MIB + 7)

# A drop as the browser makes it, of one or more files, on some element.
DROP = """([selector, files]) => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) transfer.items.add(new File([text], name));
  const event = kind => new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true});
  const target = document.querySelector(selector);
  return ["dragover", "drop"].map(kind => target.dispatchEvent(event(kind)));
}"""


def done(service: LiveService, content: bytes, **fields: Any) -> Task:
    before = service.claimed(**fields)
    md5 = hashlib.md5(content).hexdigest()
    return changed(service.backend, before, before.done(md5, len(content), service.backend.clock()))


def choose(page: Page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_label("Compare your own copy").click()
    chooser.value.set_files(file)


def verdict(page: Page) -> Any:
    return expect(page.locator("#own-verdict"))


def test_a_copy_is_the_same_or_it_is_not_and_no_byte_of_it_is_sent(
    visit: Visit, service: LiveService, tmp_path: Path
) -> None:
    visitor = visit()
    page = visitor.page
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    page.goto(service.page(done(service, CONTENT)))
    verdict(page).to_be_hidden()
    copy = tmp_path / "copy.bam"
    copy.write_bytes(CONTENT)
    choose(page, copy)
    verdict(page).to_have_text("✓Same: copy.bam has the MD5 of the file at the URL.")
    verdict(page).to_have_class("verdict good")
    visitor.photograph("compare-same")
    damaged = tmp_path / "damaged.bam"
    damaged.write_bytes(CONTENT[:-1] + b"?")
    choose(page, damaged)
    md5 = hashlib.md5(CONTENT[:-1] + b"?").hexdigest()
    verdict(page).to_have_text(f"✗Different: the MD5 of damaged.bam is {md5}.")
    verdict(page).to_have_class("verdict bad")
    visitor.photograph("compare-different")
    assert visitor.overflow() <= 0
    assert visitor.violations() == []
    # The page, and the script.
    assert {request.partition("?")[0] for request in sent} == {
        f"GET {service.base}/check",
        f"GET {service.base}/{script.PATH}",
    }


def test_a_copy_of_another_length_is_different_before_a_byte_is_read(
    visit: Visit, service: LiveService, tmp_path: Path
) -> None:
    page = visit().page
    page.goto(service.page(done(service, CONTENT)))
    (tmp_path / "short").write_bytes(b"short")
    choose(page, tmp_path / "short")
    verdict(page).to_have_text("✗Different: your copy has 5 bytes, the file at the URL 9,437,191.")
    assert all(script.PATH not in each.target for each in service.recorder.asked)


def test_a_file_may_be_dropped_anywhere_and_what_is_no_file_is_refused(visit: Visit, service: LiveService) -> None:
    page = visit().page
    page.goto(service.page(done(service, b"dropped")))
    page.evaluate(DROP, ["header a", [["file", "dropped"]]])
    verdict(page).to_contain_text("Same: file has the MD5")
    # Neither event is left to the browser, which would leave the page for the file.
    assert page.evaluate(DROP, ["main", [["a", "1"], ["b", "2"]]]) == [False, False]
    verdict(page).to_have_text("!Drop one file, and no folder.")


def test_an_empty_file_has_an_md5_too(visit: Visit, service: LiveService, tmp_path: Path) -> None:
    page = visit().page
    page.goto(service.page(done(service, b"")))
    (tmp_path / "empty").touch()
    choose(page, tmp_path / "empty")
    verdict(page).to_contain_text("Same: empty")


def test_it_shows_how_far_it_is_and_can_be_stopped(visit: Visit, service: LiveService, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.page
    size = 2**31
    page.goto(service.page(sized(service, size, "0" * 32)))
    choose(page, sparse(tmp_path, size))
    expect(page.locator("#own-figures")).to_contain_text(" left")
    assert 0 < page.locator("#own-bar").evaluate("bar => bar.value") < 100
    visitor.photograph("compare-running")
    assert visitor.violations() == []
    page.get_by_role("button", name="Stop").click()
    verdict(page).to_have_text("!Stopped.")
    expect(page.locator("#own-progress")).to_be_hidden()
    expect(page.get_by_label("Compare your own copy")).to_be_focused()


def test_a_file_that_cannot_be_read_is_no_verdict(visit: Visit, service: LiveService, tmp_path: Path) -> None:
    page = visit().page
    page.goto(service.page(done(service, b"changed")))
    file = tmp_path / "file"
    file.write_bytes(b"changed")
    # The page has looked at the size, and the worker has not begun.
    page.evaluate("""() => {
      const post = Worker.prototype.postMessage;
      Worker.prototype.postMessage = function (message) { window.late = () => post.call(this, message); };
    }""")
    choose(page, file)
    page.wait_for_function("() => Boolean(window.late)")
    file.unlink()
    page.evaluate("() => late()")
    verdict(page).to_contain_text("!Your browser could not read the file")


def test_a_script_that_does_not_load_is_no_verdict(visit: Visit, service: LiveService, tmp_path: Path) -> None:
    page = visit().page
    page.goto(service.page(done(service, b"same")))
    (tmp_path / "file").write_bytes(b"same")
    service.recorder.lost = True
    choose(page, tmp_path / "file")
    verdict(page).to_contain_text("!The script that computes the MD5 did not load.")
    service.recorder.lost = False
    choose(page, tmp_path / "file")
    verdict(page).to_contain_text("✓Same")


def test_neither_the_page_nor_its_worker_may_send_anything(visit: Visit, service: LiveService) -> None:
    visitor = visit()
    visitor.page.goto(service.page(done(service, b"")))
    refused = "fetch('/').then(() => 'sent', () => 'refused')"
    assert visitor.page.evaluate(refused) == "refused"
    with visitor.page.expect_worker() as started:
        visitor.page.evaluate("window.kept = new Worker(document.getElementById('compare').dataset.worker)")
    assert started.value.evaluate(refused) == "refused"
    assert len([each for each in visitor.complaints if "Content Security Policy" in each]) >= 1
    visitor.complaints.clear()


def test_without_scripts_there_is_no_comparison(visit: Visit, service: LiveService) -> None:
    page = visit(java_script_enabled=False).page
    page.goto(service.page(done(service, b"")))
    expect(page.locator("#compare")).to_be_hidden()
    # The JSON is there, for a click.
    expect(page.locator("#json")).to_be_hidden()
    page.get_by_text("As JSON", exact=True).click()
    expect(page.locator("#json")).to_be_visible()


def sized(service: LiveService, size: int, md5: str) -> Task:
    before = service.claimed()
    return changed(service.backend, before, before.done(md5, size, service.backend.clock()))


def sparse(folder: Path, size: int) -> Path:
    file = folder / "sparse.bin"
    with file.open("wb") as opened:
        opened.truncate(size)
    return file


@pytest.mark.long
@pytest.mark.timeout(600)
def test_four_gibibytes_and_one_byte_are_right(visit: Visit, service: LiveService, tmp_path: Path) -> None:
    size = 2**32 + 1
    md5 = hashlib.md5()
    zeros = bytes(64 * MIB)
    for _ in range(64):
        md5.update(zeros)
    md5.update(b"\0")
    page = visit().page
    page.goto(service.page(sized(service, size, md5.hexdigest())))
    file = sparse(tmp_path, size)
    started = time.monotonic()
    choose(page, file)
    expect(page.locator("#own-verdict")).to_contain_text("✓Same", timeout=540_000)
    # To note; a machine that does other things proves nothing about it. tests/unit/web judges the CPU time.
    sys.stdout.write(f"{size / (time.monotonic() - started) / 1e6:.0f} MB/s\n")
