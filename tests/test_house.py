"""The rules of the house: who imports whom, and what an import costs."""

import ast
import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import interpolated_kernels
from interpolated_kernels.loops.compile import numba_parts

CORE = Path(interpolated_kernels.__file__).parent
ADAPTERS = CORE.parent.parent / "adapters"
ORDER = [
    "tile_sizes", "folders", "forks", "loops", "lazy", "errors", "arrays", "arguments", "caching", "machine", "anchors",
    "interpolation", "structure", "kernel", "filling", "gradients", "options", "problem", "padding", "memory", "paths",
    "plan", "missing", "planning", "edge", "densify", "bands", "convolution", "transposed", "report", "fitting",
    "files", "calibration", "initialization", "runtime", "warming", "plotting", "testing", "cli", "adapting",
    "layers", "utils",
]  # fmt: skip
FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "dask"}
HEAVY = {"numba", "scipy", "matplotlib", "sklearn", "rich", "hypothesis", "pytest", *FRAMEWORKS}


def _imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Return the dotted names that a file imports."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _room(path: Path) -> str:
    """Return the module or package of the core that a file belongs to."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


CORE_FILES = sorted(path for path in CORE.rglob("*.py") if _room(path) not in ("__init__", "__main__"))
ADAPTER_FILES = sorted(ADAPTERS.glob("interpolated_kernels_*/**/*.py"))


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_a_module_imports_only_from_those_above_it(path):
    """Describe, plan, execute: no module of the core looks down."""
    own = ORDER.index(_room(path))
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "interpolated_kernels" and len(parts) > 1 and parts[1] in ORDER:
            assert ORDER.index(parts[1]) <= own, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_only_layers_knows_a_framework(path):
    """The core names no framework and no adapter; `layers` alone names one adapter."""
    foreign = {name.split(".")[0] for name in _imports(path)}
    adapters = {name for name in foreign if name.startswith("interpolated_kernels_")}
    assert not (foreign & FRAMEWORKS)
    assert adapters <= ({"interpolated_kernels_keras"} if path.name == "layers.py" else set())


def _module_of(path: Path) -> str:
    """Return the dotted name of a file of the core or of an adapter."""
    root = CORE.parent if path.is_relative_to(CORE) else ADAPTERS
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported_modules(path: Path, modules: set[str]) -> set[str]:
    """Return those of the modules that a file imports, at its top or later."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & modules
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & modules
            found |= submodules if len(submodules) == len(node.names) else submodules | ({node.module} & modules)
    return found


def test_paths_do_not_import_each_other():
    """Every file of a path needs its own path's files and the shared ones."""
    paths = set(importlib.import_module("interpolated_kernels.paths").PATHS)
    for name in paths:
        folder = CORE / "paths" / name
        for file in sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]:
            others = {f"interpolated_kernels.paths.{other}" for other in paths - {name}}
            foreign = {module for module in _imports(file) if any(f"{module}.".startswith(f"{o}.") for o in others)}
            assert not foreign, f"{file} imports {foreign}"


def test_no_circle_of_imports():
    """No module of the core or of an adapter imports another that leads back to it, not even later."""
    modules = {_module_of(path): path for path in (*CORE_FILES, *ADAPTER_FILES)}
    leads_to = {name: _imported_modules(path, set(modules)) for name, path in modules.items()}
    clear: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way, name])
        if name not in clear:
            for other in sorted(leads_to[name]):
                walk(other, (*way, name))
            clear.add(name)

    for name in sorted(leads_to):
        walk(name, ())


def test_adapters_import_public_names_alone():
    """An adapter sees of the core what a user sees, and the public names of `adapting`."""
    public = {f"interpolated_kernels.{name}" for name in (*interpolated_kernels.__all__, "adapting")}
    for path in ADAPTER_FILES:
        deep = {name for name in _imports(path) if name.startswith("interpolated_kernels.")}
        shared = {name for name in deep if name.startswith("interpolated_kernels.adapting.") and "._" not in name}
        assert deep - shared <= public, f"{path} imports {deep - shared - public}"


