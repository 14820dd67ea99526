"""The placement problem behind a memory plan: blocks with lifetimes, and how far apart two starts must lie.

Placing blocks with fixed lifetimes in the least memory is dynamic storage allocation (Garey and Johnson,
problem SR2). Two blocks that are alive at once must not overlap; a step that works in place relaxes that for
one order of the pair. Both cases are one rule here: `spacing[i][j]` is the least distance from the start of
block i to the start of block j if i is the lower of the two, and every pair alive at once has one or the other.
An output that begins where an input did that dies is one block with it, when the caller asks for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from tvm_tinyml.memory.liveness import Lifetime, lifetimes, scratch_lifetimes
from tvm_tinyml.memory.program import Program, Tensor


@dataclass(frozen=True)
class Block:
    """A root tensor or scratch buffer, alive in steps `first` to `last`, both included.

    nbytes: size rounded up to the granule of the problem.
    alignment: bytes; a multiple of the granule.
    """

    name: str
    nbytes: int
    alignment: int
    first: int
    last: int


@dataclass(frozen=True)
class PlacementProblem:
    """Blocks, and for each block the spacing to every block that is alive at the same time as it.

    granule: the least alignment of all blocks. Every start and every size is a multiple of it; rounding the
    sizes up costs nothing but the padding behind the highest block, which the arena contains too.
    block_of: which block each root and scratch buffer is, or is part of.
    least: bytes that no placement can go below, where whoever made the problem knows them.
    """

    blocks: tuple[Block, ...]
    spacing: tuple[dict[int, int], ...]
    granule: int
    block_of: Mapping[str, int] = field(default_factory=dict)
    least: int = 0

    @staticmethod
    def of_program(
        program: Program, *, keep_all: bool = False, joined: bool = False, relaxed: bool = False
    ) -> PlacementProblem:
        """Problem with one block per root, then one per scratch buffer, in declaration order.

        joined: outputs that may begin where an input does lie there; several tensors are one block then.
        relaxed: such outputs may lie anywhere from there downwards, which a bound may assume and a plan may not.
        """
        spans = lifetimes(program, keep_all=keep_all) | scratch_lifetimes(program)
        scratch = [buffer for step in program.steps for buffer in step.scratch]
        tensors = [*program.roots, *scratch]
        granule = min((tensor.alignment for tensor in tensors), default=1)
        permissions = list(usable_permissions(program, spans))
        heads = _joined(permissions) if joined else {}
        members: dict[str, list[Tensor]] = {}
        for tensor in tensors:
            members.setdefault(heads.get(tensor.name, tensor.name), []).append(tensor)
        blocks = tuple(
            Block(
                name,
                round_up(max(one.nbytes for one in group), granule),
                max(one.alignment for one in group),
                min(spans[one.name].first for one in group),
                max(spans[one.name].last for one in group),
            )
            for name, group in members.items()
        )
        spacing = _disjoint_spacing(blocks)
        index = {one.name: place for place, group in enumerate(members.values()) for one in group}
        for permission in permissions:
            lower, upper = index[permission.output], index[permission.source]
            distance = 0 if relaxed and permission.same_place else permission.distance
            # What is joined to one of the two may need bytes of its own beside the other one.
            if blocks[lower].first == blocks[upper].last:
                spacing[lower][upper] = min(spacing[lower][upper], round_up(max(0, distance), granule))
        return PlacementProblem(blocks, tuple(spacing), granule, index)

    @property
    def ordered(self) -> PlacementProblem:
        """The same problem with its blocks in an order that does not depend on the one they came in.

        They go by lifetime and size. Blocks alike in both are told apart by what they may share bytes with, and what
        that may share bytes with, as far as it takes; what is still alike then may change places.
        """
        ranks = _ranks([(one.first == one.last, one.first, one.last, -one.nbytes) for one in self.blocks])
        known = 0
        while known < len(set(ranks)):
            known = len(set(ranks))
            beside: list[list[tuple[int, int, int]]] = [[] for _ in ranks]
            for lower, upper in self.sharing:
                distance = self.spacing[lower][upper]
                beside[lower].append((0, distance, ranks[upper]))
                beside[upper].append((1, distance, ranks[lower]))
            ranks = _ranks(
                [
                    (rank, block.alignment, sorted(others))
                    for rank, block, others in zip(ranks, self.blocks, beside, strict=True)
                ]
            )
        order = sorted(range(len(ranks)), key=ranks.__getitem__)
        place = {index: number for number, index in enumerate(order)}
        return PlacementProblem(
            tuple(self.blocks[index] for index in order),
            tuple(
                {place[other]: distance for other, distance in self.spacing[index].items()} for index in order
            ),
            self.granule,
            {name: place[index] for name, index in self.block_of.items()},
            self.least,
        )

    @cached_property
    def sharing(self) -> tuple[tuple[int, int], ...]:
        """Pairs (lower, upper) of blocks which may overlap in place."""
        return tuple(
            (lower, upper)
            for lower, block in enumerate(self.blocks)
            for upper, distance in self.spacing[lower].items()
            if distance < block.nbytes
        )

    def arena_bytes(self, offsets: Sequence[int]) -> int:
        """End of the highest block, in bytes; a multiple of the granule."""
        return max((at + block.nbytes for at, block in zip(offsets, self.blocks, strict=True)), default=0)

    def lower_bound(self) -> int:
        """Bytes that no placement can go below: the heaviest set of blocks alive in one step.

        With in-place permissions, a pair that may overlap counts with the least space the two can occupy.
        """
        if self.least:
            return self.least
        first_alive: dict[int, list[int]] = {}
        for index, block in enumerate(self.blocks):
            first_alive.setdefault(block.first, []).append(index)
        bound = 0
        alive: list[int] = []
        # The set of live blocks is largest where one has just been added.
        for time in sorted(first_alive):
            alive = [index for index in alive if self.blocks[index].last >= time] + first_alive[time]
            bound = max(bound, self._bound_of(alive))
        return bound

    def _bound_of(self, alive: list[int]) -> int:
        sizes = {index: (self.blocks[index].nbytes, self.blocks[index].alignment) for index in alive}
        pairs = [pair for pair in self.sharing if pair[0] in sizes and pair[1] in sizes]
        if not pairs:
            return _stacked_bytes(sizes.values())
        outputs = {lower for lower, _ in pairs}
        sources = {upper for _, upper in pairs}
        bound = _stacked_bytes(size for index, size in sizes.items() if index not in sources)
        for lower in outputs:
            # Sharing or not, an output and what it may lie over take at least this much, because the latter share
            # nothing among themselves; the rest is disjoint from all of them, and from one another.
            beside = {upper for output, upper in pairs if output == lower}
            apart = min(self.spacing[lower][upper] for upper in beside)
            together = max(sizes[lower][0], sum(sizes[upper][0] for upper in beside) + apart)
            rest = [size for index, size in sizes.items() if index not in outputs | beside]
            alignment = min(sizes[index][1] for index in {lower, *beside})
            bound = max(bound, _stacked_bytes([*rest, (together, alignment)]))
        return bound


def round_up(value: int, multiple: int) -> int:
    """Least multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple


