"""Replays layers whose output lies over one of their inputs: what is needed is there, or was read before it went.

Nothing of how far the two may overlap (`overlap.py`) is used. Every byte of the input says whether it is intact and
whether it has been read; moments follow one another as the schedule has them, each with its writes first, because a
micro-kernel may write before it has read everything. What an element of the output needs is asked of the operator's
bounds map, when the element is written for the last time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import PlanError
from ..memory import MemoryPlan
from .access_order import Touch
from .layer import Layer
from .model import LoweredModel
from .tensorir import LoweredFunction

Mask = npt.NDArray[np.bool_]
Event = tuple[int, tuple[slice, ...], Touch]


def verify_overlaps(model: LoweredModel, plan: MemoryPlan) -> None:
    """Raise PlanError if a layer run with the offsets of `plan` would miss bytes of an input that it overwrites."""
    for layer, function, name in model.overlapping(plan):
        shift = plan.offsets[layer.output] - plan.offsets[name]
        _Replay(model, layer, function, name, shift).run()


class _Replay:
    """One layer and one of its inputs; shift: bytes by which the output begins behind the input."""

    def __init__(
        self, model: LoweredModel, layer: Layer, function: LoweredFunction, name: str, shift: int
    ) -> None:
        self.layer, self.name, self.shift = layer, name, shift
        self.source, self.output = model.tensors[name].spec, model.tensors[layer.output].spec
        self.bounds = [bounds for tensor, bounds in layer.bounds if tensor == name]
        self.intact: Mask = np.ones(self.source.nbytes, np.bool_)
        self.was_read: Mask = np.zeros(self.source.nbytes, np.bool_)
        touches = function.touches
        if touches is None:
            raise PlanError(f"memory plan: the order in which {layer.name!r} reads and writes is not known")
        *inputs, output = function.parameters
        mine = {role for role, argument in zip(inputs, layer.arguments, strict=True) if argument == name}
        self.reads = [one for one in touches if one.buffer in mine and not one.writes]
        self.writes = [one for one in touches if one.buffer == output and one.writes]

    def run(self) -> None:
        """All moments in their order."""
        numbers = np.arange(self.output.nbytes)
        last = np.full(self.output.nbytes, -1)
        for time, box, touch in _events(self.writes):
            _inside(last, touch)[box] = time
        events = sorted([*_events(self.writes), *_events(self.reads)], key=_time)
        for time, together in groupby(events, key=_time):
            now = list(together)
            written = [_inside(numbers, touch)[box].reshape(-1) for _, box, touch in now if touch.writes]
            for one in written:
                gone = one + self.shift
                self.intact[gone[(gone >= 0) & (gone < len(self.intact))]] = False
            for _, box, touch in now:
                if not touch.writes:
                    self._read(_inside(self.intact, touch)[box], _inside(self.was_read, touch)[box])
            for one in written:
                self._check_needs(one[last[one] == time])

    def _read(self, intact: Mask, was_read: Mask) -> None:
        if not intact.all():
            self._refuse()
        was_read[...] = True

    def _check_needs(self, numbers: npt.NDArray[np.int64]) -> None:
        """Whether the first and the last of some bytes of the output can have been computed."""
        for number in {int(number) for number in (*numbers[:1], *numbers[-1:])}:
            place = np.unravel_index(number // np.dtype(self.output.dtype).itemsize, self.output.shape)
            element = tuple((int(index), int(index) + 1) for index in place)
            for bounds in self.bounds:
                region = bounds.region(element, self.source.shape)
                masks = (_box(mask, self.source.shape, region) for mask in (self.intact, self.was_read))
                if not np.logical_or(*masks).all():
                    self._refuse()

    def _refuse(self) -> None:
        raise PlanError(
            f"memory plan: {self.layer.name!r} needs bytes of {self.name!r} after it has written {self.layer.output!r} "
            "over them"
        )


def _events(touches: list[Touch]) -> Iterator[Event]:
    for touch in touches:
        for time, box in touch.boxes(every=True):
            yield time, box, touch


def _time(event: Event) -> int:
    return event[0]


def _inside(values: npt.NDArray[Any], touch: Touch) -> npt.NDArray[Any]:
    """A value for each byte of a buffer, by its axes as a function has them."""
    return values.reshape(*touch.shape, touch.itemsize)


def _box(values: Mask, shape: tuple[int, ...], region: tuple[tuple[int, int], ...]) -> Mask:
    return values.reshape(*shape, -1)[tuple(slice(*interval) for interval in region)]
