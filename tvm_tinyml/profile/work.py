"""Work of a model by class of layer: instructions per multiply-accumulate and share of the machine's peak.

Everything is read from the metadata.json of the generated project and from what a run reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from tvm_tinyml.profile.cycles import CycleEstimate
from tvm_tinyml.runner.report import FlashReport, LayerCount

CLASSES = ("conv2d", "pointwise", "pointwise, narrow", "depthwise", "dense", "other")
"""Classes of layers whose figures can be compared. A narrow pointwise convolution has fewer than 32 input or output
channels, so that its requantisation outweighs its products."""

_NARROW_BELOW = 32
# int8 products: one SMLAD per cycle (Armv7E-M and Armv8-M DSP extension), a vector of 64 bits per cycle (Helium).
_PEAK_MACS_PER_CYCLE = {"cortex-m4": 2, "cortex-m7": 2, "cortex-m33": 2, "cortex-m55": 8, "cortex-m85": 8}


@dataclass(frozen=True)
class Work:
    """Executed work; `cycles` and `register_lists` are estimated (see CycleEstimate), None without an estimate."""

    macs: int
    instructions: int
    cycles: int | None = None
    register_lists: int | None = None

    @property
    def instructions_per_mac(self) -> float | None:
        """Instructions per multiply-accumulate; None when there are none."""
        return self.instructions / self.macs if self.macs else None

    def peak_share(self, core: str, *, with_register_lists: bool = False) -> float | None:
        """Estimated part of the multiply-accumulates that the core could do in this time, 0 to 1.

        None without multiply-accumulates or estimate, and for cores whose peak is not known.
        """
        peak = _PEAK_MACS_PER_CYCLE.get(core)
        if peak is None or not self.macs or not self.cycles:
            return None
        extra = self.register_lists if with_register_lists and self.register_lists is not None else 0
        return self.macs / (peak * (self.cycles + extra))


@dataclass(frozen=True)
class Other:
    """A schedule that a layer did not get: why, and what it was estimated at; None without an estimate."""

    reason: str
    instructions: int | None


@dataclass(frozen=True)
class LayerWork:
    """One layer: its class, the schedule rule that made its code and its estimate of the instructions, its work.

    shape: of the output.
    share_inside: part of the multiply-accumulates whose operands are not padding.
    inputs_per_output: elements of the first input over those of the output.
    parts: the estimated instructions by what they are spent on, where the schedule tells them apart.
    others: of the schedules that could have been taken, why not, and their estimated instructions.
    """

    name: str
    layer_class: str
    schedule: str
    work: Work
    shape: tuple[int, ...] = ()
    estimated_instructions: int | None = None
    share_inside: float = 1.0
    inputs_per_output: float = 1.0
    parts: Mapping[str, int] | None = None
    others: Mapping[str, Other] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Extent of the last axis of the output."""
        return self.shape[-1] if self.shape else 1

    @property
    def pixels(self) -> int:
        """Outputs per channel."""
        return prod(self.shape[:-1])

    @property
    def depth(self) -> float:
        """Multiply-accumulates per output."""
        return self.work.macs / prod(self.shape)


@dataclass(frozen=True)
class ClassWork:
    """All layers of one class together; `layers` is their number."""

    layer_class: str
    layers: int
    work: Work


def layer_work(
    metadata: Mapping[str, Any], counts: Sequence[LayerCount], estimate: CycleEstimate | None
) -> tuple[LayerWork, ...]:
    """Join the layers of a project's metadata with their counted instructions and estimated cycles."""
    shapes = {
        tensor["name"]: tensor["shape"]
        for tensor in (*metadata["tensors"], *metadata["inputs"], *metadata["outputs"])
    }
    # Tensors of a streamed region exist in no memory of their own.
    shapes |= {layer["output_tensor"]: layer["shape"] for layer in metadata["layers"]}
    cycles = estimate.layers if estimate is not None else (None,) * len(counts)
    return tuple(
        LayerWork(
            layer["name"],
            _class_of(layer, shapes),
            layer["schedule"],
            Work(
                layer["macs"],
                count.instructions,
                None if estimated is None else estimated.cycles,
                None if estimated is None else estimated.register_lists,
            ),
            tuple(layer["shape"]),
            _taken(layer, "instructions"),
            layer.get("share_inside", 1.0),
            _inputs_per_output(layer, shapes),
            _taken(layer, "parts"),
            _others(layer),
        )
        for layer, count, estimated in zip(metadata["layers"], counts, cycles, strict=True)
    )


