"""Who imports whom: one direction, heavy libraries in one place each, and files short enough to be read."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "vggnumpy"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Room (a module or package of vggnumpy) → the other rooms that it may import.
ROOMS = {
    "errors": set(),
    "sources": set(),
    "area": set(),
    "kernel_cache": {"files", "errors"},
    "backend": {"kernel_cache", "sources", "errors"},
    "cuda": {"backend", "errors"},
    "ops": {"cuda", "backend", "errors"},
    "losses": {"ops", "cuda", "backend", "errors"},
    "nets": {"ops", "area", "backend", "errors"},
    "engine": {"nets", "losses", "ops", "cuda", "backend", "errors"},
    "optimize": {"backend", "errors"},
    "gradcheck": {"errors"},
    "styles": {"nets", "losses", "backend", "errors"},
    "terms": {"backend", "errors"},
    "objective": {"terms", "engine", "styles", "nets", "losses", "ops", "cuda", "backend", "errors"},
    "checks": {
        "training",
        "engine",
        "objective",
        "style_terms",
        "styles",
        "nets",
        "losses",
        "ops",
        "gradcheck",
        "errors",
    },
    "files": {"errors"},
    "images": {"files", "system", "errors"},
    "film": {"images", "files", "errors"},
    "formats": {"multiscale", "losses", "nets", "ops", "backend", "images", "files", "errors"},
    "color": {"errors"},
    "color_control": {"color", "errors"},
    "regions": {"color", "area", "errors"},
    "region_colors": {"color_control", "color", "regions", "errors"},
    "masks": {"regions", "color", "errors"},
    "measures": {"regions", "color", "errors"},
    "borders": {"measures", "regions", "color", "errors"},
    "segment": {"regions", "color", "images", "nets", "backend", "errors"},
    "pairing": {"segment", "regions", "images", "errors"},
    "spatial": {
        "region_colors",
        "color_control",
        "color",
        "masks",
        "regions",
        "engine",
        "styles",
        "losses",
        "nets",
        "ops",
        "backend",
        "errors",
    },
    "style_terms": {"terms", "engine", "losses", "nets", "errors"},
    "presets": {"nets", "losses", "errors"},
    "multiscale": {
        *("estimate", "presets", "engine", "styles", "losses", "nets", "backend", "images", "files", "system", "errors")
    },
    "feature_size": {"multiscale", "presets", "losses", "nets", "backend", "errors"},
    "synthesis": {"styles", "losses", "nets", "backend", "errors"},
    "texture": {
        *("synthesis", "multiscale", "objective", "optimize", "terms", "styles", "losses", "nets", "images", "errors")
    },
    "style_mixing": {"multiscale", "styles", "losses", "images", "errors"},
    "matconvnet": {"formats", "nets", "ops", "backend", "errors"},
    "training": {"engine", "formats", "nets", "ops", "backend", "errors"},
    "evaluate": {"engine", "nets", "ops", "images", "backend", "errors"},
}
# What leads from there to the user; each may import all before it, and nothing else may import any of them.
LATE = ["scale", "strength", "transfer", "run", "cli", "__main__"]
# Library → the rooms that may import it.
LIBRARIES = {
    "cupy": {"backend"},
    "h5py": {"formats"},
    "pooch": {"formats"},
    "requests": {"formats"},
    "imageio": {"images"},
    "PIL": {"images"},
    "matplotlib": {"report", "cli", "run", "landscape"},
    "torch": set(),
    "tensorflow": set(),
    "jax": set(),
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> list[str]:
    """Return the full names of everything a file imports, at its top or inside its functions."""
    package = ["vggnumpy", *path.relative_to(PACKAGE).parts[:-1]]
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names += [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            names += [node.args[0].value] if isinstance(node.args[0], ast.Constant) else ["unknown"]
    return names


def imported_rooms(path: Path) -> set[str]:
    """Return the other rooms of the package that a file imports; the package itself counts as ``__init__``."""
    found = set()
    for name in imported(path):
        first, _, rest = name.partition(".")
        if first == "vggnumpy":
            room = rest.partition(".")[0]
            known = (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file()
            found.add(room if room and known else "__init__")
    return found - {room_of(path)}


def test_every_room_that_is_named_here_exists():
    assert {*ROOMS, *LATE} <= {room_of(path) for path in MODULES}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room):
    for path in MODULES:
        if room_of(path) == room:
            assert imported_rooms(path) <= ROOMS[room], path.relative_to(CHECKOUT)


@pytest.mark.parametrize("room", LATE)
def test_nothing_imports_what_comes_after_it(room):
    for path in MODULES:
        if room_of(path) in LATE[LATE.index(room) :] or (room, room_of(path)) == ("transfer", "__init__"):
            continue
        assert room not in imported_rooms(path), path.relative_to(CHECKOUT)


def test_nothing_needs_the_matlab_face():
    assert [path for path in MODULES if "matconvnet" in imported_rooms(path)] == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_in_its_place_only(library):
    rooms = {room_of(path) for path in MODULES if library in {name.partition(".")[0] for name in imported(path)}}
    assert rooms <= LIBRARIES[library]


def test_no_import_is_hidden_from_these_tests():
    # The dispatch imports x_cuda for an operator in x.
    assert [path for path in MODULES if "unknown" in imported(path)] == [PACKAGE / "backend.py"]


def test_importing_the_package_loads_nothing_heavy():
    heavy = "cupy matplotlib tqdm pooch requests h5py imageio PIL scipy.optimize torch".split()
    program = f"import sys, vggnumpy; print(*(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")


@pytest.mark.parametrize("folder", ["vggnumpy", "tests", "examples"])
def test_no_file_is_longer_than_400_lines(folder):
    sources = [path for path in (CHECKOUT / folder).rglob("*") if path.suffix in (".py", ".cu", ".cuh")]
    lengths = {str(path.relative_to(CHECKOUT)): len(path.read_text("utf-8").splitlines()) for path in sources}
    assert lengths and {name: length for name, length in lengths.items() if length > 400} == {}
