"""`compile --project`: every kind builds as it stands, and its program finds that the model is right."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree
from pathlib import Path

import pytest

from tests.cli.invocation import HOST, refuse, succeed
from tests.firmware.models import DIGITS, digits, require, run
from tests.runner.tools import usable_target
from tvm_tinyml.errors import OutputExistsError, PlanError, TargetError
from tvm_tinyml.firmware import KINDS
from tvm_tinyml.target import parse_target

M4 = "-mcpu=cortex-m4"
SERIAL = """
#include <stdint.h>
#include <string.h>
extern "C" {
#include "board.h"
#include "semihosting.h"
}
static struct { const char *last; void begin(long) {} void print(const char *) {}
    void println(const char *text) { last = text; } } Serial;
static void delay(unsigned long) { semihosting_exit(strcmp(Serial.last, ": passed") != 0); }
"""


def exported(kind: str, folder: Path, options: str = M4) -> Path:
    return digits(options).export_project(folder / kind, kind)


def build_all(project: Path, sources: list[Path], flags: list[str]) -> list[str]:
    """Compiles C and C++ sources as a builder of a core without an operating system does."""
    compiler, *arch = usable_target(M4).compiler_command()
    objects = []
    for number, source in enumerate(sources):
        objects.append(f"{number}.o")
        cpp = ["-std=gnu++11", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"]
        program, language = compiler, ["-std=gnu11"]
        if source.suffix == ".cpp":
            program, language = compiler.replace("gcc", "g++"), cpp
        command = [program, *arch, *language, "-Wall", "-Wextra", "-Werror", "-ffreestanding", *flags]
        run([*command, "-c", str(source), "-o", objects[-1]], project)
    return objects


def link(project: Path, objects: list[str], board: Path) -> list[str]:
    """Links an image for the emulated board and returns the command that runs it."""
    script = ["-nostartfiles", "-T", str(board / "link.ld"), "-Wl,--gc-sections"]
    run([*usable_target(M4).linker_command(), *script, *objects, "-o", "image.elf"], project)
    line = next(
        line for line in (board.parent / "Makefile").read_text().splitlines() if "qemu-system" in line
    )
    return line.replace("example.elf", "image.elf").split()


@pytest.mark.parametrize("options", [M4, "-mcpu=host"])
def test_make_builds_and_runs(options: str, tmp_path: Path) -> None:
    require("make")
    run(["make", "run"], exported("make", tmp_path, options))


@pytest.mark.parametrize("options", [f"{M4} -compiler=clang", "-mcpu=host"])
def test_cmake_builds_and_runs(options: str, tmp_path: Path) -> None:
    require("cmake", "make")
    project = exported("cmake", tmp_path, options)
    run(["cmake", "-B", "build"], project)
    run(["cmake", "--build", "build", "--target", "run"], project)


def test_a_board_that_is_not_emulated_gets_library_and_object(tmp_path: Path) -> None:
    require("make")
    board = parse_target(f"tinyml {M4} -compiler=clang -board=nrf52840-dk")
    project = digits(M4).for_target(board).export_project(tmp_path / "make", "make")
    assert not (project / "board").exists()
    run(["make"], project)
    assert (project / "model" / "libdigits.a").is_file()
    lists = digits(M4).for_target(board).export_project(tmp_path / "cmake", "cmake") / "CMakeLists.txt"
    assert "OBJECT" in lists.read_text()


def test_models_without_a_selftest_are_run(tmp_path: Path) -> None:
    require("make")
    options = "-mcpu=host -io=caller -input=rows"
    project = exported("make", tmp_path, options)
    assert not (project / "model" / "digits_selftest.c").exists()
    run(["make", "run"], project)
    with pytest.raises(PlanError, match="self-test"):
        digits(options).export_folder(tmp_path / "folder", selftest=True)
    assert not (tmp_path / "folder").exists()


def test_damage_fails_the_program(tmp_path: Path) -> None:
    require("make")
    project = exported("make", tmp_path, "-mcpu=host")
    data = project / "model" / "digits_data.c"
    data.write_text(data.read_text().replace("= {\n    ", "= {\n    1 ^ ", 1))
    assert subprocess.run(["make", "run"], cwd=project, capture_output=True, check=False).returncode != 0


def test_the_arduino_library_builds_as_the_builder_does(tmp_path: Path) -> None:
    library = exported("arduino", tmp_path)
    properties = dict(
        line.split("=", 1) for line in (library / "library.properties").read_text().splitlines()
    )
    assert properties["name"] == "digits"
    assert set(properties) >= {"version", "author", "maintainer", "sentence", "category", "architectures"}
    assert all(properties.values())
    (sketch,) = library.glob("examples/*/*.ino")
    assert sketch.stem == sketch.parent.name, "the IDE opens a sketch by the name of its folder"
    board = exported("make", tmp_path) / "board"
    # The builder puts its header before a sketch, and the core calls setup once and loop for ever.
    (tmp_path / "Arduino.h").write_text(SERIAL)
    called = "\nint main(void) { setup(); for (;;) loop(); }\n"
    (tmp_path / "sketch.cpp").write_text(f"#include <Arduino.h>\n{sketch.read_text()}{called}")
    sources = [*sorted(library.glob("src/**/*.c")), tmp_path / "sketch.cpp", *sorted(board.glob("*.[cS]"))]
    objects = build_all(library, sources, [f"-I{path}" for path in (tmp_path, library / "src", board)])
    run(link(library, objects, board), library)


def test_the_pack_builds_from_what_its_description_lists(tmp_path: Path) -> None:
    pack = exported("cmsis-pack", tmp_path)
    (description,) = pack.glob("*.pdsc")
    package = xml.etree.ElementTree.parse(description).getroot()
    assert description.name == f"{package.findtext('vendor')}.{package.findtext('name')}.pdsc"
    files = package.findall("components/component/files/file")
    assert all((pack / file.attrib["name"]).exists() for file in files)
    listed = {file.attrib["name"] for file in files}
    assert {path.name for path in pack.rglob("*.[ch]")} == {
        Path(one).name for one in listed if one[-2:] in (".c", ".h")
    }
    (core,) = package.findall("conditions/condition")
    accepted = {one.attrib["Dcore"] for one in core.findall("accept")}
    assert {"Cortex-M4", "Cortex-M33", "Cortex-M55"} <= accepted
    assert "Cortex-M3" not in accepted
    board = exported("make", tmp_path) / "board"
    folders = [pack / file.attrib["name"] for file in files if file.attrib["category"] == "include"]
    sources = [pack / file.attrib["name"] for file in files if file.attrib["category"] == "source"]
    flags = [f"-I{folder}" for folder in [*folders, board]]
    link(pack, build_all(pack, [*sources, *sorted(board.glob("*.[cS]"))], flags), board)


def test_packs_are_for_arm_cores(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="Cortex-M"):
        exported("cmsis-pack", tmp_path, "-mcpu=host")
    assert not list(tmp_path.iterdir())


def test_offloaded_models_link_what_stands_in_for_the_npu(tmp_path: Path) -> None:
    pytest.importorskip("ethosu", reason="ethos-u-vela is not installed (pip install 'tvm-tinyml[ethosu]')")
    require("make")
    options = "-mcpu=host -npu=ethos-u55-128"
    run(["make", "run"], exported("make", tmp_path, options))
    assert "CONFIG_TVM_TINYML_ETHOS_U=y" in (exported("zephyr", tmp_path, options) / "prj.conf").read_text()
    with pytest.raises(TargetError, match="driver"):
        exported("arduino", tmp_path, options)


@pytest.mark.parametrize("kind", KINDS)
def test_projects_are_replaced_by_their_own_kind_only(kind: str, tmp_path: Path) -> None:
    project = exported(kind, tmp_path)
    with pytest.raises(OutputExistsError, match="--force"):
        digits(M4).export_project(project, kind)
    digits(M4).export_project(project, kind, force=True)
    (tmp_path / "other").mkdir()
    for name in ("Makefile", "CMakeLists.txt", "library.properties"):
        (tmp_path / "other" / name).write_text("mine")
    with pytest.raises(OutputExistsError, match="other things"):
        digits(M4).export_project(tmp_path / "other", kind, force=True)
    assert (tmp_path / "other" / "Makefile").read_text() == "mine"


def test_the_command_writes_projects_and_no_archives_of_them(tmp_path: Path) -> None:
    command = ["compile", DIGITS, "--target", HOST, "--project"]
    succeed(*command, "make", "--output", tmp_path / "mine")
    assert (tmp_path / "mine" / "main.c").exists()
    assert "exists" in refuse(*command, "make", "--output", tmp_path / "mine")
    assert "archive" in refuse(*command, "make", "--output", tmp_path / "mine.tar")
    assert "no projects for 'meson'; choose one of: make" in refuse(
        *command, "meson", "--output", tmp_path / "other"
    )
    assert all(kind in succeed("compile", "--help").stdout for kind in KINDS)
