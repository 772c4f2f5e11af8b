"""Trim the built layer: what no function reads goes, and what is left is compiled.

Lambda fetches and unpacks a layer before each cold start, and botocore parses its data in the init phase. So the layer
keeps the data of the operations that urlsum calls, without the documentation, and no file that only pip, type checkers,
tests or other services read. The trusted CAs are kept once more in a form that a process need not read as a whole.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import tempfile
import zipfile
from importlib.metadata import Distribution, distributions
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# The services that urlsum calls, by botocore's name and by the name in endpoints.json.
SERVICES = {"dynamodb": "dynamodb", "sqs": "sqs", "sesv2": "email", "ssm": "ssm"}
# Of them, the operations that the functions' roles in template.yaml allow. A client makes a method for each operation
# of its model, and Systems Manager alone has 146.
OPERATIONS = {
    "dynamodb": ("BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem"),
    "sqs": ("DeleteMessage", "GetQueueAttributes", "ReceiveMessage", "SendMessage"),
    "sesv2": ("SendEmail",),
    "ssm": ("GetParameter", "PutParameter"),
}
# Of a service, botocore reads these for a client; the others only for paginators, waiters and its documentation.
MODELS = ("service-2.json", "endpoint-rule-set-1.json")
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)
# What importlib.metadata reads: names and versions, and the entry points of pydantic's plugins and OpenTelemetry.
METADATA = frozenset({"METADATA", "entry_points.txt"})
HEADERS = re.compile(r"(Metadata-Version|Name|Version): ")
# email-validator imports dnspython only to look up mail servers, and urlsum never asks for that. Its metadata require
# the package, so pip installs it.
UNUSED = frozenset({"dnspython"})
# botocore's modules import these. The others of its package `docs` write its documentation, out of descriptions that
# the layer does not have, and with an HTML parser; a client imports all of them, which takes 6 ms of CPU time.
DOCSTRINGS = '''"""Docstrings without text: see scripts/trim_layer.py of urlsum."""


class ClientMethodDocstring(str):
    def __new__(cls, *_args, **_kwargs):
        return super().__new__(cls)


class PaginatorDocstring(ClientMethodDocstring):
    pass


class WaiterDocstring(ClientMethodDocstring):
    pass
'''
# Folders of packages that only their own developers import.
TESTS = frozenset({"test", "tests", "testing"})

# A new dependency, or a new version of one, shall not undo this unnoticed: an untrimmed layer has twice as much.
MOST_BYTES = 40 * 10**6
MOST_ZIPPED_BYTES = 12 * 10**6
# What a file takes up at least.
BLOCK_BYTES = 4096


class TooLarge(Exception):
    """The layer exceeds its budget; the text gives its sizes."""


def trim(packages: Path) -> None:
    """Trim the folder ``packages``, which pip has filled."""
    for distribution in list(distributions(path=[str(packages)])):
        if distribution.name in UNUSED:
            _uninstall(distribution, packages)
    for info in packages.glob("*.dist-info"):
        _trim_metadata(info)
    for path in _superfluous(packages):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    _trim_botocore(packages / "botocore" / "data")
    _trim_documenters(packages / "botocore" / "docs")
    if (packages / "botocore" / "cacert.pem").exists():
        hash_certificates(packages / "botocore" / "cacert.pem")


def hash_certificates(bundle: Path) -> None:
    """Write each certificate of ``bundle`` into the folder of its name without a suffix. Raises CalledProcessError.

    The names are hashes of the subjects, by which OpenSSL finds the one CA of a handshake; to read all of them takes 18
    ms of CPU time: https://docs.openssl.org/3.0/man3/SSL_CTX_load_verify_locations/. ``urlsum.aws`` uses the folder.
    """
    folder = bundle.with_suffix("")
    folder.mkdir(exist_ok=True)
    command = ["openssl", "x509", "-noout", "-subject_hash"]
    for certificate in CERTIFICATE.findall(bundle.read_text(encoding="utf-8")):
        named = subprocess.run(command, input=certificate, capture_output=True, text=True, check=True)  # noqa: S603
        name = named.stdout.strip()
        number = sum(1 for _ in folder.glob(f"{name}.*"))  # of those with the same hash
        (folder / f"{name}.{number}").write_text(certificate, encoding="utf-8")


def compile_all(python: str, folder: Path, root: str) -> None:
    """Compile every module below ``folder``, which Lambda mounts as ``root``. Raises CalledProcessError.

    Python does not check the compiled files against their sources at run time, because both are deployed together:
    https://docs.python.org/3/library/compileall.html.
    """
    options = ("-q", "--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", root)
    subprocess.run([python, "-m", "compileall", *options, str(folder)], check=True)  # noqa: S603 - PYTHON of sam_build


def sizes(folder: Path) -> tuple[int, int]:
    """The bytes of ``folder`` on a disk, and in a zip file such as ``sam deploy`` makes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    with tempfile.TemporaryFile() as packed:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(folder))
        zipped = packed.tell()
    return sum(-(-path.stat().st_size // BLOCK_BYTES) * BLOCK_BYTES for path in files), zipped


def check_sizes(folder: Path) -> None:
    """Compare the layer in ``folder`` with its budget. Raises TooLarge."""
    size, zipped = sizes(folder)
    if size > MOST_BYTES or zipped > MOST_ZIPPED_BYTES:
        raise TooLarge(
            f"the layer has {size / 1e6:.1f} MB, zipped {zipped / 1e6:.1f} MB; scripts/trim_layer.py allows "
            f"{MOST_BYTES / 1e6:.0f} and {MOST_ZIPPED_BYTES / 1e6:.0f} MB"
        )


def _uninstall(distribution: Distribution, packages: Path) -> None:
    tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}
    for top in tops:
        path = packages / top
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _trim_metadata(info: Path) -> None:
    for path in list(info.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in METADATA:
            path.unlink()
    metadata = info / "METADATA"
    head = metadata.read_text(encoding="utf-8").partition("\n\n")[0]
    kept = [line for line in head.splitlines() if HEADERS.match(line)]
    metadata.write_text("\n".join(kept) + "\n", encoding="utf-8")


def _superfluous(packages: Path) -> Iterator[Path]:
    """What only type checkers, pip, tests and processes with command lines read."""
    yield from list(packages.rglob("*.pyi"))
    yield from list(packages.rglob("py.typed"))
    yield from list(packages.glob("requirements*"))
    yield from [path for path in packages.rglob("__pycache__") if path.is_dir()]
    yield from [path for path in packages.glob("*/**/") if path.name in TESTS and path.parent != packages]
    if (packages / "bin").is_dir():
        yield packages / "bin"


def _trim_botocore(data: Path) -> None:
    for service in [path for path in data.iterdir() if path.is_dir()]:
        if service.name not in SERVICES:
            shutil.rmtree(service)
            continue
        # A client gets the newest version of an API unless it asks for another.
        *old, newest = sorted(path for path in service.iterdir() if path.is_dir())
        for version in old:
            shutil.rmtree(version)
        _trim_service(newest, OPERATIONS[service.name])
    endpoints = data / "endpoints.json"
    table = json.loads(endpoints.read_bytes())
    for partition in table["partitions"]:
        known = partition["services"]
        partition["services"] = {name: known[name] for name in SERVICES.values() if name in known}
    _write(endpoints, table)


def _trim_documenters(docs: Path) -> None:
    for path in list(docs.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "utils.py":  # names of types, and handlers that are registered for documentation only
            path.unlink()
    (docs / "__init__.py").touch()
    (docs / "docstring.py").write_text(DOCSTRINGS, encoding="utf-8")


def _trim_service(version: Path, operations: Iterable[str]) -> None:
    """Keep what a client needs for ``operations``. Not compressed: to unpack it takes longer than to read it."""
    for path in list(version.iterdir()):
        name = path.name.removesuffix(".gz")
        if name in MODELS:
            raw = path.read_bytes()
            model = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
            if "operations" in model:
                _keep_operations(model, operations)
            _write(version / name, _undocumented(model))
        if path.name != name or name not in MODELS:
            path.unlink()


def _keep_operations(model: dict[str, Any], operations: Iterable[str]) -> None:
    """Drop all other operations of ``model``, and the shapes that no operation refers to any more."""
    model["operations"] = {name: model["operations"][name] for name in operations}
    shapes, kept, ahead = model["shapes"], {}, {*_references(model["operations"])}
    while ahead:
        name = ahead.pop()
        kept[name] = shapes[name]
        ahead |= {*_references(shapes[name])} - kept.keys()
    model["shapes"] = kept


def _references(node: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """The names of the shapes that ``node`` refers to. A member may be called "shape", too; it is no string."""
    if isinstance(node, dict):
        if isinstance(node.get("shape"), str):
            yield node["shape"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _undocumented(node: Any) -> Any:  # noqa: ANN401 - JSON
    """``node`` without its documentation. A member of a structure may have that name; its value is no string."""
    if isinstance(node, dict):
        return {
            name: _undocumented(value)
            for name, value in node.items()
            if not (name == "documentation" and isinstance(value, str))
        }
    return [_undocumented(value) for value in node] if isinstance(node, list) else node


def _write(path: Path, document: Any) -> None:  # noqa: ANN401 - JSON
    path.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
