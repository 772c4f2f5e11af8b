from __future__ import annotations

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
        (["-c", "--ignore-missing", "list"], "unrecognized"),
    ],
)
def test_what_makes_no_sense_ends_with_status_2_and_says_why(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        options.parse(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_what_makes_sense() -> None:
    parsed = options.parse(["--connections", "4", "--state", "s", URL])
    assert (parsed.names, parsed.connections, parsed.state) == ([URL], 4, Path("s"))
    parsed = options.parse(["-c", "--quiet", "--server", "https://host/prefix/", "list", "-"])
    assert (parsed.check, parsed.quiet, parsed.names, parsed.server) == (
        True,
        True,
        ["list", "-"],
        "https://host/prefix",
    )
    assert options.parse(["-c"]).names == []
    assert [options.parse(each).warn for each in (["-c"], ["-c", "-w"], ["-c", "--warn"])] == [False, True, True]


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        options.parse(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"urlsum {__version__}\n"
    with pytest.raises(SystemExit) as caught:
        options.parse(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for word in ("besides the public internet", "matches its line", "does not match", "1 also for", "(see below)"):
        assert word in text
    assert "beside the" not in text
    for word in ("-c", "--server", "--state", "--connections", "exit status", "ALLOWED_NETWORKS"):
        assert word in text
