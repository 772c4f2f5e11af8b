"""The map in the documents is that of the tree: every package has a line, and every path exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "urlsum"
MAP = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LAYOUT = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Layout")[2]


def parts(folder: Path) -> list[str]:
    """The modules and packages of a folder, as the documents write them."""
    modules = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    return sorted([*modules, *(f"{path.parent.name}/" for path in folder.glob("*/__init__.py"))])


@pytest.mark.parametrize("folder", [PACKAGE, PACKAGE / "origin"], ids=["urlsum", "origin"])
def test_the_documents_name_every_module_and_package(folder: Path) -> None:
    assert [name for name in parts(folder) if f"{name}`" not in MAP] == []
    assert [name for name in parts(folder) if name not in LAYOUT.split()] == []


def test_every_path_of_the_map_exists() -> None:
    paths = re.findall(r"`((?:\w+/)*\w+(?:\.py|/))`", MAP)
    below = [ROOT, PACKAGE, PACKAGE / "origin"]
    assert [path for path in paths if not any((folder / path).exists() for folder in below)] == []


def test_every_module_that_the_map_names_beside_a_package_exists() -> None:
    rows = re.findall(r"^\| `(?:src/urlsum/)?(\w+)/` \| (.*) \|$", MAP, re.MULTILINE)
    named = [(package, name) for package, duty in rows for name in re.findall(r"\(((?:`\w+`(?:, )?)+)\)", duty)]
    modules = [(package, module) for package, names in named for module in re.findall(r"\w+", names)]
    assert modules
    files = [f"{package}/{module}.py" for package, module in modules]
    assert [
        file for file in files if not any((folder / file).is_file() for folder in (PACKAGE, PACKAGE / "origin"))
    ] == []
