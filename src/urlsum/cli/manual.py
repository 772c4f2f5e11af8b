"""The manual page and the completions of shells, made from the parser, so that no option is missing in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from urlsum import __version__

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

# A heading of the help's last part: "exit status:", with indented lines below it.
_SECTION = re.compile(r"^(\S.*):$", re.MULTILINE)
# Options whose value is a file or a folder of this machine.
_FILES = frozenset({"--input-file", "--output", "--state", "--header-file"})
SUMMARY = "print or verify the MD5 of files on the internet"


def manual(parser: argparse.ArgumentParser) -> str:
    """The manual page in man's macros (man(7))."""
    return "\n".join(_manual(parser)) + "\n"


def _manual(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f'.TH URLSUM 1 "" "urlsum {__version__}" "User Commands"'
    yield from (".SH NAME", f"urlsum \\- {SUMMARY}", ".SH SYNOPSIS", ".nf")
    yield from (_roff(line.strip()) for line in (parser.usage or "").splitlines())
    yield from (".fi", ".SH DESCRIPTION", _roff(parser.description or ""), ".SH OPTIONS")
    for group in parser._action_groups:  # noqa: SLF001 - argparse has no other way to its groups
        actions = [action for action in group._group_actions if action.option_strings]  # noqa: SLF001 - the same
        if actions and group.title not in (None, "options"):
            yield f".SS {_roff(str(group.title))}"
        for action in actions:
            yield from (".TP", _bold_options(action), _roff(action.help or ""))
    parts = _SECTION.split(parser.epilog or "")
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        yield from (f".SH {_roff(heading.upper())}", ".nf", _roff(text.strip("\n")), ".fi")
    yield from (".SH SEE ALSO", ".BR md5sum (1),", ".BR curl (1)")


def _bold_options(action: argparse.Action) -> str:
    value = f" \\fI{_roff(_value(action))}\\fP" if _value(action) else ""
    return ", ".join(f"\\fB{_roff(name)}\\fP{value}" for name in action.option_strings)


def _value(action: argparse.Action) -> str:
    """The name of the option's value; empty if it takes none."""
    if action.nargs == 0:
        return ""
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or action.dest.upper())


def _roff(text: str) -> str:
    """``text`` as roff shows it unchanged: hyphens that can be searched, and no line that begins a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)


def completion(parser: argparse.ArgumentParser, shell: str, command: str) -> str:
    """The completions for ``shell``, a key of SHELLS. ``command`` may stand in place of the first URL."""
    actions = [action for action in parser._actions if action.option_strings]  # noqa: SLF001 - see above
    return SHELLS[shell](actions, command)


def _bash(actions: list[argparse.Action], command: str) -> str:
    names = " ".join(name for action in actions for name in action.option_strings)
    files = "|".join(name for action in actions if _takes_file(action) for name in action.option_strings)
    values = "|".join(
        name for action in actions if _value(action) and not _takes_file(action) for name in action.option_strings
    )
    choices = "".join(
        f'    {"|".join(action.option_strings)}) COMPREPLY=($(compgen -W "{" ".join(map(str, action.choices))}"'
        ' -- "$word")); return ;;\n'
        for action in actions
        if action.choices is not None
    )
    return f"""\
# Completion of urlsum for bash.
_urlsum() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
  COMPREPLY=()
  case $before in
{choices}    {files}) COMPREPLY=($(compgen -f -- "$word")); return ;;
    {values}) return ;;
  esac
  case $word in
    -*) COMPREPLY=($(compgen -W "{names}" -- "$word")) ;;
    *)
      COMPREPLY=($(compgen -f -- "$word"))
      if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY+=($(compgen -W {command} -- "$word"))
      fi ;;
  esac
}}
complete -o filenames -F _urlsum urlsum
"""


def _zsh(actions: list[argparse.Action], command: str) -> str:
    lines = []
    for action in actions:
        names = action.option_strings
        first = "{" + ",".join(names) + "}" if len(names) > 1 else names[0]
        repeated = "*" if isinstance(action.default, list) else f"({' '.join(names)})"
        text = re.sub(r"([\[\]:\\])", r"\\\1", _first_words(action)).replace("'", "'\\''")
        kind = ""
        if action.choices is not None:
            kind = f":value:({' '.join(map(str, action.choices))})"
        elif _value(action):
            kind = ":file:_files" if _takes_file(action) else ":value:"
        lines.append(f"  '{repeated}'{first}'[{text}]{kind}' \\")
    return "\n".join(
        [
            "#compdef urlsum",
            "_urlsum_first() {",
            f"  (( CURRENT == 2 )) && compadd {command}",
            "  _files",
            "}",
            "_arguments -s \\",
            *lines,
            "  '1:URL or list:_urlsum_first' \\",
            "  '*:URL or list:_files'",
            "",
        ]
    )


def _fish(actions: list[argparse.Action], command: str) -> str:
    first = "test (count (commandline -opc)) -eq 1"
    lines = [f"complete -c urlsum -n '{first}' -a {command} -d 'compare a URL with a file'"]
    for action in actions:
        names = " ".join(
            f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in action.option_strings
        )
        kind = ""
        if action.choices is not None:
            kind = f" -x -a '{' '.join(map(str, action.choices))}'"
        elif _value(action):
            kind = " -r -F" if _takes_file(action) else " -x"
        text = _first_words(action).replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"complete -c urlsum {names}{kind} -d '{text}'")
    return "\n".join([*lines, ""])


def _takes_file(action: argparse.Action) -> bool:
    return not _FILES.isdisjoint(action.option_strings)


def _first_words(action: argparse.Action) -> str:
    """The first clause of the option's help."""
    return re.split(r"[;(]", action.help or "", maxsplit=1)[0].strip().replace("%%", "%")


SHELLS: dict[str, Callable[[list[argparse.Action], str], str]] = {"bash": _bash, "fish": _fish, "zsh": _zsh}
