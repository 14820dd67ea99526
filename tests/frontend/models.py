"""Small models for the importer's tests, and the real ones where they are to be found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tflite_writer import Graph, Options, write_model
from tvm_tinyml.dialect import operator_of
from tvm_tinyml.dialect.relax_api import attributes, constant_value

from .calls import calls

REPOSITORY = Path(__file__).resolve().parents[2]
DIGITS = REPOSITORY / "tests" / "models" / "digits.tflite"
# Published models beside the checkout; not part of it.
PUBLISHED = REPOSITORY.parent / "shared" / "models"
PUBLISHED_NAMES = (
    "kws_int8",
    "vww_int8",
    "ic_int8",
    "ad01_int8",
    "sww_int8",
    "mcunet_vww_80",
    "tf2_mobilenet_v2_1.0_224_ptq",
)
REAL_MODELS = ("digits", *PUBLISHED_NAMES)


def real_model(name: str) -> Path:
    """Path of a real model; skips the test when the published ones are not there."""
    path = DIGITS if name == "digits" else PUBLISHED / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"{path.name} is not available beside the checkout")
    return path


def convolution(
    *,
    size: tuple[int, int] = (5, 6),
    kernel: tuple[int, int] = (3, 3),
    weight_scale: float | Sequence[float] = 0.01,
    bias: bool = True,
    **options: int,
) -> bytes:
    """A CONV_2D from [1, *size, 2] to 3 channels with stride 1, SAME, scales 0.5 -> 0.25."""
    graph = Graph()
    source = graph.input("image", (1, *size, 2), "int8", scale=0.5, zero_point=3)
    weights = graph.tensor(
        "weights", (3, *kernel, 2), "int8", scale=weight_scale, data=np.ones((3, *kernel, 2))
    )
    operands = [source, weights]
    if bias:
        operands.append(graph.tensor("bias", (3,), "int32", scale=0.005, data=np.arange(3)))
    values = {"stride_h": 1, "stride_w": 1, **options}
    height, width = (
        -(-extent // values[key]) if values.get("padding", 0) == 0 else (extent - span) // values[key] + 1
        for extent, span, key in zip(size, kernel, ("stride_h", "stride_w"), strict=True)
    )
    target = graph.output("features", (1, height, width, 3), "int8", scale=0.25, zero_point=-10)
    graph.operator("CONV_2D", operands, [target], Options("Conv2DOptions", values))
    return write_model(graph)


def only_call(mod: Any) -> tuple[dict[str, Any], list[Any]]:
    """Attributes and constant operands of the one call of a module."""
    ((_, call),) = calls(mod)
    return attributes(call), [constant_value(argument) for argument in call.args[1:]]


def operator_names(mod: Any) -> list[str]:
    """Dialect operators of a module, in order."""
    return [operator.name for _, call in calls(mod) if (operator := operator_of(call)) is not None]
