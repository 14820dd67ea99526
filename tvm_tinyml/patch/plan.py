"""What a patch plan is: the order of the operators, and the regions of them that run strip by strip, row by row.

A plan speaks of operators by the attribute `name` of their calls and holds decisions only; what follows from them and
the module (windows, line buffers, the order of calls, memory) is derived.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

from ..errors import PlanError


@dataclass(frozen=True)
class Segment:
    """Consecutive operators of a region that make bands of rows together, column by column.

    Tensors inside a segment exist only as a few columns of one band; rows that two bands need are made twice.

    operators: names in execution order; the last one makes the segment's output, the only tensor read outside it.
    rows: rows of a band. lead: rows of the first band, so that bands can end where the next operator's windows do.
    columns: columns of the output that a sweep over a band makes at a time.

    Raises PlanError when they do not fit together.
    """

    operators: tuple[str, ...]
    rows: int
    lead: int
    columns: int = 1

    def __post_init__(self) -> None:
        if not self.operators:
            raise PlanError("patch plan: a segment has no operators; name at least one or leave it out")
        if not 1 <= self.lead <= self.rows:
            raise PlanError(
                f"patch plan: segment {self.operators[0]!r} to {self.operators[-1]!r} begins with {self.lead} of "
                f"{self.rows} rows; use 1 to {self.rows}"
            )
        if self.columns < 1:
            raise PlanError(
                f"patch plan: segment {self.operators[0]!r} to {self.operators[-1]!r} makes {self.columns} columns at "
                "a time; use at least 1"
            )


@dataclass(frozen=True)
class Region:
    """Consecutive operators whose inner tensors exist only as line buffers.

    operators: names in execution order; the last one makes the region's output, the only tensor read outside it.
    strip: columns of the region's output that are made at a time; the output's width means no strips. The last
        strip may be narrower. Where the last operator accumulates: columns of its input.
    rows: rows that each operator of no segment makes, or takes in, per call, by operator name; the height means all
        at once.
    segments: runs of the operators that make bands together, in execution order.
    settling: operators of no segment whose line buffers never hold channel planes, though one other may read all they
        make: rows that are needed can move to the start, and others use the end.
    floating: whether a line buffer may lie on the rows of another one and move as those come and go.

    Raises PlanError when they do not fit together.
    """

    operators: tuple[str, ...]
    strip: int
    rows: Mapping[str, int] = field(hash=False)
    segments: tuple[Segment, ...] = ()
    settling: tuple[str, ...] = ()
    floating: bool = False

    @property
    def units(self) -> Iterator[tuple[tuple[str, ...], Segment | None]]:
        """What the order of rows calls: segments, and operators of none, each with its operators."""
        begins = {segment.operators[0]: segment for segment in self.segments}
        inside = {name for segment in self.segments for name in segment.operators}
        for name in self.operators:
            if name in begins:
                yield begins[name].operators, begins[name]
            elif name not in inside:
                yield (name,), None

    def __post_init__(self) -> None:
        if not self.operators:
            raise PlanError(
                "patch plan: a region has no operators; name at least one or leave the region out"
            )
        where = f"region {self.operators[0]!r} to {self.operators[-1]!r}"
        _refuse_duplicates(self.operators, where)
        if self.strip < 1:
            raise PlanError(f"patch plan: {where} has strips of {self.strip} columns; use at least 1")
        named = [name for segment in self.segments for name in segment.operators]
        units = [name for names, _ in self.units for name in names]
        if tuple(units) != self.operators or not set(named) <= set(units):
            raise PlanError(
                f"patch plan: {where}: its segments are not runs of its operators, in their order"
            )
        alone = {names[0] for names, segment in self.units if segment is None}
        if different := set(self.rows) ^ alone:
            raise PlanError(
                f"patch plan: {where}: rows and operators outside of segments do not name the same calls; "
                f"different: {', '.join(sorted(different))}"
            )
        if strangers := set(self.settling) - set(self.rows):
            raise PlanError(
                f"patch plan: {where}: settling names calls that are no operators of it outside of segments: "
                f"{', '.join(sorted(strangers))}"
            )
        for name, rows in self.rows.items():
            if rows < 1:
                raise PlanError(f"patch plan: {where}: {name!r} makes {rows} rows per call; use at least 1")


@dataclass(frozen=True)
class PatchPlan:
    """An execution order of all operators of a module, and its regions.

    order: names of all calls, views and copies included, each once; empty for the order that the module has.
    regions: in execution order; each one is a run of the order. Operators of no region run one after another, whole.

    Raises PlanError when the regions are not disjoint runs of the order.
    """

    order: tuple[str, ...]
    regions: tuple[Region, ...] = ()

    def __post_init__(self) -> None:
        _refuse_duplicates(self.order, "the order")
        _refuse_duplicates(tuple(chain.from_iterable(one.operators for one in self.regions)), "the regions")
        reached = 0
        for region in self.regions if self.order else ():
            first = region.operators[0]
            if first not in self.order:
                raise PlanError(f"patch plan: operator {first!r} of a region is not part of the order")
            begin = self.order.index(first)
            end = begin + len(region.operators)
            if self.order[begin:end] != region.operators:
                raise PlanError(
                    f"patch plan: the operators of region {first!r} to {region.operators[-1]!r} "
                    "do not follow one another in the order; reorder them or split the region"
                )
            if begin < reached:
                raise PlanError(
                    f"patch plan: region {first!r} to {region.operators[-1]!r} comes before the region listed "
                    "in front of it; list regions in execution order"
                )
            reached = end

    def to_json(self) -> str:
        """The plan as text that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PatchPlan:
        """Read what `to_json` wrote; PlanError when it is something else."""
        try:
            document: dict[str, Any] = json.loads(text)
            regions = tuple(
                Region(
                    tuple(row["operators"]),
                    int(row["strip"]),
                    dict(row["rows"]),
                    tuple(
                        Segment(
                            tuple(one["operators"]), int(one["rows"]), int(one["lead"]), int(one["columns"])
                        )
                        for one in row["segments"]
                    ),
                    tuple(row["settling"]),
                    bool(row.get("floating", False)),
                )
                for row in document["regions"]
            )
            return cls(tuple(document["order"]), regions)
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise PlanError(
                f"patch plan: not a plan written by this package: {error!r}; make it again"
            ) from None

    def region_of(self, operator: str) -> Region | None:
        """The region `operator` belongs to, or None when it runs whole."""
        return next((region for region in self.regions if operator in region.operators), None)


def _refuse_duplicates(names: tuple[str, ...], where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise PlanError(f"patch plan: {where} name {name!r} {names.count(name)} times; name it once")
