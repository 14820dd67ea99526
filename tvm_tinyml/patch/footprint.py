"""What a patch plan costs: the arena the memory planner finds for it, and the work it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..memory import InPlace, MemoryPlan, Program, Step, Tensor, plan_in_pieces
from .block import Placed
from .costs import Costs, Work, floating_cost, region_cost
from .geometry import Operation
from .network import Network
from .overwriting import overwrite_distance, rows_done
from .plan import PatchPlan, Region
from .region import Node, region_operations
from .workspace import Workspace, workspace_of


@dataclass(frozen=True)
class Settings:
    """What the plan is made for.

    alignment: bytes, of every tensor. io_in_arena: whether inputs and outputs of the model count.
    pulled: inputs of the model that are fetched row by row and are never in memory as a whole; whole_rows: over
        the whole width, even where a region runs in strips.
    overwrite: whether the output of a region may take the place of rows of its inputs that are not needed any more.
    scratch: bytes that a call of an operator's function needs for itself, by operator; those left out need none.
    costs: what calls cost, of the network that is planned; None: work, with `setup_pixels` per call (`costs.Work`).
    """

    alignment: int = 16
    io_in_arena: bool = True
    pulled: frozenset[str] = frozenset()
    whole_rows: bool = False
    overwrite: bool = True
    scratch: Mapping[str, int] = field(default_factory=dict, hash=False)
    setup_pixels: float = 1.0
    costs: Costs | None = field(default=None, compare=False)

    def costs_of(self, network: Network) -> Costs:
        """What calls of operators of a network cost."""
        return self.costs or Work(network, self.setup_pixels)

    def external(self, network: Network) -> frozenset[str]:
        """Tensors of a network that have no memory in the arena."""
        edges = () if self.io_in_arena else (*network.inputs, *network.outputs)
        return self.pulled | {network.roots[tensor] for tensor in edges}


@dataclass(frozen=True)
class PlanFigures:
    """A plan with its figures.

    macs: multiply-accumulate operations, repeated ones and those outside of the image included; plain_macs: those
        of the network without a plan. calls: calls of layer functions. cost: estimated (`Settings.costs`).
    program, memory: what the arena was planned from, and the result.
    """

    plan: PatchPlan
    program: Program
    memory: MemoryPlan
    macs: int
    plain_macs: int
    calls: int
    cost: float = 0.0

    @property
    def arena_bytes(self) -> int:
        """Size of the arena."""
        return self.memory.arena_bytes

    @property
    def factor(self) -> float:
        """Work as a multiple of the plain network's; 1.0 for a network without multiplications."""
        return self.macs / self.plain_macs if self.plain_macs else 1.0


class Block(NamedTuple):
    """A region's workspace, where its buffers lie, and what its calls cost."""

    workspace: Workspace
    placed: Placed
    cost: float

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.placed.arena_bytes

    def beside(self, output_bytes: int) -> int:
        """Bytes that it takes beside its output, which lies over what is done with."""
        distance = output_bytes if self.placed.distance is None else max(0, self.placed.distance)
        return max(0, self.nbytes - max(0, output_bytes - distance))


EFFORT = 20_000
"""Of the memory planner, for one plan of many."""


def footprint(
    network: Network,
    patch_plan: PatchPlan,
    settings: Settings,
    known: dict[Region, Block] | None = None,
    effort: int = EFFORT,
    enough: int | None = None,
    most: int | None = None,
) -> PlanFigures:
    """Figures of a plan, from the memory planner.

    known: regions met in other plans of the same network and settings; new ones are added.
    enough: bytes of an arena that need not be beaten, most: beyond which it is of no use; effort: of the memory
        planner. See `memory.plan`.

    A region is one step of the program; its line buffers and windows are scratch of that step, in one block or in
    pieces.
    Raises PlanError when a region cannot run, or reads of a pulled input are left outside of the regions.
    """
    steps, macs, calls, cost = [], 0, 0, 0.0
    costs = settings.costs_of(network)
    names = _Tensors(network, settings)
    for operators, region in _runs(patch_plan):
        nodes = [network.nodes[network.position[name]] for name in operators]
        if region is None:
            (node,) = nodes
            macs += network.macs[network.position[node.name]]
            cost += costs.plain(network.position[node.name])
            if not node.operator.is_view:
                calls += 1
                own = _scratch(f"{node.name}.scratch", settings.scratch.get(node.name, 0), settings)
                steps.append(Step(node.name, names.inside(node.inputs), names.inside([node.tensor]), own))
            continue
        workspace, placed, own_cost = block_of(network, region, settings, costs, known)
        made = {node.tensor for node in nodes}
        outside = [tensor for node in nodes for tensor in node.inputs if tensor not in made]
        scratch = _scratch(f"{region.operators[-1]}.workspace", placed.arena_bytes, settings, placed.cuts)
        reads, writes = names.inside(outside), names.inside([nodes[-1].tensor])
        inplace = list(_permissions(network, nodes, workspace)) if settings.overwrite else []
        usable = [one for one in inplace if one.input in reads]
        usable += [one for block in scratch for one in placed.permissions(block.name, nodes[-1].tensor)]
        usable = [one for one in usable if one.output in writes]
        steps.append(Step(nodes[-1].name, reads, writes, scratch, tuple(usable)))
        macs += region_macs(network, region, workspace)
        calls += workspace.calls
        cost += own_cost
    program = names.program(steps, patch_plan)
    program, memory = plan_in_pieces(program, effort=effort, enough=enough, most=most)
    return PlanFigures(patch_plan, program, memory, macs, sum(network.macs), calls, cost)


