"""Wheel and source archive: everything is inside, and an installed wheel compiles and runs without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "tests" / "models" / "digits.tflite"
DATA_FOLDERS = {
    "schedules": ROOT / "schedules",
    "target_configs": ROOT / "target_configs",
    "runtime_c": ROOT / "runtime_c",
}


def run(command: list[str], folder: Path) -> str:
    """Run a program outside the checkout and without its module path; return standard output."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, f"{command} failed:\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a source archive of the checkout and the wheel made from that archive."""
    folder = tmp_path_factory.mktemp("distributions")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)], folder)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel made from the checkout, where the data folders are links."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        folder,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel in it; the dependencies are those of this environment.

    A path in a .pth file is only added to the module path: the .pth file of an editable install in it, which
    would lead back to the checkout, is not read.
    """
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder)
    python = folder / "bin" / "python"
    site_packages = run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder)
    (Path(site_packages.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--no-deps"]
    run([*install, "--disable-pip-version-check", "--ignore-installed", str(wheel)], folder)
    return folder


def data_files() -> set[str]:
    """Every file of the three folders, as the package names it."""
    return {
        f"tvm_tinyml/{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in DATA_FOLDERS.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_schedules_targets_and_c(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert data_files() <= set(names)
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith("tests/") or name.endswith(".pyc")]


def test_wheel_from_the_source_archive_is_the_same(distributions: Path, wheel: Path) -> None:
    (source,) = distributions.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        members = archive.getnames()
    assert len(members) == len(set(members))
    (indirect,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as direct, zipfile.ZipFile(indirect) as second:
        assert {info.filename: info.CRC for info in direct.infolist()} == {
            info.filename: info.CRC for info in second.infolist()
        }


def test_installed_wheel_is_what_is_imported(environment: Path) -> None:
    script = (
        "import tvm, tvm_tinyml; from tvm_tinyml.resources import data_dir; print(tvm_tinyml.__file__); "
        "print(data_dir('runtime_c')); print(tvm.target.Target('tinyml/cortex-m55').kind); print(tvm.relay.build)"
    )
    module, folder, kind, build = run(
        [str(environment / "bin" / "python"), "-c", script], environment
    ).splitlines()
    assert Path(module).is_relative_to(environment)
    assert Path(folder).is_relative_to(environment)
    assert kind == "c"
    assert build.startswith("<function build")


def test_installed_command_compiles_for_a_microcontroller(environment: Path, tmp_path: Path) -> None:
    command = str(environment / "bin" / "tvm-tinyml")
    run([command, "compile", str(DIGITS), "--target", "tinyml -mcpu=cortex-m55", "-o", "digits"], tmp_path)
    assert (tmp_path / "digits" / "digits.c").is_file()
    assert (tmp_path / "digits" / "include" / "tinyml_fixed_point.h").is_file()


def test_installed_command_runs_on_the_host(environment: Path, tmp_path: Path) -> None:
    command = [str(environment / "bin" / "python"), "-m", "tvm_tinyml", "run", str(DIGITS)]
    printed = run([*command, "--target", "tinyml/host", "--random", "1", "--check", "--json"], tmp_path)
    report = json.loads(printed)
    assert report["bit_exact"] is True
    for path in report["outputs"]:
        Path(path).unlink()
