"""Plans in which tensors lie in each other, broken on purpose: what the verifier lets through computes correctly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from tests.transform.building import ModuleBuilder, identity_table, random_inputs
from tvm_tinyml import relay
from tvm_tinyml.codegen import project_files, write_folder
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory import MemoryPlan, Program, verify
from tvm_tinyml.module import AOTModule
from tvm_tinyml.runner.host import HostModel

SHAPE = (1, 4, 4, 4)
GRANULE = 16
RUNS = 3


def module() -> Any:
    """Two parts of a concatenation, a value between them, and a slice of the whole."""
    build = ModuleBuilder()
    x = build.parameter(*SHAPE)

    def changed(value: Any, shift: int) -> Any:
        return build.lookup(value, np.roll(identity_table(), shift))

    first = changed(x, 1)
    between = changed(changed(first, 2), 3)
    joined = build.call("concat", first, changed(between, 4), axis=1)
    half = build.call("slice", joined, begin=[0, 4, 0, 0], strides=[1] * 4, shape=SHAPE)
    return build.module(build.add(changed(half, 5), between), changed(joined, 6))


@pytest.fixture(scope="module")
def built() -> AOTModule:
    return relay.build(module(), target="tinyml -mcpu=host -without=JoinUnary")


def moved_plans(program: Program, plan: MemoryPlan) -> Iterator[MemoryPlan]:
    """The plan with one root, and the views in it, at every other place in the arena."""
    for root in program.roots:
        for offset in range(0, plan.arena_bytes - root.nbytes + 1, GRANULE):
            if offset != plan.offsets[root.name]:
                names = [
                    tensor.name for tensor in program.tensors if program.place(tensor.name)[0] == root.name
                ]
                places = {name: offset + program.place(name)[1] for name in names}
                yield replace(plan, offsets={**plan.offsets, **places}, lower_bound=0, optimal=False)


def is_accepted(program: Program, plan: MemoryPlan) -> bool:
    try:
        verify(program, plan)
    except PlanError:
        return False
    return True


def is_correct(built: AOTModule, plan: MemoryPlan) -> bool:
    """Whether code with the offsets of `plan` gives the right outputs."""
    inputs = random_inputs(built.relax_module, 5)
    expected = evaluate(built.relax_module, inputs).outputs
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "graph"
        write_folder(project_files(built.compiled.model, plan, built.config), folder)
        outputs = HostModel(folder, built.config).run(inputs)
    return all(np.array_equal(one, other) for one, other in zip(outputs, expected, strict=True))


def test_the_plan_has_parts_and_views(built: AOTModule) -> None:
    places = [place for place in built.compiled.program.aliases.values() if place[1]]
    assert len(places) == 2
    assert is_correct(built, built.compiled.plan)


def test_moved_plans_that_are_accepted_compute_correctly_and_broken_ones_are_caught(built: AOTModule) -> None:
    program, plan = built.compiled.program, built.compiled.plan
    # Room for plans that are different and right.
    plan = replace(plan, arena_bytes=plan.arena_bytes + 2 * GRANULE)
    plans = list(moved_plans(program, plan))
    accepted = [one for one in plans if is_accepted(program, one)]
    refused = [one for one in plans if not is_accepted(program, one)]
    assert accepted
    assert len(refused) > len(accepted)
    assert all(is_correct(built, one) for one in accepted[:RUNS])
    # An element-wise layer may happen to survive an overlap; the verifier does not rely on the order of its loops.
    assert not all(is_correct(built, one) for one in refused[:: max(1, len(refused) // RUNS)])


def test_a_view_moved_out_of_its_root_is_caught(built: AOTModule) -> None:
    program, plan = built.compiled.program, built.compiled.plan
    for view in program.aliases:
        offsets = {**plan.offsets, view: plan.offsets[view] + GRANULE}
        roomy = replace(
            plan, offsets=offsets, arena_bytes=plan.arena_bytes + GRANULE, lower_bound=0, optimal=False
        )
        assert not is_accepted(program, roomy)


def test_parts_that_overlap_or_leave_a_gap_are_no_program(built: AOTModule) -> None:
    program = built.compiled.program
    parts = {name: place for name, place in program.aliases.items() if name in _written(program)}
    assert len(parts) == 2
    for name, (root, offset) in parts.items():
        shifted = offset - GRANULE if offset else offset + GRANULE
        with pytest.raises(PlanError):
            replace(program, aliases={**program.aliases, name: (root, shifted)})


def _written(program: Program) -> set[str]:
    return {name for step in program.steps for name in step.writes}
