"""Operators of constants, computed while the file is read: axes, shapes, scales and weights that exporters compute."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ModelError, UnsupportedError

MAX_CONSTANT = 1 << 26
"""Elements of a constant that is computed while a file is read."""
# Operators whose result may be far larger than what they are given.
_GROWING = ("ConstantOfShape", "Expand", "Range", "Tile", "Resize", "Pad", "OneHot")
# A quantised weight keeps its scale and zero point.
_KEPT = ("DequantizeLinear",)


def fold_constants(model: Any, onnx: Any, source: str) -> None:
    """Replace every operator of constants in `model`, an onnx.ModelProto with inferred shapes, by its result.

    onnx: the package. Raises UnsupportedError when one cannot be computed or would be too large, ModelError when a
    constant of the file is damaged.
    """
    graph = model.graph
    types = {value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info)}
    known: dict[str, Any] = {}
    for tensor in graph.initializer:
        try:
            known[tensor.name] = np.asarray(onnx.numpy_helper.to_array(tensor))
        except Exception as error:
            raise ModelError(f"{source}: damaged model file: constant '{tensor.name}'") from error
    left = []
    for node in graph.node:
        found = _from_type(node, known, types, onnx)
        if found is None:
            if node.op_type in _KEPT or any(name and name not in known for name in node.input):
                left.append(node)
                continue
            _refuse_huge(node, types, source)
            found = _computed(node, {name: known[name] for name in node.input if name}, model, onnx, source)
        for name, data in zip(node.output, found, strict=True):
            known[name] = np.asarray(data)
            graph.initializer.append(onnx.numpy_helper.from_array(known[name], name))
    del graph.node[:]
    graph.node.extend(left)
    # What was inferred while sizes were unknown.
    del graph.value_info[:]


def _from_type(node: Any, known: dict[str, Any], types: dict[str, Any], onnx: Any) -> list[Any] | None:
    """Result of an operator that asks a value for no more than its type or shape, None for all others."""
    if node.op_type == "CastLike" and node.input[0] in known and node.input[1] in types:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(types[node.input[1]].elem_type)
        return [known[node.input[0]].astype(dtype)]
    if node.op_type == "Shape" and not node.attribute and node.input[0] in types:
        extents = [extent.dim_value for extent in types[node.input[0]].shape.dim]
        return [np.asarray(extents, np.int64)] if all(extents) else None
    return None


def _refuse_huge(node: Any, types: dict[str, Any], source: str) -> None:
    """Files state sizes that nobody has the memory for."""
    for name in node.output:
        stated = types.get(name)
        extents = [extent.dim_value for extent in stated.shape.dim] if stated is not None else []
        unknown = stated is None or not all(extents)
        if math.prod(extents) > MAX_CONSTANT or (unknown and node.op_type in _GROWING):
            size = "an unknown number of" if unknown else f"{math.prod(extents):,}"
            raise UnsupportedError(
                f"{source}: operator {node.op_type} -> '{name}': the constant would have {size} elements, "
                f"the limit is {MAX_CONSTANT:,}."
            )


def _computed(node: Any, feeds: dict[str, Any], model: Any, onnx: Any, source: str) -> list[Any]:
    """Results of one operator."""
    helper = onnx.helper
    try:
        described = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(data.dtype), data.shape)
            for name, data in feeds.items()
        ]
        results = [helper.make_empty_tensor_value_info(name) for name in node.output]
        graph = helper.make_graph([node], "constant", described, results)
        alone = helper.make_model(graph, opset_imports=model.opset_import)
        found: list[Any] = onnx.reference.ReferenceEvaluator(alone).run(None, feeds)
    except Exception as error:
        raise UnsupportedError(
            f"{source}: operator {node.op_type} -> '{node.output[0] if node.output else ''}': its constants cannot "
            f"be computed ({type(error).__name__})."
        ) from error
    return found
