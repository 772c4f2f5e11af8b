from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from urlsum.text.md5sum import line, name_of
from urlsum.web.plain import attachment

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"whatever it is called"
MD5 = hashlib.md5(CONTENT).hexdigest()

NAMES = {
    "https://a.org/data/reads.bam": "reads.bam",
    "https://a.org/data/reads.bam?X-Signature=secret#part": "reads.bam",
    "https://a.org/a%20b%25.txt": "a b%.txt",
    "https://a.org/gr%C3%BC%C3%9Fe/%E4%B8%96.txt": "世.txt",
    "https://a.org/größe.txt": "größe.txt",
    "https://a.org/data/": "data",
    "https://a.org//": "a.org",
    "https://a.org": "a.org",
    "https://a.org:8443/": "a.org",
    "http://[2001:db8::1]/": "2001:db8::1",
    "https://a.org/x/..": "a.org",
    "https://a.org/-rf": "-rf",
    "https://a.org/-": "-",
    "https://a.org/data%2Freads.bam": "reads.bam",
    "https://a.org/o/a%2Fb%2F": "b",
    "https://a.org/reads.bam;jsessionid=1": "reads.bam",
    "https://a.org/a;b.bam": "a;b.bam",
    # Would be another file's name, or none.
    "https://a.org/..;jsessionid=1": "..;jsessionid=1",
    "https://a.org/..;x=1": "..;x=1",
    "https://a.org/%2F": "%2F",
    "https://a.org/a%2F..": "a%2F..",
    "https://a.org/a%2F%2E%2E%2Fb": "a%2F%2E%2E%2Fb",
    "https://a.org/..%2F..%2Fetc%2Fpasswd": "..%2F..%2Fetc%2Fpasswd",
    "https://a.org/%2e%2e": "%2e%2e",
    "https://a.org/a%00b": "a%00b",
    "https://a.org/%FF%FE": "%FF%FE",
    # Would do things to a terminal, or look like another name.
    "https://a.org/%1B%5B2Jx": "%1B%5B2Jx",
    "https://a.org/fdp%E2%80%AE.exe": "fdp%E2%80%AE.exe",
    "https://a.org/a%0Db": "a%0Db",
    # What md5sum knows how to write.
    "https://a.org/a%0Ab": "a\nb",
    "https://a.org/a%5Cb": "a\\b",
}


@pytest.mark.parametrize(("url", "name"), NAMES.items())
def test_the_name_is_that_of_one_file(url: str, name: str) -> None:
    assert name_of(url) == name


def test_a_hostile_segment_costs_no_time() -> None:
    began = time.process_time()
    for text in (";" * 60_000, ".a" * 30_000 + ";", ".a;" * 20_000, "a;" + "b" * 60_000, ";sess" * 12_000):
        name_of(f"https://host/{text}")
    assert time.process_time() - began < 1


@pytest.mark.skipif(shutil.which("md5sum") is None, reason="there is no md5sum here")
@pytest.mark.parametrize("name", sorted(set(NAMES.values())))
def test_md5sum_writes_the_same_line_and_finds_the_file_by_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(CONTENT)
    operand = "./-" if name == "-" else name  # by itself it is md5sum's standard input
    written = subprocess.run(["md5sum", "--", operand], cwd=tmp_path, capture_output=True, check=True).stdout
    assert line(MD5, name).encode() == written
    (tmp_path / "sums.md5").write_text(line(MD5, name))
    checked = ["md5sum", "--check", "--strict", "--status", "sums.md5"]
    assert subprocess.run(checked, cwd=tmp_path, check=False).returncode == 0
    (tmp_path / name).write_bytes(CONTENT[1:])
    assert subprocess.run(checked, cwd=tmp_path, check=False).returncode == 1


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("reads.bam.md5", 'attachment; filename="reads.bam.md5"'),
        ("a b.md5", "attachment; filename=\"a_b.md5\"; filename*=UTF-8''a%20b.md5"),
        ("ä.md5", "attachment; filename=\"_.md5\"; filename*=UTF-8''%C3%A4.md5"),
        ('"; x=\r\n".md5', "attachment; filename=\"___x=___.md5\"; filename*=UTF-8''%22%3B%20x%3D%0D%0A%22.md5"),
        ("../a\\b.md5", "attachment; filename=\".._a_b.md5\"; filename*=UTF-8''..%2Fa%5Cb.md5"),
    ],
)
def test_no_name_breaks_out_of_its_header(name: str, header: str) -> None:
    assert attachment(name) == header
    assert header.isascii()
    assert header.isprintable()
