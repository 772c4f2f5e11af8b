"""``urlsum -c``: what ``urlsum`` wrote, or a person, is verified as ``md5sum -c`` does it."""

from __future__ import annotations

import codecs
import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.conftest import COMMAND, ENVIRONMENT, without_summary
from tests.support.origin.origin_server import File, answers, head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.integration.cli.conftest import Serve
    from tests.support.processes.command import Forked

    Run = Callable[..., CompletedProcess[str]]

CONTENT = bytes(100_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
OTHER = MD5[::-1]
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MARKED = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


@pytest.fixture
def url(serve: Serve) -> str:
    return serve(File(CONTENT)).url()


@pytest.fixture
def missing(serve: Serve) -> str:
    return serve(answers([head("404 Not Found", "Content-Length: 0")])).url()


@pytest.fixture(params=["file", "standard input"])
def check(request: pytest.FixtureRequest, command: Forked, tmp_path: Path) -> Run:
    """Verify a list of these bytes, which is the file f or standard input; other arguments are options."""

    def check(listed: bytes, *options: str) -> CompletedProcess[str]:
        (tmp_path / "f").write_bytes(listed)
        arguments = ["f"] if request.param == "file" else []
        with (tmp_path / "f").open("rb") as stdin:
            return command.run(
                ["-c", *options, *arguments], stdin="" if arguments else stdin, cwd=tmp_path, env=ENVIRONMENT
            )

    return check


def test_what_urlsum_printed_is_verified(run: Run, url: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(run(url, url).stdout)
    done = run("-c", "f")
    assert (done.returncode, done.stdout, without_summary(done.stderr)) == (0, f"{url}: OK\n" * 2, "")


def test_every_verdict_and_count(run: Run, url: str, missing: str, tmp_path: Path) -> None:
    lines = [f"{MD5}  {url}", f"{OTHER} *{url}", f"{MD5}  {missing}", f"{MD5}  a.bam", "", "# comment", "<html>"]
    (tmp_path / "f").write_text("\n".join(lines))
    done = run("-c", "f")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{url}: OK",
        f"{url}: FAILED",
        f"{missing}: FAILED open or read",
        "a.bam: FAILED open or read",
    ]
    different, first, second, *warnings = without_summary(done.stderr).splitlines()
    assert different == f"urlsum: {url}: the MD5 is {MD5}, not {OTHER}"
    assert first.startswith(f"urlsum: {missing}: http: ")
    assert second == (
        "urlsum: a.bam: invalid_url: the URL must be absolute and begin with http:// or https://; if it is the name of"
        " a file, --base URL says where the files are"
    )
    assert warnings == [
        "urlsum: WARNING: 1 line is improperly formatted (f: 7)",
        "urlsum: WARNING: 2 listed URLs could not be read",
        "urlsum: WARNING: 1 computed checksum did NOT match",
    ]


@pytest.mark.parametrize("arguments", [["-c"], ["-c", "-"]])
def test_a_list_from_standard_input(run: Run, url: str, arguments: list[str]) -> None:
    done = run(*arguments, stdin=f"{MD5.upper()}  {url}\r\n")
    assert (done.returncode, done.stdout) == (0, f"{url}: OK\n")


def test_malformed_lines_count_only_when_strict(run: Run, url: str) -> None:
    listed = f"{MD5}  {url}\nnonsense\n"
    done = run("-c", stdin=listed)
    assert (done.returncode, done.stderr) == (
        0,
        "urlsum: WARNING: 1 line is improperly formatted (standard input: 2)\n",
    )
    assert run("-c", "--strict", stdin=listed).returncode == 1


def test_quiet_and_status(run: Run, url: str) -> None:
    listed = f"{MD5}  {url}\n{OTHER}  {url}\n"
    done = run("-c", "--quiet", stdin=listed)
    assert (done.returncode, done.stdout) == (1, f"{url}: FAILED\n")
    done = run("-c", "--status", stdin=listed)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert run("-c", "--status", stdin=listed.splitlines()[0]).returncode == 0


def test_a_list_that_is_none_or_is_not_there_fails_and_the_next_is_still_checked(
    run: Run, url: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text(f"{MD5}  {url}\n")
    (tmp_path / "empty").touch()
    done = run("-c", "nowhere", "empty", "f")
    assert (done.returncode, done.stdout) == (1, f"{url}: OK\n")
    assert done.stderr.splitlines() == [
        "urlsum: nowhere: No such file or directory",
        "urlsum: empty: no properly formatted checksum lines found",
    ]


def test_a_list_of_strangers_cannot_move_the_cursor(run: Run) -> None:
    done = run(
        "-c", stdin=f"{MD5}  http://a.example/\x1b[2J\udcff\n".encode(errors="surrogateescape").decode("latin-1")
    )
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", MARKED)
def test_a_byte_order_mark_hides_no_line(check: Run, url: str, encoding: str, end: str) -> None:
    bad, good = f"{OTHER}  {url}{end}", f"{MD5}  {url}{end}"
    done = check(MARKED[encoding] + (bad + good).encode(encoding))
    assert (done.returncode, done.stdout) == (1, f"{url}: FAILED\n{url}: OK\n")
    assert without_summary(done.stderr) == (
        f"urlsum: {url}: the MD5 is {MD5}, not {OTHER}\nurlsum: WARNING: 1 computed checksum did NOT match\n"
    )
    done = check(MARKED[encoding] + (good + good).encode(encoding).removesuffix("\n".encode(encoding)))
    assert (done.returncode, done.stdout, without_summary(done.stderr)) == (0, f"{url}: OK\n" * 2, "")


def test_the_mark_of_a_second_list_hides_no_line(check: Run, url: str) -> None:
    one = codecs.BOM_UTF8 + f"{MD5}  {url}\n".encode()
    done = check(one + codecs.BOM_UTF8 + f"{OTHER}  {url}\n".encode() + one)
    assert (done.returncode, done.stdout) == (1, f"{url}: OK\n{url}: FAILED\n{url}: OK\n")
    wide = codecs.BOM_UTF16_LE + f"{OTHER}  {url}\n".encode("utf-16-le")
    done = check(wide + wide)
    assert (done.returncode, done.stdout) == (1, f"{url}: FAILED\n" * 2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("utf-8", "utf-16-le"),
        ("utf-8", "utf-16-be"),
        ("utf-16-le", "utf-8"),
        ("utf-16-be", "utf-8"),
        ("utf-16-le", "utf-16-be"),
    ],
)
@pytest.mark.parametrize("mark", [True, False])
def test_a_list_with_lines_of_two_encodings_does_not_pass(
    check: Run, url: str, before: str, after: str, mark: bool
) -> None:
    good, bad = f"{MD5}  {url}\n", f"{OTHER}  {url}\n"
    done = check(MARKED[before] + good.encode(before) + (MARKED[after] if mark else b"") + bad.encode(after))
    assert (done.returncode, done.stdout) == (1, f"{url}: OK\n")
    assert ": 2: " in done.stderr
    assert " could not be verified (" in done.stderr


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_two_or_four_bytes_a_character_without_a_mark_are_named(check: Run, url: str, encoding: str) -> None:
    done = check(f"{MD5}  {url}\n".encode(encoding))
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        ": 1: the line contains NUL bytes (UTF-16 or UTF-32 without a byte-order mark, the output of md5sum"
        " -z, or binary data); save the list as UTF-8, with line feeds\n" in done.stderr
    )
    assert "no properly formatted checksum lines found\n" in done.stderr