def _inputs_per_output(layer: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> float:
    return prod(shapes[layer["inputs"][0]]) / prod(layer["shape"]) if layer["inputs"] else 0.0


def _taken(layer: Mapping[str, Any], figure: str) -> Any:
    """A figure of the schedule that was taken; None when it is not known."""
    return next((one.get(figure) for one in layer.get("alternatives", ()) if one["taken"]), None)


def _others(layer: Mapping[str, Any]) -> dict[str, Other]:
    """The fastest candidate of each rule that was not taken."""
    found: dict[str, Other] = {}
    for one in layer.get("alternatives", ()):
        if not one["taken"]:
            found.setdefault(one["schedule"], Other(one["reason"], one["instructions"]))
    return found


def by_class(layers: Iterable[LayerWork]) -> list[ClassWork]:
    """Sum layers by class, in the order of `CLASSES`; classes without layers are left out."""
    grouped: dict[str, list[Work]] = {}
    for layer in layers:
        grouped.setdefault(layer.layer_class, []).append(layer.work)
    return [ClassWork(name, len(grouped[name]), _sum(grouped[name])) for name in CLASSES if name in grouped]


def slowdown_in_class(layers: Sequence[LayerWork]) -> list[float | None]:
    """Instructions per multiply-accumulate of each layer over those of the best of its class; None without any."""
    best: dict[str, float] = {}
    for layer in layers:
        per_mac = layer.work.instructions_per_mac
        if per_mac is not None:
            best[layer.layer_class] = min(per_mac, best.get(layer.layer_class, per_mac))
    return [
        None
        if layer.work.instructions_per_mac is None
        else layer.work.instructions_per_mac / best[layer.layer_class]
        for layer in layers
    ]


@dataclass(frozen=True)
class FlashUse:
    """What a model takes of flash, in bytes.

    code: everything that is no constant of a layer that multiplies: instructions, tables, other constants.
    constants: weights, biases and factors of the layers that multiply, as their code reads them.
    of_file: the same in the model file: int8 weights, int32 biases, float32 scales.
    beyond_file: all flash without what the model file would hold after the graph passes, for comparison with runtimes
        that keep the model file apart.
    """

    code: int
    constants: int
    of_file: int
    beyond_file: int

    @classmethod
    def of(cls, metadata: Mapping[str, Any], flash: FlashReport) -> FlashUse:
        """Divide what was measured by what the project's metadata says of its constants."""
        constants = int(metadata["weight_constant_bytes"])
        stages = metadata["passes"]
        return cls(
            code=flash.total - constants,
            constants=constants,
            of_file=int(stages[0]["weight_bytes"]),
            beyond_file=flash.total - int(stages[-1]["weight_bytes"]),
        )

    @property
    def constants_ratio(self) -> float | None:
        """Constants over those of the model file; None when that has none."""
        return self.constants / self.of_file if self.of_file else None


def _class_of(layer: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> str:
    operator = layer["operator"]
    if operator == "depthwise_conv2d":
        return "depthwise"
    if operator == "dense":
        return "dense"
    if operator == "ethosu":
        # What is counted is the functional model, which compares with nothing.
        return str(layer["name"])
    if operator != "conv2d":
        return "other"
    read, written = shapes[layer["inputs"][0]][-1], layer["shape"][-1]
    if layer["macs"] != prod(layer["shape"]) * read:
        return "conv2d"
    return "pointwise, narrow" if min(read, written) < _NARROW_BELOW else "pointwise"


def _sum(works: Sequence[Work]) -> Work:
    return Work(
        sum(work.macs for work in works),
        sum(work.instructions for work in works),
        _sum_known([work.cycles for work in works]),
        _sum_known([work.register_lists for work in works]),
    )


def _sum_known(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
