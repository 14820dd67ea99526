"""Programs to plan: from intervals, shaped like known networks, and random ones for property tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from tvm_tinyml.memory import InPlace, Program, Step, Tensor

TIGHT_ONLY_FOR_EXACT = [(0, 4, 4), (6, 6, 5), (3, 7, 3), (2, 2, 5)]
"""(first step, last step, bytes): all greedy orders need 12 bytes, 9 are enough."""

ABOVE_THE_BOUND = [
    (0, 3, 3),
    (1, 2, 4),
    (2, 6, 3),
    (4, 8, 2),
    (5, 7, 1),
    (6, 8, 4),
    (7, 8, 2),
    (8, 10, 2),
    (9, 10, 4),
    (9, 10, 4),
]
"""(first step, last step, bytes): never more than 10 bytes are alive at once, but no placement needs below 11."""


def from_intervals(intervals: Sequence[tuple[int, int, int]], alignment: int = 1) -> Program:
    """Program with one tensor per (first step, last step, bytes), written in the first and read in the last."""
    spans = {f"t{i}": interval for i, interval in enumerate(intervals)}
    steps = []
    for time in range(1 + max(last for _, last, _ in intervals)):
        reads = tuple(name for name, (first, last, _) in spans.items() if first < last == time)
        writes = tuple(name for name, (first, _, _) in spans.items() if first == time)
        steps.append(Step(f"step_{time}", reads, writes))
    tensors = tuple(Tensor(name, nbytes, alignment) for name, (_, _, nbytes) in spans.items())
    return Program(tensors, tuple(steps), (), ())


def chain(sizes: Sequence[int], alignment: int = 16) -> Program:
    """Step i reads tensor i and writes tensor i + 1; the first is the input, the last the output."""
    names = [f"t{i}" for i in range(len(sizes))]
    return Program(
        tensors=tuple(Tensor(name, nbytes, alignment) for name, nbytes in zip(names, sizes, strict=True)),
        steps=tuple(Step(f"conv2d_{i}", (names[i],), (names[i + 1],)) for i in range(len(sizes) - 1)),
        inputs=(names[0],),
        outputs=(names[-1],),
    )


def inverted_bottlenecks(count: int, alignment: int = 16) -> Program:
    """A MobileNetV2-like body: expand, depthwise, project and residual add, on maps that shrink every third block."""
    sizes = {"image": 96 * 96 * 3, "b0": 48 * 48 * 8}
    steps = [Step("conv2d_0", ("image",), ("b0",))]
    for block in range(count):
        narrow = max(48 >> block // 3, 2) ** 2 * (8 + 8 * (block // 3))
        below, expanded, filtered, projected, out = (
            f"b{block}",
            f"e{block}",
            f"d{block}",
            f"p{block}",
            f"b{block + 1}",
        )
        sizes |= {expanded: 6 * narrow, filtered: 6 * narrow, projected: narrow, out: narrow}
        number = len(steps)
        steps += [
            Step(f"conv2d_{number}", (below,), (expanded,)),
            Step(f"depthwise_conv2d_{number + 1}", (expanded,), (filtered,)),
            Step(f"conv2d_{number + 2}", (filtered,), (projected,)),
            Step(f"add_{number + 3}", (below, projected), (out,)),
        ]
    tensors = tuple(Tensor(name, nbytes, alignment) for name, nbytes in sizes.items())
    return Program(tensors, tuple(steps), ("image",), (f"b{count}",))


def concatenation() -> Program:
    """Two branches fill the halves of one tensor, which is then read as a whole and as a reshaped view."""
    sizes = {"image": 64, "joined": 96, "left": 32, "right": 64, "flat": 96, "classes": 10, "mean": 1}
    return Program(
        tensors=tuple(Tensor(name, nbytes, 16) for name, nbytes in sizes.items()),
        steps=(
            Step("conv2d_0", ("image",), ("left",)),
            Step("conv2d_1", ("image",), ("right",), scratch=(Tensor("im2col", 48, 4),)),
            Step("dense_2", ("flat",), ("classes",)),
            Step("mean_3", ("joined", "classes"), ("mean",)),
        ),
        inputs=("image",),
        outputs=("mean", "classes"),
        aliases={"left": ("joined", 0), "right": ("joined", 32), "flat": ("joined", 0)},
    )


class _Builder:
    """Collects a random program, one decision at a time."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any], alignments: Sequence[int]) -> None:
        self.draw = draw
        self.alignment = st.sampled_from(list(alignments))
        self.tensors: list[Tensor] = []
        self.aliases: dict[str, tuple[str, int]] = {}
        self.steps: list[Step] = []
        self.readable: list[str] = []
        self.parts: list[str] = []

    def tensor(self, nbytes: int, alignment: int) -> str:
        """Declare a tensor and return its name."""
        self.tensors.append(Tensor(f"t{len(self.tensors)}", nbytes, alignment))
        return self.tensors[-1].name

    def fresh(self) -> str:
        """Declare a root of any size."""
        return self.tensor(self.draw(st.integers(1, 64)), self.draw(self.alignment))

    def start_concatenation(self) -> None:
        """Declare a root whose parts are to be written by later steps."""
        sizes = self.draw(st.lists(st.integers(1, 24), min_size=2, max_size=3))
        root = self.tensor(sum(sizes), self.draw(self.alignment))
        for index, size in enumerate(sizes):
            part = self.tensor(size, 1)
            self.aliases[part] = (root, sum(sizes[:index]))
            self.parts.append(part)

    def step(self, target: str) -> None:
        """Add a step that reads what exists and fills `target`."""
        number = len(self.steps)
        reads = tuple(self.draw(st.lists(st.sampled_from(self.readable[-6:]), min_size=1, max_size=3)))
        scratch = tuple(
            Tensor(f"scratch{number}_{i}", self.draw(st.integers(1, 40)), self.draw(self.alignment))
            for i in range(self.draw(st.sampled_from([0, 0, 0, 1, 2])))
        )
        over = list(dict.fromkeys(reads))[: self.draw(st.integers(0, 2))]
        inplace = tuple(InPlace(one, target, self.draw(st.sampled_from([0, 0, 8]))) for one in over)
        self.steps.append(Step(f"op_{number}", reads, (target,), scratch, inplace))
        self.readable.append(target)

    def view(self, name: str) -> None:
        """Declare a readable view of some bytes of root `name`."""
        size = next(tensor.nbytes for tensor in self.tensors if tensor.name == name)
        start = self.draw(st.integers(0, size - 1))
        view = self.tensor(self.draw(st.integers(1, size - start)), 1)
        self.aliases[view] = (name, start)
        self.readable.append(view)


