from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from urlsum.cli import checklist
from urlsum.cli.outcome import Wanted

if TYPE_CHECKING:
    from pathlib import Path

MD5 = "900150983cd24fb0d6963f7d28e17f72"  # of "abc" (RFC 1321, A.5)
LINES = [
    "{md5}  {name}",
    "{md5} *{name}",
    "{md5} {name}",
    "{upper}  {name}",
    " \t{md5}  {name}",
    "{md5}  {name}\r",
    "",
    "\r",
    "# {md5}  {name}",
    " # {md5}  {name}",
    " ",
    "{md5}",
    "{short}  {name}",
    "{md5}0  {name}",
    "{md5}{name}",
    "g{short}  {name}",
    "{name}  {md5}",
    "<html>",
]


def filled(line: str, name: str) -> str:
    return line.format(md5=MD5, upper=MD5.upper(), short=MD5[1:], name=name)


@pytest.mark.parametrize("line", LINES)
def test_a_line_means_what_it_means_to_md5sum(line: str, tmp_path: Path) -> None:
    md5sum = shutil.which("md5sum")
    if md5sum is None:
        pytest.skip("there is no md5sum here to compare with")
    (tmp_path / "abc").write_text("abc")
    # A good line of the usual form follows, so that no list is empty; md5sum takes the form with one space alone only.
    text = filled(line, "abc") + "\n"
    listed = tmp_path / "list"
    listed.write_text(text + ("" if line == "{md5} {name}" else f"{MD5}  abc\n"), newline="")
    theirs = subprocess.run(
        [md5sum, "-c", "list"], cwd=tmp_path, capture_output=True, text=True, check=False, env={"LC_ALL": "C"}
    )
    good, malformed = checklist.read(str(listed))
    assert len(good) == theirs.stdout.count("abc: OK")
    told = re.search(r"WARNING: (\d+) lines? (?:is|are) improperly", theirs.stderr)
    assert malformed == (int(told[1]) if told else 0)


def test_digest_and_url_are_taken_apart() -> None:
    lines = [f"{MD5.upper()}  https://a.example/b *c?d\n", "nonsense\n", f"{MD5}  \n"]
    assert checklist.parse(lines) == ([Wanted("https://a.example/b *c?d", MD5)], 2)


def test_a_byte_order_mark_and_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    listed = tmp_path / "list"
    listed.write_bytes(b"\xef\xbb\xbf" + f"{MD5}  http://a.example/\n".encode() + MD5.encode() + b"  http://b\xff/\n")
    good, malformed = checklist.read(str(listed))
    assert [each.url for each in good] == ["http://a.example/", "http://b\udcff/"]
    assert malformed == 0
