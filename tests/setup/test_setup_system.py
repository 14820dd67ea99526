"""tools/setup_system.sh installs exactly what is missing, or says exactly what to install and stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from .machine import PROVIDES, Machine

# Whether a compiler finds its C library is asked of the compiler; the parts of LLVM have to be of one version.
LLVM = {"clang-19", "lld-19", "llvm-19"}
BROUGHT_ALONG = {
    "gcc-arm-none-eabi": {"gcc-arm-none-eabi", "libnewlib-arm-none-eabi"},
    "gcc-riscv64-unknown-elf": {"gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf"},
    "gcc": {"gcc", "libc6-dev"},
    **{package: LLVM for package in LLVM},
}
INSTALL = "apt-get install -y -q --no-install-recommends "


def installed(machine: Machine) -> list[str]:
    """Packages of the one apt-get install call."""
    (call,) = [call for call in machine.calls if call.startswith(INSTALL)]
    return call.removeprefix(INSTALL).split()


def test_complete_machine_is_left_alone(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.install_everything()
    result = machine.run("setup_system.sh")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert machine.calls == []


def test_fresh_machine_gets_every_package_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    first = machine.run("setup_system.sh")
    assert first.returncode == 0, first.stderr
    assert machine.calls[0] == "apt-get update -q"
    assert sorted(installed(machine)) == sorted(PROVIDES)
    assert "running: apt-get install" in first.stdout

    second = machine.run("setup_system.sh")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert len(machine.calls) == 2


@pytest.mark.parametrize("package", PROVIDES)
def test_a_single_missing_package_is_noticed(tmp_path: Path, package: str) -> None:
    machine = Machine(tmp_path)
    machine.install_everything()
    for item in PROVIDES[package]:
        (machine.bin / item).unlink()
    assert machine.run("setup_system.sh").returncode == 0
    assert set(installed(machine)) == BROUGHT_ALONG.get(package, {package})


@pytest.mark.parametrize("system", ["ID=fedora", "ID=arch\nID_LIKE=", ""])
def test_elsewhere_it_names_the_packages_and_stops(tmp_path: Path, system: str) -> None:
    machine = Machine(tmp_path, system=system)
    result = machine.run("setup_system.sh")
    assert result.returncode == 1
    assert "neither Debian nor Ubuntu" in result.stderr
    assert set(PROVIDES) <= set(result.stderr.split())
    assert machine.calls == []


def test_derivatives_of_debian_count_as_debian(tmp_path: Path) -> None:
    machine = Machine(tmp_path, system='ID=linuxmint\nID_LIKE="ubuntu debian"')
    assert machine.run("setup_system.sh").returncode == 0


def test_elsewhere_tools_installed_by_hand_are_enough(tmp_path: Path) -> None:
    machine = Machine(tmp_path, system="ID=fedora")
    machine.install_everything()
    assert machine.run("setup_system.sh").returncode == 0


def test_without_root_or_sudo_it_prints_the_command_and_stops(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=1000)
    result = machine.run("setup_system.sh")
    assert result.returncode == 1
    assert "apt-get update && apt-get install --no-install-recommends qemu-system-arm " in result.stderr
    assert set(PROVIDES) <= set(result.stderr.split())
    assert machine.calls == []


def test_sudo_that_would_ask_for_a_password_without_a_terminal_counts_as_none(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=1000)
    machine.program("sudo", "#!/usr/bin/env bash\nexit 1\n")
    result = machine.run("setup_system.sh")
    assert result.returncode == 1
    assert machine.calls == []


def test_sudo_is_used_by_an_ordinary_user(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=1000)
    machine.program(
        "sudo",
        '#!/usr/bin/env bash\nif [[ $1 == -n ]]; then exit 0; fi\necho "sudo $1" >>"${0%/*}/../calls"\n"$@"\n',
    )
    result = machine.run("setup_system.sh")
    assert result.returncode == 0, result.stderr
    assert [call for call in machine.calls if call.startswith("sudo")] == ["sudo apt-get", "sudo env"]


def test_newest_complete_clang_is_taken_where_there_is_no_19(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    offers = {package: "1.0" for package in PROVIDES if not package.endswith("-19")}
    # 16 lacks its linker, so 15 is the newest that can be used.
    offers |= dict.fromkeys(["clang-16", "llvm-16", "clang-15", "lld-15", "llvm-15", "clang-14"], "1.0")
    machine.offer(offers | {"python3": "3.10.6-1"})
    machine.provide(
        PROVIDES | {"clang-15": ["clang-15"], "lld-15": ["ld.lld-15"], "llvm-15": ["llvm-mca-15"]}
    )
    first = machine.run("setup_system.sh")
    assert first.returncode == 0, first.stderr
    assert {name for name in installed(machine) if "-1" in name} == {"clang-15", "lld-15", "llvm-15"}
    assert machine.run("setup_system.sh").stdout == ""


def test_riscv_emulator_is_found_in_its_own_package(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.offer(dict.fromkeys([*PROVIDES, "qemu-system-riscv"], "1.0") | {"python3": "3.12.3"})
    machine.provide(PROVIDES | {"qemu-system-misc": [], "qemu-system-riscv": ["qemu-system-riscv32"]})
    result = machine.run("setup_system.sh")
    assert result.returncode == 0, result.stderr
    assert "qemu-system-riscv" in installed(machine)


def test_package_that_the_release_lacks_stops_before_anything_is_installed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    offers = dict.fromkeys(PROVIDES, "1.0") | {"python3": "3.13.5-1"}
    machine.offer(offers)
    result = machine.run("setup_system.sh")
    assert result.returncode == 1
    assert "offers no package python3.12-venv" in result.stderr
    assert machine.calls == ["apt-get update -q"]


def test_older_python_is_taken_where_the_default_one_is_too_new(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.offer(dict.fromkeys(PROVIDES, "1.0") | {"python3": "3.13.5-1", "python3.11-venv": "3.11.9-1"})
    machine.provide(PROVIDES | {"python3.11-venv": ["python3.11"]})
    assert machine.run("setup_system.sh").returncode == 0
    assert "python3.11-venv" in installed(machine)


def test_installation_without_effect_is_an_error(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "broken").touch()
    result = machine.run("setup_system.sh")
    assert result.returncode == 1
    assert "still missing after the installation: qemu-system-arm " in result.stderr
