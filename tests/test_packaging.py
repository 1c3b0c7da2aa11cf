"""vggnumpy works from a clone, an editable install, a wheel, and a wheel built from an sdist, run from elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
SHIPPED = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "vggnumpy", "weights")


def run(*command: object, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy of what the repository ships, without anything that was built in it."""
    copy = tmp_path_factory.mktemp("clone") / "vggnumpy-clone"
    copy.mkdir()
    for name in SHIPPED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "[!b]*.h5"))
        else:
            shutil.copy(source, copy / name)
    return copy


def bare_environment(folder: Path) -> Path:
    """Make an environment that has the dependencies of the running one, but not the vggnumpy installed there."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "vggnumpy" not in path.name and not (own / path.name).exists():
            (own / path.name).symlink_to(path)
    return python


def install(python: Path, *what: object, cwd: Path) -> None:
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, *what, cwd=cwd)


def paints_from_elsewhere(python: object, origin: Path, elsewhere: Path, **environment: str) -> None:
    """Run the demo from another folder and check that it is this copy of the package that ran."""
    elsewhere.mkdir()
    where = run(python, "-c", "import vggnumpy; print(vggnumpy.__file__)", cwd=elsewhere, **environment)
    assert Path(where.strip()).is_relative_to(origin)
    run(python, "-m", "vggnumpy", "demo", "--size", "48", "--iterations", "1", cwd=elsewhere, **environment)
    assert (elsewhere / "demo.png").stat().st_size > 1000
    network = json.loads((elsewhere / "demo.json").read_text())["network"]
    assert (network["name"], network["file"]) == ("small-vgg", "builtin.h5")


def test_plain_clone(clone, tmp_path):
    paints_from_elsewhere(sys.executable, clone, tmp_path / "elsewhere", PYTHONPATH=str(clone))


def test_editable_install(clone, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(clone, copy)
    python = bare_environment(tmp_path / "environment")
    install(python, "--editable", copy, cwd=tmp_path)
    paints_from_elsewhere(python, copy, tmp_path / "elsewhere")


def test_wheel(clone, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(clone, copy)
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path / "dist", cwd=copy)
    check_wheel(tmp_path)


def test_wheel_from_an_sdist(clone, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(clone, copy)
    # Without --wheel or --sdist, build makes the wheel from the sdist it has just made.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", cwd=copy)
    check_wheel(tmp_path)


def check_wheel(folder: Path) -> None:
    (wheel,) = (folder / "dist").glob("*.whl")
    python = bare_environment(folder / "environment")
    install(python, wheel, cwd=folder)
    paints_from_elsewhere(python, folder / "environment", folder / "elsewhere")
    script = folder / "environment" / "bin" / "vggnumpy"
    assert "vggnumpy" in run(script, "--version", cwd=folder)
