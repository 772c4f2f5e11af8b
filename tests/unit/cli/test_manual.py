"""The manual page and the completions name every option, and the programs that read them accept them."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from urlsum.cli import options
from urlsum.cli.arguments import COMPARE, parser
from urlsum.cli.manual import SHELLS, completion, manual

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = sorted(name for action in parser()._actions for name in action.option_strings)
needs_groff = pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")


@needs_groff
def test_groff_shows_the_manual_without_a_warning() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-K", "utf8", "-rLL=78n"],
        input=manual(parser()).replace("\\-", "-"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.sub(r".\x08", "", done.stdout)  # overstruck, for bold letters
    for word in [*NAMES, "EXIT STATUS", "EXAMPLES", "URLSUM_MAX_BYTES", "compare URL FILE"]:
        assert word in shown


@pytest.mark.parametrize("shell", SHELLS)
def test_the_completions_name_every_option(shell: str) -> None:
    text = completion(parser(), shell, COMPARE)
    for name in NAMES:
        found = f"-l {name[2:]} " if name.startswith("--") else f"-s {name[1:]} "
        assert (found if shell == "fish" else name) in text.replace("\n", " \n")


def completed(*words: str) -> set[str]:
    """What bash offers for the last of ``words``."""
    script = f"""{completion(parser(), "bash", COMPARE)}
COMP_WORDS=(urlsum "$@"); COMP_CWORD=$#
_urlsum
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-uc", script, "bash", *words], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_completes_options_and_their_values() -> None:
    assert completed("--no-s") == {"--no-state"}
    assert completed("--name", "") == {"url", "base", "path"}
    assert completed("-j", "4", "--quie") == {"--quiet"}
    assert completed("--connections", "") == set()
    assert "compare" in completed("comp")
    assert "compare" not in completed("-c", "comp")


def offered_by_fish(line: str, folder: Path) -> set[str]:
    """What fish offers at the end of ``line``, with the completions where the documents say."""
    completions = folder / "fish" / "completions"
    completions.mkdir(parents=True)
    (completions / "urlsum.fish").write_text(completion(parser(), "fish", COMPARE))
    done = subprocess.run(
        ["fish", "-c", f"complete -C '{line}'"],
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}
        | {f"XDG_{name}_HOME": str(folder) for name in ("CONFIG", "DATA", "CACHE")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {offer.partition("\t")[0] for offer in done.stdout.splitlines()}


# It stops the shell after a completion, whose words it has written to a file.
ZSHRC = """
fpath=($ZDOTDIR $fpath)
autoload -Uz compinit
compinit -u -d $ZDOTDIR/dump
compadd() {
  local -a offers
  if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then
    builtin compadd -A offers "$@"
    print -rl -- $offers >> $ZDOTDIR/offers
  fi
  builtin compadd "$@"
}
finish() { kill -KILL $$ }
comppostfuncs=(finish)
bindkey '^I' complete-word
PROMPT='ready>'
"""


def offered_by_zsh(line: str, folder: Path) -> set[str]:
    """What zsh offers at the end of ``line`` in a terminal, with the completions in a folder of $fpath."""
    (folder / ".zshrc").write_text(ZSHRC)
    (folder / "_urlsum").write_text(completion(parser(), "zsh", COMPARE))
    (folder / "offers").touch()
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", "zsh", "-i"],
        env={"PATH": os.environ["PATH"], "ZDOTDIR": str(folder), "HOME": str(folder), "TERM": "dumb"},
        cwd=folder,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown, typed = "", False
    try:
        while True:
            assert select.select([controller], [], [], 30)[0], shown
            shown += os.read(controller, 65_536).decode(errors="replace")
            if not typed and "ready>" in shown:
                typed = os.write(controller, f"{line}\t".encode()) > 0
    except OSError:  # the shell has stopped
        assert process.wait(20) != 0
    finally:
        process.kill()
        process.wait()
        os.close(controller)
    assert "not found" not in shown
    return set((folder / "offers").read_text().split())


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("urlsum --no-s", {"--no-state"}),
        ("urlsum --name ", {"url", "base", "path"}),
        ("urlsum comp", {"compare"}),
        ("urlsum -c comp", set()),
        ("urlsum --output li", {"list.md5"}),
        ("urlsum --connections ", set()),
        ("urlsum -c li", {"list.md5"}),
    ],
)
@pytest.mark.slow
@pytest.mark.parametrize("shell", [offered_by_fish, offered_by_zsh])
def test_the_shells_offer_what_fits(
    tmp_path: Path, shell: Callable[[str, Path], set[str]], line: str, offers: set[str]
) -> None:
    name = shell.__name__.rpartition("_")[2]
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "list.md5").touch()
    assert shell(line, tmp_path) == offers


@pytest.mark.parametrize("arguments", [["--man"], ["--completion", "zsh"]])
def test_the_command_prints_them(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        options.parse(arguments, {})
    assert caught.value.code == 0
    assert capsys.readouterr().out == (
        manual(parser()) if arguments == ["--man"] else completion(parser(), "zsh", COMPARE)
    )
