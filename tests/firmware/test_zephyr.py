"""The Zephyr module, projects for Zephyr and the runner, on a stand-in that has what they touch of Zephyr."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests.cli.invocation import DIGITS, HOST, refuse
from tests.firmware.models import digits, require, run
from tvm_tinyml.errors import BuildError, RunError
from tvm_tinyml.firmware import Generated, project_layout
from tvm_tinyml.resources import data_dir
from tvm_tinyml.runner.zephyr_boards import name_in
from tvm_tinyml.target import list_cores, parse_target
from tvm_tinyml.target.config import STACK_BYTES

MODULE = data_dir("runtime_c") / "zephyr"
STAND_IN = Path(__file__).parent / "stand_in_zephyr"
OPTION = re.compile(r"CONFIG_(TVM_TINYML\w*)")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    require("cmake", "make", "gcc")
    monkeypatch.setenv("ZEPHYR_BASE", str(STAND_IN))


def kconfig() -> str:
    return (MODULE / "Kconfig").read_text()


def test_options_that_are_used_exist() -> None:
    defined = set(re.findall(r"^(?:menu)?config (\w+)", kconfig(), re.MULTILINE))
    module = digits("-mcpu=host")
    generated = "\n".join(project_layout("zephyr", Generated(module.files, module.config)).values())
    texts = [path.read_text() for path in MODULE.rglob("*") if path.is_file()]
    used = {name for text in [*texts, generated] for name in OPTION.findall(text)}
    assert used <= defined, used - defined


def test_the_functional_model_fits_the_default_stack(tmp_path: Path) -> None:
    """By the compiler's own call graph: nothing recurs, no size is dynamic, nothing is called by address."""
    require("arm-none-eabi-gcc")
    own: dict[str, int] = {}
    calls: dict[str, set[str]] = defaultdict(set)
    options = ["-std=c99", "-mcpu=cortex-m55", "-mfloat-abi=hard", "-O2", "-fcallgraph-info=su", "-c"]
    run(["arm-none-eabi-gcc", *options, *map(str, (data_dir("runtime_c") / "ethosu").glob("*.c"))], tmp_path)
    for path in tmp_path.glob("*.ci"):
        graph = path.read_text()
        for name, size in re.findall(r'node: { title: "(.*?)" label: ".*?(\d+) bytes \(static\)', graph):
            own[name] = int(size)
        assert "dynamic" not in graph
        assert "__indirect_call" not in graph
        for caller, callee in re.findall(r'edge: { sourcename: "(.*?)" targetname: "(.*?)"', graph):
            calls[caller].add(callee)

    def depth(name: str) -> int:
        return own.get(name, 0) + max(map(depth, calls[name]), default=0)

    (default,) = re.findall(r"default (\d+) if TVM_TINYML_ETHOS_U_FUNCTIONAL_MODEL", kconfig())
    helpers = 128
    """What division and memcpy of the libraries take at most."""
    assert 2000 < depth("ethosu_invoke_v3") <= int(default) - STACK_BYTES - helpers


def test_a_stack_that_is_too_small_is_told() -> None:
    module = digits("-mcpu=host")
    files = project_layout("zephyr", Generated(module.files, module.config))
    assert "CONFIG_LOG=y" in files["prj.conf"]
    assert "config HW_STACK_PROTECTION\n\tdefault y if ARCH_HAS_STACK_PROTECTION" in files["Kconfig"]
    assert "config STACK_SENTINEL\n\tdefault y if !MPU_STACK_GUARD" in files["Kconfig"]


@pytest.mark.parametrize(
    ("core", "allowed"), [("cortex-m0", "arm"), ("rv32imc", "riscv32 riscv"), ("host", None)]
)
def test_cases_name_the_architecture(core: str, allowed: str | None) -> None:
    # Only the target differs: files of the host's build do.
    config = parse_target(f"tinyml -mcpu={core}")
    case = project_layout("zephyr", Generated(digits("-mcpu=host").files, config))["sample.yaml"]
    assert re.findall(r"^    arch_allow: (.*)$", case, re.MULTILINE) == ([allowed] if allowed else [])


def test_kconfig_agrees_with_the_compiler() -> None:
    (stack,) = re.findall(r"config TVM_TINYML_STACK_SIZE\n.*\n.* if .*\n\tdefault (\d+)", kconfig())
    assert int(stack) == STACK_BYTES
    (block,) = re.findall(r"config TVM_TINYML_CORE\n(.*?)\n\n", kconfig(), re.DOTALL)
    cores = {core.name: core for core in list_cores()}
    assert set(re.findall(r'default "([\w-]+)"', block)) <= set(cores)
    (alignment,) = re.findall(
        r"ARENA_ALIGNMENT (\d+)", (MODULE / "include" / "tvm_tinyml" / "arena.h").read_text()
    )
    assert all(int(alignment) % core.alignment == 0 for core in cores.values())