@st.composite
def programs(
    draw: Callable[[st.SearchStrategy[Any]], Any],
    max_steps: int = 12,
    alignments: Sequence[int] = (1, 4, 16),
    views: bool = True,
) -> Program:
    """Programs with branches, residuals, views, concatenations without copies, scratch and in-place permissions."""
    builder = _Builder(draw, alignments)
    inputs = [builder.fresh() for _ in range(draw(st.integers(1, 2)))]
    builder.readable += inputs
    kinds = ["plain", "plain", "view", "part"] if views else ["plain"]
    for _ in range(draw(st.integers(1, max_steps))):
        kind = draw(st.sampled_from(kinds))
        if kind == "part":
            if not builder.parts:
                builder.start_concatenation()
            builder.step(builder.parts.pop(0))
            continue
        builder.step(builder.fresh())
        if kind == "view":
            builder.view(builder.readable[-1])
    while builder.parts:
        builder.step(builder.parts.pop(0))
    # A finished concatenation may be read as a whole.
    builder.readable += dict.fromkeys(
        root for root, _ in builder.aliases.values() if root not in builder.readable
    )
    builder.step(builder.fresh())
    outputs = draw(st.lists(st.sampled_from(builder.readable), max_size=3))
    return Program(
        tuple(builder.tensors), tuple(builder.steps), tuple(inputs), tuple(outputs), builder.aliases
    )


@st.composite
def plain_programs(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Program:
    """Programs without views and in-place permissions, where two tensors conflict if their lifetimes touch."""
    program: Program = draw(programs(alignments=(1,), views=False))
    steps = tuple(Step(step.name, step.reads, step.writes, step.scratch) for step in program.steps)
    return Program(program.tensors, steps, program.inputs, program.outputs)