@pytest.mark.parametrize("path", ADAPTER_FILES, ids=lambda path: str(path.relative_to(ADAPTERS)))
def test_an_adapter_knows_its_own_framework(path):
    """An adapter imports the core, NumPy and its own framework alone; Keras', which has backends, TensorFlow's too."""
    own = path.relative_to(ADAPTERS).parts[0].removeprefix("interpolated_kernels_")
    allowed = {own, "interpolated_kernels", "numpy", *({"tensorflow"} if own == "keras" else ())}
    roots = {name.split(".")[0].removeprefix("interpolated_kernels_") for name in _imports(path)}
    assert roots <= allowed | sys.stdlib_module_names


ALL_FILES = [*CORE_FILES, *sorted(ADAPTERS.glob("interpolated_kernels_*/*.py"))]


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda path: str(path.relative_to(CORE.parent.parent)))
def test_files_functions_and_calls_are_small(path):
    """A file has at most 330 lines, a function 45 beside its docstring, and a call eight positional arguments."""
    text = path.read_text()
    assert len(text.splitlines()) <= 330
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            assert node.end_lineno - node.lineno + 1 - len(docstring.splitlines()) <= 45, node.name
        elif isinstance(node, ast.Call):
            assert len(node.args) <= 8, ast.unparse(node)


def test_local_imports_are_few_and_have_a_reason():
    """The core imports within functions ten times at most, and says why on the line or above it."""
    found = []
    for path in CORE_FILES:
        lines = path.read_text().splitlines()
        for function in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, (ast.Import, ast.ImportFrom)):
                        found.append(f"{path.name}:{node.lineno}")
                        assert "#" in lines[node.lineno - 1] + lines[node.lineno - 2], found[-1]
    assert len(set(found)) <= 10, found


def test_import_loads_numpy_alone():
    """`import interpolated_kernels` loads neither numba, scipy, matplotlib nor any framework."""
    code = f"import sys, interpolated_kernels; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_describing_and_planning_load_no_numba():
    """Kernels and plans are made without numba: only executing needs it."""
    code = (
        "import sys, interpolated_kernels as ik;"
        "k = ik.InterpolatedKernel(ik.grid_positions((9, 9), 2), (9, 9), 'linear');"
        "print(ik.plan((1, 1, 32, 32), (2, 1, 25), k)); print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")


def test_every_numba_function_is_in_loops():
    """No file outside `loops` imports numba."""
    for path in CORE_FILES:
        if _room(path) != "loops":
            assert "numba" not in {name.split(".")[0] for name in _imports(path)}, path


MODULES = {
    "opencv-python-headless": "cv2", "scikit-learn": "sklearn", "tensorflow-cpu": "tensorflow", "dcls": "DCLS",
    "pytest-benchmark": "pytest", "pytest-xdist": "pytest", "numba-cuda": "numba",
}  # fmt: skip
"""What a distribution is imported as; pytest loads its plugins by itself."""


def test_every_extra_brings_what_some_code_uses():
    """No extra installs a library that nothing here imports."""
    root = CORE.parent.parent
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    imported, text = set(), ""
    for path in (
        path for folder in ("core", "adapters", "benchmarks", "tests") for path in (root / folder).rglob("*.py")
    ):
        imported |= {name.split(".")[0] for name in _imports(path)}
        text += path.read_text()
    for extra, requirements in extras.items():
        for requirement in requirements if extra != "all" else ():
            distribution = re.match(r"[\w-]+", requirement)[0]
            module = MODULES.get(distribution, distribution)
            assert module in imported or f'"{module}.' in text, f"{extra}: {distribution}"  # lazily, by its name


def test_the_numba_that_is_served_is_the_one_that_is_promised_and_tested():
    """The releases that an error names are pyproject.toml's lower bound and constraints.txt's pin."""
    root = CORE.parent.parent
    dependencies = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"numba>={numba_parts.OLDEST}" in dependencies
    assert f"numba=={numba_parts.NEWEST}." in (root / "constraints.txt").read_text()


def _modules() -> list[str]:
    found = pkgutil.walk_packages(interpolated_kernels.__path__, "interpolated_kernels.")
    return ["interpolated_kernels", *(module.name for module in found if not module.name.endswith("__main__"))]


@pytest.mark.parametrize("name", _modules())
def test_doctests(name):
    """What a docstring shows is what happens."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0
