"""What the built distribution installs: run by `make test-wheel`, where the source tree cannot be imported."""

import importlib.metadata
import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {path.name: path for path in [ROOT / "core" / "interpolated_kernels", *(ROOT / "adapters").glob("inter*")]}
DISTRIBUTION = importlib.metadata.distribution("interpolated-kernels")

pytestmark = pytest.mark.skipif(
    json.loads(DISTRIBUTION.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable", False),
    reason="a source tree is installed, no wheel: `make test-wheel` installs one",
)


def list_installed():
    """Return the files of the distribution, without what Python compiled and what the installer notes."""
    return [path for path in DISTRIBUTION.files if path.suffix != ".pyc" and ".dist-info" not in path.parts[0]]


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_packages_come_from_the_wheel(package):
    """Each package is imported from where the wheel was installed, not from the source tree."""
    found = Path(importlib.util.find_spec(package).origin)
    assert found == Path(DISTRIBUTION.locate_file(f"{package}/__init__.py"))
    assert not any(found.is_relative_to(source) for source in SOURCES.values())


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_a_package_holds_its_modules_and_types(package):
    """Every module of the source tree is installed, `py.typed` beside them, and nothing else."""
    source = SOURCES[package]
    expected = {path.relative_to(source.parent) for path in source.rglob("*.py")} | {Path(package, "py.typed")}
    assert {Path(path) for path in list_installed() if path.parts[0] == package} == expected


def test_nothing_else_is_installed():
    """Beside the packages there is the command alone; the licence is among the distribution's notes."""
    others = [path for path in list_installed() if path.parts[0] not in SOURCES]
    assert [path.name for path in others] == ["interpolated-kernels"]
    assert others[0].parent.name == "bin" or others[0].parent.name == "Scripts"
    assert any(path.name == "LICENSE" for path in DISTRIBUTION.files)
