"""LiteRT's reference kernels as the golden oracle, with every intermediate tensor.

The interpreter runs with `OpResolverType.BUILTIN_REF` and keeps all tensors; the optimised kernels are not
golden because they round differently on real models. `require_oracle` skips a test when the `oracle` extra
is not installed.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

Array: TypeAlias = npt.NDArray[Any]

MISSING_ORACLE = "ai-edge-litert is not installed (pip install 'tvm-tinyml[oracle]')"

# Float inputs are drawn a little beyond what the consumer's int8 range can hold, so that saturation is seen.
BEYOND_RANGE = 1.25
# Width of a float input no operator quantises.
DEFAULT_FLOAT_RANGE = 4.0


@dataclass(frozen=True)
class ReferenceRun:
    """What one inference of the reference kernels produced.

    Attributes:
        outputs: the model's outputs in order.
        tensors: every tensor LiteRT can show, constants included, by tensor index of the first subgraph.
        names: tensor names by the same index.
    """

    outputs: list[Array]
    tensors: dict[int, Array] = field(repr=False)
    names: dict[int, str] = field(repr=False)


@cache
def oracle_available() -> bool:
    """True when the `oracle` extra is installed."""
    return importlib.util.find_spec("ai_edge_litert") is not None


def require_oracle() -> None:
    """Skip the calling test, with the reason, when the `oracle` extra is missing."""
    if not oracle_available():
        pytest.skip(MISSING_ORACLE)


def _interpreter(model: bytes | Path) -> Any:
    require_oracle()
    module = importlib.import_module("ai_edge_litert.interpreter")
    content = model if isinstance(model, bytes) else model.read_bytes()
    interpreter = module.Interpreter(
        model_content=content,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    return interpreter


def run_reference(model: bytes | Path, inputs: Sequence[Array]) -> ReferenceRun:
    """Run one inference on LiteRT's reference kernels.

    Args:
        model: a .tflite file or its bytes.
        inputs: one array per model input, of exactly its dtype and shape.

    Raises:
        ValueError: the inputs do not match the model, or LiteRT refuses the model.
        RuntimeError: LiteRT refuses the model while preparing or running it.
    """
    interpreter = _interpreter(model)
    details = interpreter.get_input_details()
    if len(details) != len(inputs):
        raise ValueError(f"the model takes {len(details)} inputs, {len(inputs)} were given")
    for detail, array in zip(details, inputs, strict=True):
        if array.dtype != detail["dtype"] or array.shape != tuple(detail["shape"]):
            wanted = f"{np.dtype(detail['dtype'])}{tuple(detail['shape'])}"
            raise ValueError(f"input {detail['name']} is {wanted}, got {array.dtype}{array.shape}")
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    tensors: dict[int, Array] = {}
    names: dict[int, str] = {}
    for detail in interpreter.get_tensor_details():
        index = int(detail["index"])
        try:
            tensors[index] = interpreter.get_tensor(index)
        except ValueError:
            # LiteRT has no data for tensors no operator of the graph touches, nor for some temporaries.
            continue
        names[index] = str(detail["name"])
    outputs = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
    return ReferenceRun(outputs, tensors, names)


def random_inputs(model: bytes | Path, seed: int) -> list[Array]:
    """Deterministic random inputs of the right dtype and shape.

    Integer tensors take the whole range of their type (uint8 and int8 therefore hit both ends). A float
    input is drawn over the range of the QUANTIZE operator that reads it and 25 % beyond both ends.
    """
    interpreter = _interpreter(model)
    generator = np.random.default_rng(seed)
    ranges = _float_ranges(interpreter)
    arrays: list[Array] = []
    for detail in interpreter.get_input_details():
        shape = tuple(int(n) for n in detail["shape"])
        dtype = np.dtype(detail["dtype"])
        if dtype.kind == "f":
            low, high = ranges.get(int(detail["index"]), (-DEFAULT_FLOAT_RANGE, DEFAULT_FLOAT_RANGE))
            centre, half = (low + high) / 2, (high - low) / 2 * BEYOND_RANGE
            arrays.append(generator.uniform(centre - half, centre + half, shape).astype(dtype))
        elif dtype.kind == "b":
            arrays.append(generator.integers(0, 2, shape).astype(dtype))
        else:
            limits = np.iinfo(dtype)
            arrays.append(generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True))
    return arrays


def _float_ranges(interpreter: Any) -> dict[int, tuple[float, float]]:
    """Real-valued range of the quantised tensor each float tensor is converted to."""
    details = {int(d["index"]): d for d in interpreter.get_tensor_details()}
    ranges: dict[int, tuple[float, float]] = {}
    for operator in interpreter._get_ops_details():
        if operator["op_name"] != "QUANTIZE":
            continue
        source, target = int(operator["inputs"][0]), details[int(operator["outputs"][0])]
        scale, zero_point = target["quantization"]
        limits = np.iinfo(target["dtype"])
        ranges[source] = ((limits.min - zero_point) * scale, (limits.max - zero_point) * scale)
    return ranges
