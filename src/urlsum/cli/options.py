"""The options of the command, as its arguments set them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

from urlsum.cli.arguments import COMPARE, field, service
from urlsum.cli.arguments import parser as make_parser

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Only with -c, by their attribute names.
ONLY_CHECK = ("quiet", "status", "strict", "warn", "ignore_missing", "base")
# Only without -c, because they say how digests are printed.
ONLY_HASH = ("tag", "zero", "name")
# What only this machine can do, or has: a service has settings of its own.
ONLY_LOCAL = ("allow_private", "state", "no_state", "connections", "jobs", "retries", "header", "header_file")
ONE_FILE = {"md5": "is the digest of one file", "state": "saves the progress of one file"}
ONLY_REMOTE = ("email", "no_wait", "cancel")


class Options(NamedTuple):
    """The parsed arguments. ``names`` are URLs; with ``check``, lists of checksums; with ``compare``, a URL and a file.

    ``inputs`` are lists of URLs. ``headers`` are fields that requests send, name and value.
    """

    names: Sequence[str]
    inputs: Sequence[str] = ()
    check: bool = False
    compare: bool = False
    base: str | None = None
    ignore_missing: bool = False
    quiet: bool = False
    status: bool = False
    strict: bool = False
    warn: bool = False
    fail_fast: bool = False
    tag: bool = False
    zero: bool = False
    binary: bool = False
    name: str = "url"
    json: bool = False
    output: Path | None = None
    jobs: int = 1
    connections: int | None = None
    allow_private: bool = False
    md5: str | None = None
    retries: int | None = None
    state: Path | None = None
    no_state: bool = False
    headers: Sequence[tuple[str, str]] = ()
    netrc: bool = False
    server: str | None = None
    email: str | None = None
    no_wait: bool = False
    cancel: str | None = None


def parse(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> Options:
    """Parse the command line; ``environment`` may name the service. Exits with 2 and a message if it is invalid."""
    parser = make_parser()
    values = vars(parser.parse_intermixed_args(arguments))  # urlsum URL -j 2 URL
    names = values["names"]
    values["compare"] = bool(names) and names[0] == COMPARE
    if values["compare"]:
        values["names"] = names[1:]
    try:
        _check(values)
        values["server"] = _server(values, environment)
        values["headers"] = [*values.pop("header"), *_read_fields(values.pop("header_file"))]
    except ValueError as exc:
        parser.error(str(exc))
    values["cancel"] = values["cancel"] and values["cancel"].id
    values["name"] = values["name"] or "url"
    values["jobs"] = values["jobs"] or 1
    values["inputs"] = values.pop("input_file")
    for name in ("text", "man", "completion"):
        values.pop(name)
    return Options(**values)


def _check(values: Mapping[str, Any]) -> None:
    """Raises ValueError for options that exclude each other."""
    if values["compare"]:
        _check_comparison(values)
    elif values["cancel"]:
        if values["names"] or values["check"] or values["input_file"]:
            raise ValueError("--cancel takes the id of a task, and no URL")
    elif not (values["check"] or values["names"] or values["input_file"]):
        raise ValueError("give at least one URL, or -c and a list of checksums (urlsum --help shows examples)")
    if values["check"]:
        _refuse(values, ONLY_HASH, "only works without -c")
        if values["input_file"]:
            raise ValueError("-i names lists of URLs, and -c lists of checksums: give only one of them")
    elif not values["compare"]:
        _refuse(values, ONLY_CHECK, "only works with -c")
    _check_one_file(values)


def _check_one_file(values: Mapping[str, Any]) -> None:
    for name, what in ONE_FILE.items():
        if values[name] is not None and (values["check"] or values["input_file"] or len(values["names"]) != 1):
            raise ValueError(f"--{name} {what}: give exactly one URL and no -c")
    if values["state"] is not None:
        _refuse(values, ("no_state",), "and --state exclude each other")


def _check_comparison(values: Mapping[str, Any]) -> None:
    if len(values["names"]) != 2 or values["check"] or values["input_file"]:  # noqa: PLR2004 - a URL and a file
        raise ValueError("compare takes a URL and a file of this machine: urlsum compare URL FILE")
    _refuse(
        values,
        ("server", *ONLY_REMOTE, *ONLY_HASH, "json", "state", "md5", "base", "ignore_missing", "strict", "warn"),
        "does not work with compare",
    )


def _refuse(values: Mapping[str, Any], names: Sequence[str], why: str) -> None:
    for each in names:
        if values[each]:
            raise ValueError(f"--{each.replace('_', '-')} {why}")


def _server(values: Mapping[str, Any], environment: Mapping[str, str]) -> str | None:
    """The service to ask: that of --server, or URLSUM_SERVER unless an option is for this machine only."""
    local = [each for each in ONLY_LOCAL if values[each] not in (None, False, [])]
    remote = [each for each in ONLY_REMOTE if values[each]]
    server = values["server"]
    if server is None and values["cancel"]:
        server = values["cancel"].link_base
    if server is None and not local and not values["compare"] and (text := environment.get("URLSUM_SERVER")):
        try:
            server = service(text)
        except argparse.ArgumentTypeError as exc:
            raise ValueError(f"URLSUM_SERVER: {exc}") from exc
    if server is not None and local:
        raise ValueError(
            f"--{local[0].replace('_', '-')} only affects hashing on this machine; a service has settings of its own"
        )
    if server is None and remote:
        raise ValueError(f"--{remote[0].replace('_', '-')} needs a service: --server URL, or URLSUM_SERVER")
    return str(server) if server else None


def _read_fields(path: Path | None) -> list[tuple[str, str]]:
    """The fields in a file, one a line. Raises ValueError."""
    if path is None:
        return []
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as exc:
        raise ValueError(f"--header-file: {path}: {exc.strerror}") from exc
    try:
        return [field(line) for line in lines if line.strip() and not line.startswith("#")]
    except argparse.ArgumentTypeError as exc:
        raise ValueError(f"--header-file: {path}: {exc}") from exc
