"""First-fit placement in several orders, the best result kept.

The orders are by size and by breadth (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
Inference", 2020), by lifetime, by area and by first use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tvm_tinyml.memory.problem import Block, PlacementProblem, round_up


def first_fit(
    problem: PlacementProblem, order: Sequence[int], placed: Mapping[int, int] | None = None
) -> list[int]:
    """Byte offset of every block when each, in `order`, takes the lowest address that is free for it.

    placed: offsets of the blocks that are not in `order`.
    """
    offsets, spacing = [-1] * len(problem.blocks), problem.spacing
    for index, start in (placed or {}).items():
        offsets[index] = start
    for index in order:
        # Starts strictly inside one of these ranges would be too close to a block that is already placed.
        forbidden = sorted(
            [
                (at - distance, at + spacing[other][index])
                for other, distance in spacing[index].items()
                if (at := offsets[other]) >= 0
            ]
        )
        alignment = problem.blocks[index].alignment
        start = 0
        for low, high in forbidden:
            if start <= low:
                break
            if start < high:
                start = round_up(high, alignment)
        offsets[index] = start
    return offsets


def place_greedily(problem: PlacementProblem) -> list[int]:
    """Byte offset of every block, from the order that gives the smallest arena; the first such order on a tie."""
    bound = problem.lower_bound()
    best: list[int] = []
    for order in _orders(problem):
        offsets = first_fit(problem, order)
        if not best or problem.arena_bytes(offsets) < problem.arena_bytes(best):
            best = offsets
        if problem.arena_bytes(best) == bound:
            break
    return best


def _orders(problem: PlacementProblem) -> list[list[int]]:
    keys: tuple[Callable[[Block], tuple[int, ...]], ...] = (
        lambda block: (-block.nbytes, block.first),
        lambda block: (-block.nbytes * (block.last - block.first + 1), block.first),
        lambda block: (block.first - block.last, -block.nbytes),
        lambda block: (block.first, -block.nbytes),
        lambda block: (-block.last, -block.nbytes),
    )
    blocks = problem.blocks
    sort_keys = [[key(block) for block in blocks] for key in keys]
    return [
        *(sorted(range(len(blocks)), key=sort_key.__getitem__) for sort_key in sort_keys),
        _by_breadth(blocks),
    ]


def _by_breadth(blocks: tuple[Block, ...]) -> list[int]:
    """Steps by the bytes alive in them, heaviest first; in each step the blocks not yet listed, largest first."""
    times = sorted({block.first for block in blocks})
    alive = {
        time: [i for i, block in enumerate(blocks) if block.first <= time <= block.last] for time in times
    }
    order: dict[int, None] = {}
    for time in sorted(times, key=lambda time: (-sum(blocks[index].nbytes for index in alive[time]), time)):
        for index in sorted(
            alive[time], key=lambda index: (-blocks[index].nbytes, blocks[index].first, index)
        ):
            order.setdefault(index)
    return list(order)
