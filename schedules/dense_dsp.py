"""Arm DSP schedule of dense layers with one input vector, and of convolutions that see all of their input at once.

The vector becomes int16 in scratch; then four weight rows at a time run along it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from . import script
from .intrinsics import dsp
from .kernel import Array, Candidate, Kernel, Problem
from .requantize import accumulator_limits

MAX_SCRATCH_BYTES = 4864


def schedule_dense_dsp(problem: Problem) -> Candidate | None:
    """Schedule dense and conv2d with one output pixel; None when the vector exceeds the scratch."""
    if "dsp" not in problem.features or "weight" not in problem.constants or not _is_one_vector(problem):
        return None
    channels = problem.output_shape[-1]
    weight = problem.constants["weight"].reshape(channels, -1)
    depth = weight.shape[1]
    if 8 * dsp.vector_groups(depth) > MAX_SCRATCH_BYTES:
        return None
    epilogue = dsp.epilogue_of(problem, 0)
    if epilogue is None:
        return None
    scaled = _scaled(problem, weight, epilogue)
    return _candidate(weight, scaled or epilogue, scaled is not None, problem.objective == "size")


def _scaled(problem: Problem, weight: Array, epilogue: dsp.Epilogue) -> dsp.Epilogue | None:
    """The epilogue of the scaled form where no sum can overflow and the biases fit into the table."""
    limits = accumulator_limits(weight, problem.constants["bias"], problem.attrs["input_zero_point"], 0)
    if (limits > dsp.MAX_SUM).any() or (weight == -128).any():
        return None
    return epilogue.with_bias(dsp.scaled_bias(epilogue.table[:, 0], weight))


def _candidate(weight: Array, epilogue: dsp.Epilogue, scaled: bool, compact: bool) -> Candidate:
    channels, depth = weight.shape
    groups, rows = -(-depth // 4), min(dsp.ROWS, channels)
    vector, product = dsp.pack_vector(depth, scaled), dsp.dense_rows(groups, rows, epilogue, scaled, compact)
    step = rows * (3 if scaled else 4) + (1.5 if scaled else 2)
    per_block = dsp.DENSE_CALL_INSTRUCTIONS + groups * step + rows * (5 + epilogue.instructions)
    return Candidate(
        rule="dsp scaled dense" if scaled else "dsp dense",
        instructions=dsp.vector_instructions(depth, scaled) + -(-channels // rows) * per_block,
        build=lambda: _build(weight, (groups, rows, scaled), epilogue, vector, product),
        micro_kernels=lambda: (vector.micro_kernel, product.micro_kernel),
        scratch=8 * dsp.vector_groups(depth),
    )


def _build(
    weight: Array,
    form: tuple[int, int, bool],
    epilogue: dsp.Epilogue,
    vector: dsp.Intrinsic,
    product: dsp.Intrinsic,
) -> Kernel:
    (channels, depth), (groups, rows, scaled) = weight.shape, form
    # Step 1. Weights in blocks of rows, the last of which may overlap the one before it.
    packed = padded = np.pad(weight, ((0, 0), (0, -depth % 4)))
    first = [min(start, channels - rows) for start in range(0, channels, rows)]
    if scaled:
        packed = dsp.pack_scaled(padded)
    # Step 2. Loop over blocks of rows around the micro-kernels.
    sch = dsp.schedule(_function(depth, channels, form, epilogue))
    sch.tensorize(sch.get_sblock("vector"), vector.register())
    sch.tensorize(sch.get_sblock("product"), product.register())
    return Kernel(
        function=sch.mod["main"],
        constants={
            "weights": _blocks(packed, first, rows)
            .reshape(len(first), rows, groups, 4)
            .transpose(0, 2, 1, 3)
            .copy(),
            "requantization": _blocks(epilogue.rows, first, rows).transpose(0, 2, 1).copy(),
        },
        micro_kernels=(vector.micro_kernel, product.micro_kernel),
    )


def _is_one_vector(problem: Problem) -> bool:
    """Whether every output is a product of a weight row with the whole input, in the order of its bytes."""
    if problem.outputs != problem.output_shape[-1]:
        return False
    if problem.operator == "dense":
        return True
    whole = problem.operator == "conv2d" and not any(problem.attrs["padding"])
    return whole and problem.shapes["data"][1:] == problem.shapes["weight"][1:]


def _blocks(array: Array, first: list[int], rows: int) -> Array:
    """Rows of an array in blocks: [blocks, rows, ...]."""
    blocks: Array = array[np.asarray(first)[:, None] + np.arange(rows)]
    return blocks


def _function(depth: int, channels: int, form: tuple[int, int, bool], epilogue: dsp.Epilogue) -> Any:
    groups, rows, scaled = form
    blocks, last, room = -(-channels // rows), channels - rows, dsp.vector_groups(depth)

    @script.prim_func(s_tir=True)
    def main(d: T.handle, w: T.handle, r: T.handle, o: T.handle) -> None:
        data = T.match_buffer(d, (depth,), "int8")
        weights = T.match_buffer(w, (blocks, groups, rows, 4), "int8")
        requantization = T.match_buffer(r, (blocks, 2, rows), "int32")
        output = T.match_buffer(o, (channels,), "int8")
        vector = T.sblock_alloc_buffer((room, 4), "int16")
        sums = T.sblock_alloc_buffer((rows,), "int32")
        with T.sblock("vector"):
            dsp.vector_stage(data, vector, depth, scaled)
        for n in T.serial(blocks):
            with T.sblock("product"):
                vn = T.axis.spatial(blocks, n)
                dsp.dense_stages(
                    vector,
                    weights,
                    requantization,
                    sums,
                    output,
                    form,
                    (vn, T.min(vn * rows, last)),
                    epilogue,
                )

    return main
