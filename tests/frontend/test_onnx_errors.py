"""Models that cannot be imported: one error that names everything, and never anything but an error."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.frontend.onnx_models import QdqModel
from tvm_tinyml.errors import ModelError, TinyMLError, UnsupportedError
from tvm_tinyml.frontend import from_file, from_onnx

onnx = pytest.importorskip("onnx")


def small() -> Any:
    build = QdqModel(1, 2, 4, 4)
    value = build.node("Conv", [build.start, build.weight(3, 2, 3, 3), build.bias(3)])
    return build.model(build.quantized(value))


def test_every_operator_without_an_integer_form_is_listed() -> None:
    build = QdqModel(1, 2, 4, 4)
    one = build.node("Cos", [build.start])
    other = build.node("Relu", [build.start])
    summed = build.node("Add", [build.quantized(one), other])
    with pytest.raises(UnsupportedError, match="2 things have no integer form") as caught:
        from_onnx(build.model(build.quantized(summed)))
    assert "Cos -> " in str(caught.value)
    assert "the operator is not supported" in str(caught.value)
    assert "Relu -> " in str(caught.value)
    assert "is not quantised" in str(caught.value)
    # What depends on a refused operator is not blamed.
    assert "Add" not in str(caught.value)


def test_operators_of_unknown_shapes_are_listed_with_the_others() -> None:
    build = QdqModel(1, 2, 4, 4)
    relu = build.node("Relu", [build.node("Identity", [build.start])])
    other = build.node("Cos", [build.quantized(relu)])
    model = build.model(build.quantized(other))
    model.opset_import.append(onnx.helper.make_opsetid("somebody", 1))
    (odd,) = [node for node in model.graph.node if node.op_type == "Identity"]
    odd.op_type, odd.domain = "Mystery", "somebody"
    with pytest.raises(UnsupportedError, match="2 things have no integer form") as caught:
        from_onnx(model)
    assert "Mystery -> " in str(caught.value)
    assert "Cos -> " in str(caught.value)


def test_a_float_model_is_told_how_to_quantise() -> None:
    build = QdqModel(1, 4)
    build.nodes = []
    with pytest.raises(UnsupportedError, match=r"computes in float.*quantize_static"):
        from_onnx(build.model(build.node("Relu", ["x"])))


def test_weights_that_are_computed_and_groups_are_refused() -> None:
    build = QdqModel(1, 4, 4, 4)
    product = build.node("MatMul", [build.start, build.quantized(build.node("Neg", [build.start]))])
    grouped = build.node("Conv", [build.start, build.weight(4, 2, 1, 1)], group=2)
    with pytest.raises(UnsupportedError) as caught:
        from_onnx(build.model(build.quantized(product), build.quantized(grouped)))
    assert "is computed by the model, supported is a constant" in str(caught.value)
    assert "2 groups of 2 channels" in str(caught.value)


def test_an_old_opset_and_open_sizes_are_refused() -> None:
    model = small()
    model.opset_import[0].version = 9
    with pytest.raises(UnsupportedError, match="opset 9 is not supported"):
        from_onnx(model)
    model = small()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(UnsupportedError, match="fix the sizes of the inputs"):
        from_onnx(model)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    onnx.save_model(small(), tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(ModelError, match="its weights lie in another file"):
        from_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize("contents", [b"", b"\x08", b"no model at all", b"\x08\x09" + bytes(100)])
def test_files_that_are_no_model_are_refused(tmp_path: Path, contents: bytes) -> None:
    place = tmp_path / "m.onnx"
    place.write_bytes(contents)
    with pytest.raises(ModelError, match=r"m\.onnx"):
        from_file(place)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match=r"pip install 'tvm-tinyml\[onnx\]'"):
        from_onnx(b"")


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="no such file, or not a regular one"):
        from_file(tmp_path / "m.onnx")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_mutated_file_gives_a_module_or_an_error_of_ours(changes: list[tuple[float, int]]) -> None:
    data = bytearray(small().SerializeToString())
    for place, value in changes:
        data[int(place * len(data))] = value
    with contextlib.suppress(TinyMLError):
        module, _ = from_onnx(bytes(data))
        assert module["main"] is not None


def test_constants_of_absurd_sizes_are_not_computed() -> None:
    build = QdqModel(1, 4)
    shape = build.constant([1 << 20, 1 << 20], "int64")
    huge = build.node("ReduceMax", [build.node("ConstantOfShape", [shape])], keepdims=0)
    with pytest.raises(UnsupportedError, match=r"ConstantOfShape.* would have"):
        from_onnx(build.model(build.quantized(build.node("Add", [build.start, huge]))))


def test_contents_decide_what_a_file_is(tmp_path: Path) -> None:
    place = tmp_path / "m.tflite"
    place.write_bytes(small().SerializeToString())
    module, _ = from_file(place)
    assert np.prod([int(extent) for extent in module["main"].params[0].ty.shape]) == 32