def _ranks(keys: Sequence[Any]) -> list[int]:
    """The place of every key among the different ones."""
    order = sorted(range(len(keys)), key=keys.__getitem__)
    ranks = [0] * len(keys)
    for before, index in zip([None, *order], order, strict=False):
        ranks[index] = 0 if before is None else ranks[before] + (keys[index] != keys[before])
    return ranks


def _disjoint_spacing(blocks: tuple[Block, ...]) -> list[dict[int, int]]:
    spacing: list[dict[int, int]] = [{} for _ in blocks]
    alive: list[int] = []
    for index in sorted(range(len(blocks)), key=lambda index: blocks[index].first):
        alive = [other for other in alive if blocks[other].last >= blocks[index].first]
        for other in alive:
            spacing[index][other] = blocks[index].nbytes
            spacing[other][index] = blocks[other].nbytes
        alive.append(index)
    return spacing


class Permission(NamedTuple):
    """An in-place permission between roots: least distance of their starts, or that they may be the same."""

    output: str
    source: str
    distance: int
    same_place: bool


def usable_permissions(program: Program, spans: dict[str, Lifetime]) -> Iterable[Permission]:
    """Yield the permissions that may be used; those of tensors and scratch that have no span are left out."""
    for time, step in enumerate(program.steps):
        for permission in step.inplace:
            output, output_offset = program.place(permission.output)
            source, source_offset = program.place(permission.input)
            if source not in spans:
                continue
            dies_here = spans[source].last == time and spans[output].first == time
            # The permission speaks of one view of each root; other views used by the step are not covered.
            alone = (
                _names_in(program, step.reads, source) <= 1 and _names_in(program, step.writes, output) == 1
            )
            if dies_here and alone and source != output:
                moved = output_offset - source_offset
                same = permission.same_place and moved == 0
                yield Permission(output, source, permission.distance + moved, same)


def _joined(permissions: Iterable[Permission]) -> dict[str, str]:
    """For every root that begins where another one does, the first of those; an output joins one input."""
    heads: dict[str, str] = {}
    for output, source, _, same_place in permissions:
        if same_place and output not in heads:
            heads[output] = heads.get(source, source)
    return heads


def _names_in(program: Program, names: tuple[str, ...], root: str) -> int:
    return len({name for name in names if program.place(name)[0] == root})


def _stacked_bytes(sizes: Iterable[tuple[int, int]]) -> int:
    """Least height of a stack of disjoint blocks, given as (bytes, alignment).

    All blocks with alignment of at least `a` start at multiples of `a`, so each but the topmost is followed by
    padding to `a`; blocks with a smaller alignment may lie in that padding. Every `a` gives a valid bound.
    """
    sizes = list(sizes)
    best = 0
    for alignment in {alignment for _, alignment in sizes}:
        padding = [-nbytes % alignment for nbytes, own in sizes if own >= alignment]
        heights = sum(nbytes for nbytes, own in sizes if own >= alignment)
        best = max(best, heights + sum(padding) - max(padding))
    return best
