"""Inputs on demand: the model asks for rows and rectangles, never for more than it says, and computes the same."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.invocation import DIGITS
from tests.patch.streamed import WHOLE, calls, cleaned, named, plan_for
from tests.patch.test_streaming import networks
from tests.transform.building import ModuleBuilder, random_inputs
from tvm_tinyml import frontend, relay
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.dialect.relax_api import Array
from tvm_tinyml.errors import PlanError, RunError
from tvm_tinyml.module import AOTModule
from tvm_tinyml.patch import PatchPlan, Region
from tvm_tinyml.patch.footprint import footprint
from tvm_tinyml.pipeline import patch_front
from tvm_tinyml.runner import HostModel
from tvm_tinyml.runner.supply import Asked, Supply
from tvm_tinyml.target import parse_target

HOST = "tinyml -mcpu=host"


def run_on_host(module: AOTModule, inputs: Any) -> tuple[list[Array], dict[int, list[Asked]]]:
    """Outputs, and what was asked for of every fetched input."""
    with module.project_folder() as folder:
        model = HostModel(folder, module.config)
        outputs = model.run(module.ordered(inputs))
        return outputs, {number: supply.asked for number, supply in model.supplies.items()}


def image_chain(*shape: int, dtype: str = "int8") -> Any:
    builder = ModuleBuilder()
    value = builder.parameter(*shape, dtype=dtype)
    if dtype == "float32":
        value = builder.call("quantize", value, dtype="int8")
    return named(builder, [builder.conv2d(builder.conv2d(value, padding=(1, 1, 1, 1)), strides=(2, 2))])


@given(st.sampled_from(["rows", "tiles"]), networks())
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_networks_ask_for_what_they_say_and_equal_the_plain_model(
    mode: str, case: tuple[Any, PatchPlan]
) -> None:
    module, plan = case
    (region,) = plan.regions
    rows = dict.fromkeys(plan.order, 1) | dict(region.rows)
    whole = PatchPlan(plan.order, (Region(plan.order, region.strip, rows),))
    try:
        built = relay.build(module, target=f"{HOST} -input={mode}", patch=whole)
    except PlanError:
        # Readers that pad with different values, or a part with two results.
        return
    inputs = random_inputs(module, 7)
    outputs, asked = run_on_host(built, inputs)
    np.testing.assert_array_equal(outputs[0], evaluate(module, inputs).outputs[0])
    (info,) = built.compiled.model.inputs
    _, height, width, channels = info.spec.shape
    expected = [one[1:] for region in built.compiled.model.regions for one in region.shape.requests]
    assert asked[0] == expected
    (described,) = built.metadata["inputs"]
    pulled = described["pulled"]
    assert pulled["requests"] == len(asked[0])
    assert pulled["requested_bytes"] == sum(one.rows * one.columns * channels for one in asked[0])
    times = Counter(row for one in asked[0] for row in range(one.row, one.row + one.rows))
    fetches = [one["times"] for one in pulled["row_fetches"] for _ in range(one["rows"])]
    assert fetches == [times[row] for row in range(height)]
    assert max(fetches) <= built.compiled.model.regions[0].shape.strips
    if mode == "rows":
        assert {(one.column, one.columns) for one in asked[0]} == {(0, width)}


def test_without_a_budget_the_plan_of_least_work_is_taken_and_every_row_is_fetched_once() -> None:
    module = image_chain(1, 21, 16, 3)
    built = relay.build(module, target=f"{HOST} -input=rows -io=caller")
    inputs = random_inputs(module, 3)
    outputs, asked = run_on_host(built, inputs)
    np.testing.assert_array_equal(outputs[0], evaluate(module, inputs).outputs[0])
    assert asked[0] == [(row, 1, 0, 16) for row in range(21)]
    assert sum(region.shape.macs for region in built.compiled.model.regions) <= built.metadata["macs"]


@pytest.mark.parametrize(
    ("target", "mode", "strip"),
    [("cortex-m0", "tiles", 3), ("cortex-m55", "rows", 3), ("rv32imc", "rows", WHOLE)],
)
def test_float_rows_are_quantised_as_they_come_on_emulated_cores(target: str, mode: str, strip: int) -> None:
    module = image_chain(1, 13, 14, 3, dtype="float32")
    plan = plan_for(module, HOST, (0, 2), strip=strip)
    built = relay.build(module, target=f"tinyml -mcpu={target} -input={mode}", patch=plan)
    image = np.random.default_rng(5).normal(0, 20, (1, 13, 14, 3)).astype("float32")
    outputs, report = built.run([image])
    np.testing.assert_array_equal(outputs[0], evaluate(module, [image]).outputs[0])
    assert report.arena_bytes < image.nbytes


@pytest.mark.parametrize(
    ("dtype", "kernel", "strip", "twice", "where_they_lie"),
    [
        ("float32", 3, 3, False, True),
        ("float32", 3, 1, False, True),
        ("int8", 1, 2, False, True),
        # Strips that begin at no word, windows of several rows, two readers.
        ("int8", 1, 3, False, False),
        ("int8", 3, 2, False, False),
        ("int8", 1, 2, True, False),
    ],
)
def test_strips_read_whole_rows_where_they_lie_if_they_read_pixels_at_words(
    dtype: str, kernel: int, strip: int, twice: bool, where_they_lie: bool
) -> None:
    builder = ModuleBuilder()
    value = image = builder.parameter(1, 13, 14, 3, dtype=dtype)
    if dtype == "float32":
        value = builder.call("quantize", value, dtype="int8")
    value = builder.conv2d(value, kernel=kernel, padding=(kernel // 2,) * 4)
    if twice:
        value = builder.call("maximum", value, builder.conv2d(image, kernel=1, clamp_max=90))
    value = builder.conv2d(value, padding=(1, 1, 1, 1))
    module = named(builder, [builder.conv2d(value, strides=(2, 2))])
    order = tuple(calls(cleaned(module, HOST)))
    plan = PatchPlan(order, (Region(order, strip, dict.fromkeys(order, 1)),))
    config = parse_target(f"{HOST} -input=rows")
    built = relay.build(module, target=config, patch=plan)
    (region,) = built.compiled.model.regions
    assert region.fetched(0).whole == where_they_lie
    with built.project_folder() as folder:
        copied = "tinyml_move_bytes(line_0" in (folder / "net.c").read_text(encoding="utf-8")
    assert copied == (not where_they_lie)
    front = patch_front(module, config)
    promised = footprint(front.network, plan, front.settings).arena_bytes
    assert built.metadata["memory"]["without_scratch_bytes"] == promised
    inputs = random_inputs(module, 3)
    outputs, asked = run_on_host(built, inputs)
    np.testing.assert_array_equal(outputs[0], evaluate(module, inputs).outputs[0])
    assert {(one.column, one.columns) for one in asked[0]} == {(0, 14)}


def test_an_input_without_rows_is_held_while_others_are_fetched() -> None:
    builder = ModuleBuilder()
    image, other = builder.parameter(1, 9, 8, 4), builder.parameter(1, 9, 8, 4)
    both = builder.call("maximum", builder.conv2d(image, padding=(1, 1, 1, 1)), other)
    turned = builder.call("reshape", builder.parameter(1, 8, 9, 4), shape=(1, 9, 8, 4))
    module = named(builder, [builder.call("maximum", both, turned)])
    inputs = random_inputs(module, 3)
    for io in ("arena", "caller"):
        built = relay.build(module, target=f"{HOST} -input=rows -io={io}")
        outputs, asked = run_on_host(built, inputs)
        np.testing.assert_array_equal(outputs[0], evaluate(module, inputs).outputs[0])
        assert asked.keys() == {0, 1}


def test_what_the_callback_returns_ends_the_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    built = relay.build(image_chain(1, 9, 8, 3), target=f"{HOST} -input=rows")
    supplied = Supply._call

    def fail_in_row_4(self: Supply, context: int, row: int, *rest: int) -> int:
        return 7 if row == 4 else supplied(self, context, row, *rest)

    monkeypatch.setattr(Supply, "_call", fail_in_row_4)
    with pytest.raises(RunError, match="net_run returned 7"):
        built.run(random_inputs(image_chain(1, 9, 8, 3), 3))


def test_the_interface_is_clean_c_and_cpp(tmp_path: Path) -> None:
    built = relay.build(image_chain(1, 9, 8, 3, dtype="float32"), target=f"{HOST} -input=tiles")
    folder = built.export_folder(tmp_path / "net")
    user = '#include "net.h"\n' + (
        "int supply(void *context, int32_t row, int32_t rows, int32_t column, int32_t columns,\n"
        "    float *destination, int32_t pitch);\n"
        "int run(void *arena);\n"
        "int run(void *arena)\n{\n    net_pull_0_t pull = supply;\n    return net_run(arena, pull, 0);\n}\n"
    )
    for program, name, standard in (("gcc", "user.c", "c99"), ("g++", "user.cpp", "c++11")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
        (folder / name).write_text(user)
        strict = [f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
        for source in (name, *(["net.c"] if program == "gcc" else [])):
            command = [program, *strict, "-Iinclude", "-fsyntax-only", source]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


def test_what_cannot_be_fetched_is_refused_in_words() -> None:
    target = f"{HOST} -input=rows"
    module = image_chain(1, 9, 8, 3)
    order = tuple(calls(cleaned(module, HOST)))
    plan = PatchPlan(order, (Region(order[1:], WHOLE, dict.fromkeys(order[1:], 1)),))
    with pytest.raises(PlanError, match=r"'conv2d_0' reads input 'x0'.* make it part of one"):
        relay.build(module, target=target, patch=plan)
    builder = ModuleBuilder()
    flat = builder.call("reshape", builder.parameter(1, 4, 4, 2), shape=(1, 2, 4, 4))
    whole = named(builder, [builder.conv2d(flat, kernel=1)])
    with pytest.raises(PlanError, match="'x0' is needed as a whole by reshape 'reshape_0'"):
        relay.build(whole, target=target)


def test_kept_inputs_are_in_memory_to_the_end_and_nothing_takes_their_place() -> None:
    module, _ = frontend.from_tflite(DIGITS)
    image = np.random.default_rng(3).integers(-128, 128, (1, 16, 16, 1), np.int8)
    found = {}
    for mode in ("held", "kept"):
        built = AOTModule(module, parse_target(f"tinyml -mcpu=host -ram=6K -input={mode}"))
        assert built.compiled.model.regions
        (source,) = built.compiled.program.inputs
        assert (source in built.compiled.program.outputs) == (mode == "kept")
        found[mode] = built.run([image], profile=False).outputs[0]
    np.testing.assert_array_equal(found["kept"], found["held"])
