from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from urlsum import __version__
from urlsum.cli import options

URL = "https://example.org/a"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "at least one URL"),
        (["--nonsense", URL], "unrecognized"),
        (["--conn", "4", URL], "unrecognized"),
        (["--connections", "0", URL], "from 1 to 64"),
        (["--connections", "65", URL], "from 1 to 64"),
        (["--connections", "many", URL], "from 1 to 64"),
        (["--state", "s", URL, URL], "exactly one URL"),
        (["--state", "s", "-c", "list"], "exactly one URL"),
        (["--server", "example.org", URL], "https://host"),
        (["--server", "http://h", "--state", "s", URL], "of its own"),
        (["--server", "http://h", "--connections", "2", URL], "of its own"),
        (["--quiet", URL], "only works with -c"),
        (["--status", URL], "only works with -c"),
        (["--strict", URL], "only works with -c"),
        (["--warn", URL], "only works with -c"),
        (["-w", URL], "only works with -c"),
        (["--server", "http://h", "--allow-private", URL], "of its own"),
        (["--md5", "abc", URL], "this has 3 hexadecimal digits"),
        (["--md5", f"{'0' * 32}-7", URL], "S3 multipart"),
        (["--md5", "0" * 32, URL, URL], "exactly one URL"),
        (["--md5", "0" * 32, "-c", "list"], "exactly one URL"),
    ],
)
def test_what_makes_no_sense_ends_with_status_2_and_says_why(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        options.parse(arguments, {})
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_what_makes_sense() -> None:
    parsed = options.parse(["--connections", "4", "--state", "s", URL], {})
    assert (parsed.names, parsed.connections, parsed.state) == ([URL], 4, Path("s"))
    parsed = options.parse(["-c", "--quiet", "--server", "https://host/prefix/", "list", "-"], {})
    assert (parsed.check, parsed.quiet, parsed.names, parsed.server) == (
        True,
        True,
        ["list", "-"],
        "https://host/prefix",
    )
    assert options.parse(["-c"], {}).names == []
    assert [options.parse(each, {}).warn for each in (["-c"], ["-c", "-w"], ["-c", "--warn"])] == [False, True, True]


def test_every_command_of_the_guide_is_one() -> None:
    text = (Path(__file__).parents[3] / "docs" / "command.md").read_text(encoding="utf-8")
    lines = [line.removeprefix("$ ") for line in text.splitlines()]
    commands = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("urlsum ")]
    assert len(commands) > 8
    for words in commands:
        arguments = words[: words.index(">")] if ">" in words else words
        if "--completion" in arguments:
            with pytest.raises(SystemExit, match="0"):
                options.parse(arguments, {})
        else:
            options.parse(arguments, {})


def test_options_may_stand_between_urls() -> None:
    parsed = options.parse([URL, "-j", "2", URL], {})
    assert (parsed.names, parsed.jobs) == ([URL, URL], 2)
    parsed = options.parse(["compare", "--quiet", URL, "file"], {})
    assert (parsed.compare, parsed.names) == (True, [URL, "file"])


@pytest.mark.parametrize(
    "text", ["D41D8CD98F00B204E9800998ECF8427E", " md5:d41d8cd98f00b204e9800998ecf8427e", "1B2M2Y8AsgTpgAmY7PhCfg=="]
)
def test_the_expected_md5_is_read_as_people_have_it(text: str) -> None:
    assert options.parse(["--md5", text, URL], {}).md5 == "d41d8cd98f00b204e9800998ecf8427e"


def test_help_and_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        options.parse(["--version"], {})
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"urlsum {__version__}\n"
    with pytest.raises(SystemExit) as caught:
        options.parse(["--help"], {})
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for word in ("besides the public internet", "matches its line", "does not match", "1 also for", "(see below)"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80
    for word in (
        "-c",
        "--server",
        "--state",
        "--connections",
        "--allow-private",
        "exit status",
        "URLSUM_ALLOWED_NETWORKS",
    ):
        assert word in text
