"""AVERAGE_POOL_2D and MAX_POOL_2D over windows, channel counts, quantisations and activations.

Left out because the reference kernels refuse or never define it: different quantisations of input and
output (pools do not rescale), and windows that hold no input element at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..tflite_writer import Options
from .case import ACTIVATIONS, PADDINGS, Case, single_operator
from .geometry import Window
from .quantization import Quantization

DEFAULT_QUANTIZATION = Quantization(0.05, -3)


@dataclass(frozen=True)
class Pool:
    """One case; input and output share one quantisation."""

    operator: str
    window: Window
    channels: int = 3
    quantization: Quantization = DEFAULT_QUANTIZATION
    activation: str = "none"

    def case(self) -> Case:
        """Write the model."""
        fields = {
            "padding": PADDINGS[self.window.padding],
            "stride_h": self.window.stride[0],
            "stride_w": self.window.stride[1],
            "filter_height": self.window.kernel[0],
            "filter_width": self.window.kernel[1],
            "fused_activation_function": ACTIVATIONS[self.activation],
        }
        return single_operator(
            self.id(),
            self.operator,
            [self.quantization.value((1, *self.window.size, self.channels))],
            [self.quantization.value((1, *self.window.output_size(), self.channels))],
            Options("Pool2DOptions", fields),
        )

    def id(self) -> str:
        """Unique name of the combination."""
        return "-".join(
            [
                self.operator.lower(),
                self.window.label(),
                f"c{self.channels}",
                self.quantization.label(),
                self.activation,
            ]
        )


WINDOWS: tuple[Window, ...] = (
    Window((6, 8), (2, 2), (2, 2)),
    Window((7, 5), (2, 2), (2, 2)),
    Window((7, 5), (3, 3), (2, 2), "valid"),
    Window((6, 5), (3, 3)),
    Window((6, 5), (3, 3), padding="valid"),
    Window((5, 7), (5, 7), padding="valid"),
    Window((5, 7), (5, 7), (5, 7)),
    Window((4, 6), (7, 9)),
    Window((8, 5), (3, 2), (1, 2)),
    Window((5, 9), (1, 4), (2, 3), "valid"),
    Window((7, 7), (1, 1), (3, 2)),
    Window((8, 7), (2, 2), (3, 3)),
    Window((8, 7), (2, 2), (3, 3), "valid"),
    Window((1, 1), (1, 1)),
    Window((1, 1), (3, 3)),
    Window((1, 12), (1, 3), (1, 2)),
)

# Quantisations at which each activation clamps some outputs and not others.
ACTIVATION_QUANTIZATIONS: tuple[tuple[str, Quantization], ...] = (
    ("none", Quantization(0.05, -128)),
    ("none", Quantization(0.021, 0)),
    ("none", Quantization(0.1, 127)),
    ("relu", Quantization(0.05, 17)),
    ("relu", Quantization(0.021, -20)),
    ("relu_n1_to_1", Quantization(0.013, 0)),
    ("relu_n1_to_1", Quantization(0.02, -31)),
    ("relu6", Quantization(0.05, -60)),
    ("relu6", Quantization(0.06, -45)),
    ("relu6", Quantization(0.0471, -128)),
)


def cases() -> Iterator[Case]:
    """All cases of both operators; the first of each operator is its representative."""
    for operator in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        for pool in dict.fromkeys(_combinations(operator)):
            yield pool.case()


def _combinations(operator: str) -> Iterator[Pool]:
    for window in WINDOWS:
        yield Pool(operator, window)
    for channels in (1, 4, 16, 17):
        yield Pool(operator, Window((5, 6), (3, 2), (2, 1)), channels)
    for activation, quantization in ACTIVATION_QUANTIZATIONS:
        yield Pool(operator, Window((6, 5), (2, 2)), 3, quantization, activation)