@pytest.mark.parametrize(
    "form",
    [
        "MD5 ({url}) = {md5}",
        "MD5({url})= {md5}",
        "md5 ({url}) = {md5}",
        "\\MD5 ({url}) = {md5}",
        "\\{md5}  {url}",
        "{md5} *{url}",
        "{md5}\t{url}",
        "  {md5}  {url}",
        "{md5}  {url} \t\r",
        "{md5}  \xa0{url}\xa0",
    ],
)
def test_each_form_of_a_line_is_verified_among_plain_lines(run: Run, url: str, form: str) -> None:
    listed = f"{MD5}  {url}\n" + form.format(md5=OTHER, url=url) + "\n" + form.format(md5=MD5.upper(), url=url)
    done = run("-c", stdin=listed)
    assert (done.returncode, done.stdout) == (1, f"{url}: OK\n{url}: FAILED\n{url}: OK\n")
    assert without_summary(done.stderr) == (
        f"urlsum: {url}: the MD5 is {MD5}, not {OTHER}\nurlsum: WARNING: 1 computed checksum did NOT match\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        "{sha256}  {url}",
        "SHA256 ({url}) = {sha256}",
        "MD5 ({url}) = {sha256}",
        "{url}  {md5}",
        "{md5}-12  {url}",
        "{md5}",
        "{md5}{url}",
        "{url}",
        "\\{md5}  {url}\\t",
        "{md5}  {url}\0",
        "see https://files.example/",
    ],
)
def test_a_digest_or_url_that_cannot_be_verified_fails_and_is_named(run: Run, url: str, line: str) -> None:
    bad = line.format(md5=OTHER, sha256=SHA256, url=url)
    done = run("-c", stdin=f"# list\n{MD5}  {url}\n{bad}\n")
    assert (done.returncode, done.stdout) == (1, f"{url}: OK\n")
    first, second = done.stderr.splitlines()
    assert first.startswith("urlsum: standard input: 3: ")
    assert second == "urlsum: WARNING: 1 line could not be verified (standard input: 3)"


