"""What the build takes out of the layer changes no client of AWS, and no version that a package finds of itself."""

from __future__ import annotations

import ast
import json
import re
import runpy
import shutil
import ssl
from contextlib import suppress
from importlib.metadata import distribution, entry_points, version
from pathlib import Path
from typing import Any

import botocore
import pytest
import trustme
from botocore.loaders import Loader
from botocore.session import Session

from scripts import trim_layer
from scripts.trim_layer import BLOCK_BYTES, OPERATIONS, SERVICES, TooLarge, check_sizes, hash_certificates, sizes, trim

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
INSTALLED = Path(botocore.__file__).parent / "data"
# One region of each partition that Lambda, SQS, DynamoDB and SES have in common.
REGIONS = ("eu-central-1", "us-gov-west-1", "cn-north-1")


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trimmed packages: botocore's data, and two whole packages that the layer has."""
    folder = tmp_path_factory.mktemp("layer")
    data = folder / "botocore" / "data"
    for name in [*SERVICES, "sts", "s3"]:
        shutil.copytree(INSTALLED / name, data / name)
    for path in INSTALLED.glob("*.json"):
        shutil.copy(path, data)
    shutil.copytree(INSTALLED.parent / "docs", folder / "botocore" / "docs")
    for name in ("dnspython", "opentelemetry-api", "pydantic"):
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}:
            shutil.copytree(str(installed.locate_file(top)), folder / top)
    (folder / "requirements.txt").write_text("left by pip\n")
    (folder / "pydantic" / "tests").mkdir()
    trim(folder)
    return folder


def client(service: str, region: str, data: Path) -> Any:
    session = Session()
    session.register_component("data_loader", Loader([str(data)], include_default_search_paths=False))
    return session.create_client(service, region_name=region, aws_access_key_id="id", aws_secret_access_key="key")


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("service", SERVICES)
def test_a_client_has_the_operations_that_are_called_as_before_and_the_same_endpoint(
    layer: Path, service: str, region: str
) -> None:
    whole, trimmed = (client(service, region, data) for data in (INSTALLED, layer / "botocore" / "data"))
    assert trimmed.meta.endpoint_url == whole.meta.endpoint_url
    assert sorted(trimmed.meta.service_model.operation_names) == sorted(OPERATIONS[service])
    for name in OPERATIONS[service]:
        mine, its = (made.meta.service_model.operation_model(name) for made in (trimmed, whole))
        assert described(mine.input_shape) == described(its.input_shape)
        assert described(mine.output_shape) == described(its.output_shape)
        assert [shape.name for shape in mine.error_shapes] == [shape.name for shape in its.error_shapes]


def described(shape: Any, seen: tuple[str, ...] = ()) -> object:
    """A shape with all that it refers to, but for documentation."""
    if shape is None or shape.name in seen:
        return shape and shape.name
    seen = (*seen, shape.name)
    parts = {name: described(member, seen) for name, member in getattr(shape, "members", {}).items()}
    parts |= {
        name: described(getattr(shape, name), seen) for name in ("member", "key", "value") if hasattr(shape, name)
    }
    return shape.name, shape.type_name, shape.metadata, shape.serialization, parts


def test_certificates_are_found_by_their_subjects_among_others(tmp_path: Path) -> None:
    authorities = [trustme.CA(organization_name=name) for name in ("one", "two", "three", "one")]
    bundle = tmp_path / "cacert.pem"
    bundle.write_bytes(b"# One\n" + b"\n# Another\n".join(made.cert_pem.bytes() for made in authorities))
    hash_certificates(bundle)
    assert len([*(tmp_path / "cacert").iterdir()]) == len(authorities)
    for authority in authorities:
        handshake(authority, ssl.create_default_context(capath=str(tmp_path / "cacert")))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(trustme.CA(organization_name="one"), ssl.create_default_context(capath=str(tmp_path / "cacert")))


def handshake(authority: trustme.CA, client: ssl.SSLContext) -> None:
    """Let ``client`` meet a server whose certificate is ``authority``'s. Raises SSLCertVerificationError."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("a.example").configure_cert(server)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(back, there, server_hostname="a.example"),
        server.wrap_bio(there, back, server_side=True),
    )
    for side in sides * 3:
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()


def test_the_layer_has_the_services_that_the_code_calls() -> None:
    called = {
        name
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r'aws\.client\("(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert called == SERVICES.keys()


def test_data_of_other_services_is_gone(layer: Path) -> None:
    data = layer / "botocore" / "data"
    assert {path.name for path in data.iterdir() if path.is_dir()} == SERVICES.keys()
    [partition, *_] = json.loads((data / "endpoints.json").read_text())["partitions"]
    assert partition["services"].keys() == set(SERVICES.values())


def test_what_botocore_imports_of_its_documentation_is_left_and_writes_none(layer: Path) -> None:
    docs = layer / "botocore" / "docs"
    assert {path.name for path in docs.iterdir()} == {"__init__.py", "docstring.py", "utils.py"}
    for path in INSTALLED.parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("botocore.docs"):
                left = runpy.run_path(str(docs / f"{str(node.module).rpartition('.')[2]}.py"))
                assert {name.name for name in node.names} <= left.keys(), path
    docstring = runpy.run_path(str(docs / "docstring.py"))["ClientMethodDocstring"]
    assert docstring(operation_model=None, include_signature=False).expandtabs() == ""


def test_packages_still_know_their_version_and_their_entry_points(layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = version("pydantic"), entry_points(group="opentelemetry_context").names
    monkeypatch.setattr("sys.path", [str(layer)])
    assert (version("pydantic"), entry_points(group="opentelemetry_context").names) == expected


def test_what_no_function_imports_is_gone(layer: Path) -> None:
    assert not (layer / "dns").exists()
    assert [*layer.glob("dnspython*"), *layer.rglob("*.pyi"), *layer.rglob("py.typed"), *layer.rglob("RECORD")] == []
    assert not (layer / "requirements.txt").exists()
    assert not (layer / "pydantic" / "tests").exists()
    assert (layer / "pydantic" / "main.py").exists()


def test_documentation_goes_and_a_member_of_that_name_stays() -> None:
    model = {"documentation": "text", "members": {"documentation": {"shape": "S", "documentation": "text"}}, "e": [1]}
    assert trim_layer._undocumented(model) == {"members": {"documentation": {"shape": "S"}}, "e": [1]}


def test_a_layer_over_its_budget_is_refused_on_disk_and_zipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_bytes(b"x")
    (tmp_path / "b.py").write_bytes(b"x" * (BLOCK_BYTES + 1))
    size, zipped = sizes(tmp_path)
    assert size == 3 * BLOCK_BYTES
    assert 0 < zipped < BLOCK_BYTES
    check_sizes(tmp_path)
    for limit, most in (("MOST_BYTES", size), ("MOST_ZIPPED_BYTES", zipped)):
        monkeypatch.setattr(trim_layer, limit, most)
        check_sizes(tmp_path)
        monkeypatch.setattr(trim_layer, limit, most - 1)
        with pytest.raises(TooLarge, match="the layer has"):
            check_sizes(tmp_path)
        monkeypatch.undo()
