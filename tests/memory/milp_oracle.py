"""Least arena by mixed-integer programming: an independent answer for small placement problems."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from tvm_tinyml.memory.problem import PlacementProblem


def least_arena(problem: PlacementProblem) -> int:
    """Bytes of the smallest arena of `problem`, by HiGHS.

    Variables are the start of each block in multiples of its alignment, the arena, and for each pair alive at
    once a binary that says which of the two is the lower; the sum of all sizes serves as the big constant.
    """
    blocks = problem.blocks
    pairs = [(i, j) for i in range(len(blocks)) for j in problem.spacing[i] if i < j]
    roof = sum(block.nbytes + block.alignment for block in blocks)
    width = len(blocks) + 1 + len(pairs)
    rows, least = [], []
    for index, block in enumerate(blocks):
        row = np.zeros(width)
        row[len(blocks)], row[index] = 1, -block.alignment
        rows.append(row)
        least.append(block.nbytes)
    for number, pair in enumerate(pairs, start=len(blocks) + 1):
        for lower, upper, sign in ((*pair, 1), (*pair[::-1], -1)):
            row = np.zeros(width)
            row[upper], row[lower] = blocks[upper].alignment, -blocks[lower].alignment
            row[number] = sign * 2 * roof
            rows.append(row)
            least.append(problem.spacing[lower][upper] - (0 if sign > 0 else 2 * roof))
    upper_bounds = [roof] * (len(blocks) + 1) + [1] * len(pairs)
    result = milp(
        np.eye(width)[len(blocks)],
        integrality=np.ones(width),
        bounds=Bounds(0, upper_bounds),
        constraints=LinearConstraint(np.array(rows), np.array(least), np.inf),
    )
    assert result.success, result.message
    arena: float = result.fun
    return round(arena)