@pytest.mark.parametrize("option", ["--status", "--quiet", "--warn", "--strict"])
def test_no_option_hides_a_line_that_cannot_be_verified(check: Run, url: str, option: str) -> None:
    done = check(f"{MD5}  {url}\n{SHA256}  {url}\n".encode(), option)
    assert done.returncode == 1
    assert done.stdout == (f"{url}: OK\n" if option in ("--warn", "--strict") else "")
    first, second = done.stderr.splitlines()
    assert first.endswith(": 2: this is SHA-256 (64 hexadecimal digits); urlsum verifies only MD5")
    assert second.startswith("urlsum: WARNING: 1 line could not be verified (")


@pytest.mark.parametrize("name", ["a.bam", "s3://bucket/a.bam", "ftp://files.example/a.bam", "-", "https://"])
def test_a_name_that_is_no_http_url_fails(run: Run, url: str, name: str) -> None:
    done = run("-c", "--status", stdin=f"{MD5}  {url}\n{MD5}  {name}\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"urlsum: {name}: invalid_url: ")


def test_one_url_with_two_digests_fails(run: Run, url: str) -> None:
    done = run("-c", stdin=f"{MD5}  {url}\n{OTHER}  {url}\n")
    assert (done.returncode, done.stdout) == (1, f"{url}: OK\n{url}: FAILED\n")


@pytest.mark.parametrize("options", [[], ["--status"], ["--quiet"]])
def test_no_line_is_ignored_in_silence(check: Run, url: str, options: list[str]) -> None:
    done = check(f"{MD5}  {url}\n\nnonsense\n \n".encode(), *options)
    assert done.returncode == 0
    assert done.stderr.startswith("urlsum: WARNING: 2 lines are improperly formatted (")
    assert done.stderr.endswith(": 3, 4)\n")


def test_warn_names_each_line(run: Run, url: str) -> None:
    listed = f"nonsense\n{MD5}  {url}\n<html>\n"
    done = run("-c", "-w", stdin=listed)
    assert (done.returncode, done.stdout) == (0, f"{url}: OK\n")
    assert done.stderr.splitlines() == [
        "urlsum: standard input: 1: improperly formatted MD5 checksum line",
        "urlsum: standard input: 3: this is HTML or JSON, not a checksum line",
        "urlsum: WARNING: 2 lines are improperly formatted (standard input: 1, 3)",
    ]


def test_a_list_of_another_digest_is_named_in_a_few_lines(run: Run, url: str) -> None:
    listed = f"{SHA256}  {url}\n" * 30
    done = run("-c", stdin=listed)
    assert (done.returncode, done.stdout) == (1, "")
    *named, none, count = done.stderr.splitlines()
    reason = "this is SHA-256 (64 hexadecimal digits); urlsum verifies only MD5"
    assert named == [f"urlsum: standard input: {number}: {reason}" for number in range(1, 11)]
    assert none == "urlsum: standard input: no properly formatted checksum lines found"
    assert count == (
        "urlsum: WARNING: 30 lines could not be verified (standard input: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 20 more)"
    )
    assert run("-c", "--warn", stdin=listed).stderr.count(reason) == 30


@pytest.mark.parametrize("listed", ["", "\n\r\n", "# nothing but a comment\n", "\ufeff", "<html>\n</html>\n", "[]\n"])
def test_a_list_without_a_checksum_fails(run: Run, listed: str) -> None:
    done = run("-c", "--status", stdin=listed)
    assert (done.returncode, done.stdout) == (1, "")
    assert ": no properly formatted checksum lines found\n" in done.stderr


def test_a_closed_standard_input_is_an_error_in_words(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "{COMMAND}" -c <&-'],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (1, "urlsum: standard input: Bad file descriptor\n")


def test_a_list_of_conda_is_verified(run: Run, serve: Serve) -> None:
    url = serve(File(CONTENT)).url()
    text = f"# platform: linux-64\n@EXPLICIT\n{url}#{MD5}\n{url}#{'0' * 32}\n"
    done = run("-c", stdin=text)
    assert done.returncode == 1
    assert done.stdout == f"{url}#{MD5}: OK\n{url}#{'0' * 32}: FAILED\n"
    assert "improperly" not in done.stderr
