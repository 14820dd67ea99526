"""tools/find_python.sh and tools/setup_python.sh make .venv once, and again only when its ingredients change."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .machine import ROOT, Machine

REFUSES = "#!/usr/bin/env bash\nexit 1\n"

# Stands for a Python: logs every `-m pip install` and `-m venv`, and creates itself inside a new environment.
PYTHON = """#!/usr/bin/env bash
if [[ "$1 $2" == "-m venv" ]]; then
    echo "venv $3" >>CALLS
    mkdir -p "$3/bin"
    ln -s "$0" "$3/bin/python"
elif [[ "$1 $2 $3" == "-m pip install" ]]; then
    echo "pip install ${*: -1}" >>CALLS
    if [[ -e broken ]]; then exit 1; fi
fi
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.program("python3.11", PYTHON.replace("CALLS", str(machine.calls_file)))
    return machine


def test_python_of_a_supported_version_is_preferred_over_the_default(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.program("python3", REFUSES)
    machine.program("python3.12", REFUSES)
    machine.program("python3.11")
    assert machine.run("find_python.sh").stdout.strip() == str(machine.bin / "python3.11")


def test_no_supported_python_is_an_error(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.program("python3", REFUSES)
    assert machine.run("find_python.sh").returncode == 1
    result = machine.run("setup_python.sh")
    assert result.returncode == 1
    assert "no Python 3.10, 3.11 or 3.12" in result.stderr


def test_second_run_does_nothing(machine: Machine) -> None:
    first = machine.run("setup_python.sh")
    assert first.returncode == 0, first.stderr
    assert machine.calls == ["venv .venv", "pip install editables", "pip install .[dev]"]
    second = machine.run("setup_python.sh")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert len(machine.calls) == 3


@pytest.mark.parametrize("name", ["pyproject.toml", "tools/constraints.txt"])
def test_changed_pins_install_again_into_the_same_environment(machine: Machine, name: str) -> None:
    machine.run("setup_python.sh")
    with (machine.checkout / name).open("a") as file:
        file.write("# changed\n")
    machine.run("setup_python.sh")
    assert machine.calls[3:] == ["pip install editables", "pip install .[dev]"]


def test_moved_checkout_is_set_up_again(machine: Machine, tmp_path: Path) -> None:
    machine.run("setup_python.sh")
    machine.checkout = machine.checkout.rename(tmp_path / "moved")
    machine.run("setup_python.sh")
    assert len(machine.calls) == 5


def test_failed_installation_is_tried_again(machine: Machine) -> None:
    broken = machine.checkout / "broken"
    broken.touch()
    assert machine.run("setup_python.sh").returncode != 0
    broken.unlink()
    assert machine.run("setup_python.sh").returncode == 0
    assert machine.calls[-1] == "pip install .[dev]"


def test_every_installed_dependency_is_pinned_to_its_version() -> None:
    """Walks the installed requirements of tvm-tinyml[dev]; a new dependency without a pin fails here."""
    pins: dict[str, str] = {}
    for line in (ROOT / "tools" / "constraints.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        assert re.fullmatch(r'[\w.-]+==[\w.]+(; python_version (<|>=) "3\.11")?', line), line
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate():
            pins[canonicalize_name(pin.name)] = next(iter(pin.specifier)).version

    try:
        importlib.metadata.distribution("tvm-tinyml")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("tvm-tinyml is not installed; run make venv")
    seen: set[tuple[str, str]] = set()
    queue = [Requirement("tvm-tinyml[dev]")]
    while queue:
        wanted = queue.pop()
        for extra in {"", *wanted.extras} - {e for n, e in seen if n == wanted.name}:
            seen.add((wanted.name, extra))
            for text in importlib.metadata.requires(wanted.name) or []:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    queue.append(needed)
    names = {canonicalize_name(name) for name, _ in seen} - {"tvm-tinyml"}
    # What follows a plus tells builds of one release apart.
    installed = {name: importlib.metadata.version(name).split("+")[0] for name in names}
    assert installed == {name: pins.get(name) for name in names}


def test_ci_runs_make_test_from_anywhere(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.program("make", '#!/usr/bin/env bash\necho "$PWD: make $*"\n')
    result = subprocess.run(
        [ROOT / ".ci" / "run"],
        cwd="/",
        env={"PATH": str(machine.bin)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stdout) == (0, f"{ROOT}: make test\n")