def block_of(
    network: Network,
    region: Region,
    settings: Settings,
    costs: Costs,
    known: dict[Region, Block] | None = None,
) -> Block:
    """A region with its figures; known: as in `footprint`. PlanError when it cannot run."""
    found = useful_block(network, region, settings, costs, {} if known is None else known, lambda *_: True)
    assert found is not None
    return found


def useful_block(
    network: Network,
    region: Region,
    settings: Settings,
    costs: Costs,
    known: dict[Region, Block],
    useful: Callable[[Workspace, int], bool],
) -> Block | None:
    """`block_of` of a region, or None where it is of no use: placing its buffers takes long.

    useful: of a workspace and the bytes that it takes at least, whether the region may be.
    """
    if region not in known:
        workspace = region_workspace(
            network, region, settings.pulled, settings.scratch, whole_rows=settings.whole_rows
        )
        if not useful(workspace, workspace.least_bytes(settings.alignment)):
            return None
        placed = workspace.place(settings.alignment)
        cost = region_cost(network, workspace, costs) + floating_cost(workspace, placed, costs.moving)
        known[region] = Block(workspace, placed, cost)
    return known[region]


def _permissions(network: Network, nodes: Sequence[Node], workspace: Workspace) -> Iterator[InPlace]:
    """Where the output of a region may lie over its inputs."""
    if workspace.strips > 1:
        return
    done = rows_done(workspace.operations, workspace.stream)
    for tensor in overwritable(network, nodes, workspace.operations):
        distance = overwrite_distance(workspace.operations, done, tensor, network.specs)
        yield InPlace(tensor, nodes[-1].tensor, distance)


def overwritable(network: Network, nodes: Sequence[Node], operations: Iterable[Operation]) -> list[str]:
    """Inputs of a region that are read by rows only, under their own name, and by nothing after it."""
    made = {node.tensor for node in nodes}
    read = [tensor for node in nodes for tensor in node.inputs if tensor is not None and tensor not in made]
    members = [member for operation in operations for member in operation.members or (operation,)]
    by_rows = [one.tensor for member in members for one in member.reads]
    end = network.position[nodes[-1].name]
    return [
        tensor
        for tensor in dict.fromkeys(read)
        if read.count(tensor) == by_rows.count(tensor)
        and network.spans.get(tensor, (0, end + 1))[1] <= end
        and not any(other != tensor and network.roots[other] == tensor for other in read)
    ]


def _scratch(name: str, nbytes: int, settings: Settings, cuts: tuple[int, ...] = ()) -> tuple[Tensor, ...]:
    return (Tensor(name, nbytes, settings.alignment, cuts),) if nbytes else ()


def region_workspace(
    network: Network,
    region: Region,
    pulled: frozenset[str] = frozenset(),
    scratch: Mapping[str, int] | None = None,
    *,
    whole_rows: bool = False,
) -> Workspace:
    """Workspace of a region of a network; PlanError when it cannot run."""
    operations = region_operations(network.chosen(region), region)
    return workspace_of(
        operations,
        network.specs,
        region.strip,
        pulled,
        scratch or {},
        whole_rows=whole_rows,
        settling=frozenset(region.settling),
        floating=region.floating,
    )


def region_macs(network: Network, region: Region, workspace: Workspace) -> int:
    """Multiply-accumulate operations of a region: rows and columns that its functions compute, in all strips.

    workspace: that of the region, or that of a segment for the part of one.
    """
    total = 0
    for index, operation in enumerate(workspace.operations):
        if index in workspace.sweeps:
            total += region_macs(network, region, workspace.sweeps[index])
        elif operation.name in region.operators and not operation.accumulates:
            height, width, _ = network.specs[operation.output].shape[1:]
            pixels = operation.calls * operation.rows * workspace.columns[operation.output].width
            total += network.macs[network.position[operation.name]] // (height * width) * pixels
    return total * workspace.strips


def _runs(patch_plan: PatchPlan) -> list[tuple[tuple[str, ...], Region | None]]:
    """The order cut into regions and single operators."""
    first = {region.operators[0]: region for region in patch_plan.regions}
    inside = {name for region in patch_plan.regions for name in region.operators}
    runs: list[tuple[tuple[str, ...], Region | None]] = []
    for name in patch_plan.order:
        if name in first:
            runs.append((first[name].operators, first[name]))
        elif name not in inside:
            runs.append(((name,), None))
    return runs


class _Tensors:
    """Tensors that have memory in the arena."""

    def __init__(self, network: Network, settings: Settings) -> None:
        self.network = network
        self.settings = settings
        self.external = settings.external(network)

    def inside(self, tensors: Iterable[str | None]) -> tuple[str, ...]:
        """Roots of those tensors that have memory, each once."""
        found = dict.fromkeys(self.network.roots[tensor] for tensor in tensors if tensor is not None)
        return tuple(root for root in found if root not in self.external)

    def program(self, steps: Sequence[Step], patch_plan: PatchPlan) -> Program:
        """Steps and every tensor they leave behind."""
        inner = {
            self.network.nodes[self.network.position[name]].tensor
            for region in patch_plan.regions
            for name in region.operators[:-1]
        }
        inputs, outputs = self.inside(self.network.inputs), self.inside(self.network.outputs)
        if self.network.keeps_inputs:
            outputs = tuple(dict.fromkeys((*outputs, *inputs)))
        roots = [root for root in self.inside(self.network.specs) if root not in inner]
        return Program(
            tensors=tuple(
                Tensor(root, self.network.specs[root].nbytes, self.settings.alignment) for root in roots
            ),
            steps=tuple(steps),
            inputs=inputs,
            outputs=outputs,
        )
