"""A project built for any emulated board computes the right values and reports exact, repeatable figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.runner.tiny_project import (
    HAND_COUNTS,
    HAND_STACK_BYTES,
    expected_output,
    some_inputs,
    write_assembly_project,
    write_many_inputs_project,
    write_project,
)
from tests.runner.tools import QEMU_BOARDS, QEMU_TARGETS, usable_target
from tvm_tinyml.errors import BuildError, RunError
from tvm_tinyml.runner import FlashReport, run_qemu


@pytest.mark.parametrize("io", ["arena", "caller"])
@pytest.mark.parametrize("options", QEMU_TARGETS)
def test_outputs_are_right_and_layers_add_up(options: str, io: str, tmp_path: Path) -> None:
    config = usable_target(options)
    project = write_project(tmp_path / "project", io)
    inputs = some_inputs(3)
    report = run_qemu(project, config, inputs)
    for row, value in zip(report.outputs, inputs, strict=True):
        np.testing.assert_array_equal(row[0], expected_output(value[0]))
        assert row[0].dtype == np.int8
    assert [(layer.name, layer.function) for layer in report.layers] == [
        ("layer_0", "tiny_double"),
        ("layer_1", "tiny_shift"),
        ("layer_2", "tiny_double"),
    ]
    assert report.instructions is not None
    assert report.prologue_instructions is not None
    assert 0 < report.prologue_instructions < 30
    # The two calls of one function differ only in what the entry function does after them.
    assert abs(report.layers[0].instructions - report.layers[2].instructions) < 10
    assert report.board == (config.board.name if config.board else "")
    assert report.arena_bytes == 64


@pytest.mark.parametrize("options", QEMU_BOARDS)
def test_instructions_and_stack_match_the_hand_count(options: str, tmp_path: Path) -> None:
    config = usable_target(options)
    project = write_assembly_project(tmp_path / "project", config.core.family)
    prologue, layers = HAND_COUNTS[config.core.family]
    inputs = some_inputs(2)
    for _ in range(2):
        report = run_qemu(project, config, inputs)
        assert report.prologue_instructions == prologue
        assert [layer.instructions for layer in report.layers] == layers
        assert report.instructions == prologue + sum(layers)
        assert report.stack_bytes == HAND_STACK_BYTES[config.core.family]
        np.testing.assert_array_equal(report.outputs[1][0], inputs[1][0])


@pytest.mark.parametrize("options", QEMU_BOARDS)
def test_more_arguments_than_registers_arrive_in_order(options: str, tmp_path: Path) -> None:
    config = usable_target(options)
    project = write_many_inputs_project(tmp_path / "project")
    values = [np.full((1, 8), 10 * index, np.int8) for index in range(10)]
    report = run_qemu(project, config, [values])
    np.testing.assert_array_equal(report.outputs[0][0], [10 * index for index in range(10)])


FIRST_FLOATING_POINT_OR_VECTOR_INSTRUCTION = {
    "-mcpu=cortex-m4": '__asm__ volatile("vmov.f32 s0, #1.0" ::: "s0");',
    "-mcpu=cortex-m7": '__asm__ volatile("vmov.f32 s0, #1.0" ::: "s0");',
    "-mcpu=cortex-m33": '__asm__ volatile("vmov.f32 s0, #1.0" ::: "s0");',
    "-mcpu=cortex-m55": '__asm__ volatile("vmov.i8 q0, #1" ::: "q0");',
    "-mcpu=rv32imcv": '__asm__ volatile("vsetivli zero, 16, e8, m1, ta, ma\\n\\tvadd.vi v0, v0, 1" ::: "v0");',
}


@pytest.mark.parametrize("options", FIRST_FLOATING_POINT_OR_VECTOR_INSTRUCTION)
def test_start_up_switches_floating_point_and_vectors_on(options: str, tmp_path: Path) -> None:
    config = usable_target(options)
    instruction = FIRST_FLOATING_POINT_OR_VECTOR_INSTRUCTION[options]
    report = run_qemu(write_project(tmp_path, inserted=instruction), config, some_inputs(1))
    np.testing.assert_array_equal(report.outputs[0][0], expected_output(some_inputs(1)[0][0]))


def test_profiling_changes_neither_outputs_nor_firmware(tmp_path: Path) -> None:
    config = usable_target("-mcpu=cortex-m3")
    project = write_project(tmp_path / "project")
    counted = run_qemu(project, config, some_inputs(1), keep_elf=tmp_path / "kept" / "counted.elf")
    plain = run_qemu(project, config, some_inputs(1), profile=False, keep_elf=tmp_path / "plain.elf")
    assert plain.instructions is None
    assert plain.layers == ()
    assert plain.elf == tmp_path / "plain.elf"
    assert plain.elf.read_bytes() == (tmp_path / "kept" / "counted.elf").read_bytes()
    np.testing.assert_array_equal(plain.outputs[0][0], counted.outputs[0][0])
    assert (plain.stack_bytes, plain.flash) == (counted.stack_bytes, counted.flash)


def test_address_counts_add_up_to_one_inference(tmp_path: Path) -> None:
    config = usable_target("-mcpu=cortex-m3")
    project = write_assembly_project(tmp_path / "project", "arm")
    report = run_qemu(project, config, some_inputs(3), address_counts=True)
    assert report.address_counts is not None
    assert sum(report.address_counts.values()) == report.instructions
    assert sorted(report.address_counts.values())[-2:] == [100, 100]


@pytest.mark.parametrize("options", [options for options in QEMU_TARGETS if "cortex" in options])
def test_flash_leaves_out_the_boards_code(options: str, tmp_path: Path) -> None:
    config = usable_target(options)
    flash = run_qemu(write_assembly_project(tmp_path, "arm"), config, [], profile=False).flash
    # 8 + 3 + 8 instructions of two bytes, two bytes more for each of the two calls.
    assert flash == FlashReport(text=19 * 2 + 2 * 2, rodata=0, data=0)


def test_flash_counts_the_models_constants_and_helpers(tmp_path: Path) -> None:
    config = usable_target("-mcpu=cortex-m0")
    divides = "output[0] = (int8_t)(input[0] / (input[1] | 1));"
    plain = run_qemu(write_project(tmp_path / "plain"), config, [], profile=False).flash
    helped = run_qemu(write_project(tmp_path / "helped", inserted=divides), config, [], profile=False).flash
    assert plain is not None
    assert helped is not None
    assert plain.rodata >= 8
    # A Cortex-M0 divides in libgcc: the helper belongs to the model.
    assert helped.text > plain.text + 100


@pytest.mark.parametrize("options", QEMU_BOARDS)
def test_initialised_data_is_copied_to_ram_and_counted(options: str, tmp_path: Path) -> None:
    config = usable_target(options)
    inserted = "static volatile int8_t state[5] = {1, 0, 0, 0, 7}; state[0] = (int8_t)(state[0] + state[4]);"
    source = write_project(tmp_path / "project", inserted=inserted) / "tiny.c"
    source.write_text(source.read_text().replace("+ offset[i]);", "+ offset[i] * state[0]);"))
    inputs = some_inputs(1)
    report = run_qemu(tmp_path / "project", config, inputs)
    expected = 2 * (2 * inputs[0][0] + 8 * np.arange(8, dtype=np.int8))
    np.testing.assert_array_equal(report.outputs[0][0], expected)
    assert report.flash is not None
    assert report.flash.data == 8


def test_deepest_stack_of_all_inferences_is_reported(tmp_path: Path) -> None:
    config = usable_target("-mcpu=cortex-m3")
    deeper = (
        "if (input[0] == 0) { volatile int8_t hollow[600]; hollow[0] = 1; hollow[599] = 1; (void)hollow[1]; }"
    )
    project = write_project(tmp_path / "project", inserted=deeper)
    shallow_then_deep = [[some_inputs(2)[1][0]], some_inputs(1)[0]]
    stack_bytes = run_qemu(project, config, shallow_then_deep).stack_bytes
    assert stack_bytes is not None
    assert 600 < stack_bytes < 700


def test_several_calls_in_one_entry_must_match_the_layer_table(tmp_path: Path) -> None:
    config = usable_target("-mcpu=cortex-m3")
    project = write_project(tmp_path / "project")
    metadata = project / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"tiny_shift"', '"tiny_double"'))
    with pytest.raises(RunError, match="2 layer calls were executed and the metadata lists 3"):
        run_qemu(project, config, some_inputs(1))


def test_wrong_inputs_are_refused_by_name(tmp_path: Path) -> None:
    config = usable_target("-mcpu=cortex-m3")
    project = write_project(tmp_path / "project")
    with pytest.raises(RunError, match=r"input 'image' takes int8 \[1, 8\], got uint8 \[1, 8\]"):
        run_qemu(project, config, [[np.zeros((1, 8), np.uint8)]])
    with pytest.raises(RunError, match=r"takes 1 inputs \('image'\), got 2"):
        run_qemu(project, config, [[np.zeros((1, 8), np.int8)] * 2])


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"holds no metadata\.json"):
        run_qemu(tmp_path, usable_target("-mcpu=cortex-m3"), [])


def test_a_board_without_emulator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="board nrf52840-dk has no emulator"):
        run_qemu(write_project(tmp_path), usable_target("-mcpu=cortex-m4 -board=nrf52840-dk"), [])
    with pytest.raises(RunError, match="has no board to run on"):
        run_qemu(write_project(tmp_path), usable_target("-mcpu=cortex-m85"), [])