@pytest.mark.parametrize("options", ["", "-io=caller -input=rows"])
def test_models_run_and_outputs_are_read(options: str, stand_in: None, tmp_path: Path) -> None:
    module = digits(f"-mcpu=host {options}".strip())
    images = np.random.default_rng(5).integers(-128, 128, (2, 1, 16, 16, 1)).astype(np.int8)
    report = module.run_many(list(images), board="zephyr:native", keep_elf=tmp_path / "zephyr.elf")
    np.testing.assert_array_equal(report.outputs, module.run_many(list(images)).outputs)
    assert report.board == "zephyr:native"
    assert report.instructions is None
    assert report.stack_bytes == STACK_BYTES + 4096 - 1000
    assert (tmp_path / "zephyr.elf").is_file()


def test_a_project_passes_its_selftest(stand_in: None, tmp_path: Path) -> None:
    project = digits("-mcpu=host").export_project(tmp_path / "digits", "zephyr")
    assert f"default {STACK_BYTES}" in (project / "Kconfig").read_text()
    run(["cmake", "-B", "build", "-DBOARD=native"], project)
    assert "digits: passed" in run(["cmake", "--build", "build", "--target", "run"], project)
    assert "digits: passed" in (project / "sample.yaml").read_text()


def test_errors_of_the_build_are_quoted(stand_in: None) -> None:
    with pytest.raises(BuildError, match="No board named 'unknown' found"):
        digits("-mcpu=host").run(np.zeros((1, 16, 16, 1), np.int8), board="zephyr:unknown")


def test_a_fault_is_told(stand_in: None, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        "E: ***** USAGE FAULT *****",
        "E: r0/a1:  0x0",
        "E: >>> ZEPHYR FATAL ERROR 2: Stack overflow on CPU 0",
        "more",
    ]
    monkeypatch.setattr("tvm_tinyml.runner.zephyr.console_lines", lambda *_: iter(said))
    with pytest.raises(RunError, match=r"faulted: \*+ USAGE FAULT \*+ / >>> .*Stack overflow on CPU 0$"):
        digits("-mcpu=host").run(np.zeros((1, 16, 16, 1), np.int8), board="zephyr:native")


@pytest.mark.parametrize(
    ("trees", "given", "name"),
    [
        (["arm/mps3_an547/mps3_an547"], "mps3/corstone300/an547", "mps3_an547"),
        (["arm/mps3_an547/mps3_an547"], "mps3_an547", "mps3_an547"),
        (["arm/mps3/mps3_an547"], "mps3/corstone300/an547", "mps3/an547"),
        (["arm/mps3/mps3_corstone300_an547"], "mps3_an547", "mps3/corstone300/an547"),
        (["arm/mps2_an521/mps2_an521", "arm/mps2_an521/mps2_an521_remote"], "mps2/an521/cpu0", "mps2_an521"),
        (["arm/mps2/mps2_an521_cpu0", "arm/mps2/mps2_an385"], "mps2_an521", "mps2/an521/cpu0"),
        (["arm/nrf52840dk_nrf52840/nrf52840dk_nrf52840"], "nrf52840dk/nrf52840", "nrf52840dk_nrf52840"),
        (["qemu/cortex_m3/qemu_cortex_m3"], "qemu_cortex_m3", "qemu_cortex_m3"),
        ([], "own/board", "own/board"),
    ],
)
def test_boards_have_their_names_of_before_and_after_zephyr_3_7(
    trees: list[str], given: str, name: str, tmp_path: Path
) -> None:
    for tree in trees:
        path = tmp_path / "boards" / f"{tree}.dts"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert name_in(tmp_path, given) == name


def test_models_for_other_cores_are_refused(stand_in: None) -> None:
    with pytest.raises(BuildError, match="needs a Cortex-M; for this"):
        digits("-mcpu=cortex-m4").run(np.zeros((1, 16, 16, 1), np.int8), board="zephyr:native")


def test_inputs_are_checked_before_anything_is_built(stand_in: None) -> None:
    with pytest.raises(RunError, match="takes int8"):
        digits("-mcpu=host").run(np.zeros((1, 16, 16, 1), np.float32), board="zephyr:native")


def test_without_zephyr_there_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["run", DIGITS, "--target", HOST, "--board"]
    monkeypatch.delenv("ZEPHYR_BASE", raising=False)
    assert "set ZEPHYR_BASE" in refuse(*command, "zephyr:qemu_cortex_m3")
    assert "lacks the name of a board" in refuse(*command, "zephyr:")
    monkeypatch.setenv("ZEPHYR_BASE", str(tmp_path))
    assert "which is no Zephyr" in refuse(*command, "zephyr:qemu_cortex_m3")
    monkeypatch.setenv("ZEPHYR_BASE", str(STAND_IN))
    assert "--cycles" in refuse(*command, "zephyr:qemu_cortex_m3", "--cycles")
