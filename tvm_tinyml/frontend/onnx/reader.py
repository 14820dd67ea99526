"""An ONNX file as a QDQ network: checked by the onnx package, shapes inferred, constants computed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ...errors import ModelError, TinyMLError, UnsupportedError
from ..naming import DEFAULT_NAME, identifier
from ..qdq.network import Call, Network, Value
from ..qdq.operators import CONVERTERS
from .constants import fold_constants
from .integer_forms import kind_of, write_as_qdq

if TYPE_CHECKING:
    import onnx

ModelSource: TypeAlias = "bytes | str | os.PathLike[str] | onnx.ModelProto"

MAX_FILE_BYTES = 1 << 28
OPSETS = range(13, 26)
# Where a size is left open the model is compiled for one.
OPEN_BATCH = 1
LONGEST_REASON = 300
"""Characters of what another package says of a damaged file."""


def read_network(model: ModelSource, name: str | None = None) -> Network:
    """The network of a model, QLinear and integer operators rewritten; errors as those of `from_onnx`.

    name: a C identifier instead of the one that follows from the file's name.
    """
    proto, source, own_name = _load(model)
    prepared, refusals = _prepared(proto, source)
    with _damage_told(source):
        return _Reader(prepared, source, name or own_name, refusals).network()


def prepared_model(model: ModelSource) -> tuple[onnx.ModelProto, str, str]:
    """A checked model with a batch of one, inferred shapes and computed constants, what errors call it, its name.

    Errors as those of `from_onnx`.
    """
    proto, source, name = _load(model)
    return _prepared(proto, source)[0], source, name


@contextmanager
def _damage_told(source: str) -> Iterator[None]:
    """What contradicts itself in a file fails anywhere, in the onnx package as well: all of it becomes a ModelError."""
    try:
        yield
    except TinyMLError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0] or type(error).__name__
        raise ModelError(f"{source}: damaged model file: {reason[:LONGEST_REASON]}") from error


def _onnx() -> Any:
    try:
        import onnx
        import onnx.reference
    except ImportError as error:
        raise ModelError(
            "reading ONNX models needs the onnx package, which is not installed: pip install 'tvm-tinyml[onnx]'"
        ) from error
    return onnx


def _load(model: ModelSource) -> tuple[Any, str, str]:
    onnx = _onnx()
    if isinstance(model, onnx.ModelProto):
        return model, "model", DEFAULT_NAME
    if isinstance(model, bytes):
        return _parsed(onnx, model, "model"), "model", DEFAULT_NAME
    path = Path(model)
    try:
        if not path.is_file():
            raise ModelError(f"{path}: no such file, or not a regular one. Give the path of an .onnx file.")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path}: the file exceeds {MAX_FILE_BYTES} bytes. Use a smaller model.")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}.") from error
    return _parsed(onnx, data, str(path)), str(path), identifier(path.stem)


def _parsed(onnx: Any, data: bytes, source: str) -> Any:
    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:
        raise ModelError(f"{source}: not an ONNX model, or damaged ({type(error).__name__}).") from error
    if not proto.graph.node:
        raise ModelError(f"{source}: not an ONNX model, or one without operators.")
    return proto


def _prepared(proto: Any, source: str) -> tuple[Any, Mapping[str, str]]:
    """The model with fixed batch and inferred shapes, after the checks of the onnx package.

    With it, by the name of their first result, why integer operators are left that nothing is known to stand for.
    """
    onnx = _onnx()
    for entry in proto.opset_import:
        if entry.domain in ("", "ai.onnx") and entry.version not in OPSETS:
            raise UnsupportedError(
                f"{source}: opset {entry.version} is not supported, those from {OPSETS[0]} to {OPSETS[-1]} are; "
                "convert the model with onnx.version_converter."
            )
    if any(one.data_location == onnx.TensorProto.EXTERNAL for one in proto.graph.initializer):
        raise ModelError(
            f"{source}: its weights lie in another file. Save it as one file (onnx.save_model with "
            "save_as_external_data=False)."
        )
    fixed = onnx.ModelProto()
    fixed.CopyFrom(proto)
    for value in (*fixed.graph.input, *fixed.graph.output):
        first = value.type.tensor_type.shape.dim[:1]
        if first and not first[0].HasField("dim_value"):
            first[0].dim_value = OPEN_BATCH
    # What the exporter inferred for an open batch.
    del fixed.graph.value_info[:]
    with _damage_told(source):
        refusals = write_as_qdq(fixed.graph, onnx.helper)
        onnx.checker.check_model(fixed, full_check=False)
        inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
        # Shapes may depend on axes and sizes that are computed.
        fold_constants(inferred, onnx, source)
        return onnx.shape_inference.infer_shapes(inferred, strict_mode=True, data_prop=True), refusals


class _Reader:
    """Turns nodes into calls."""

    def __init__(self, proto: Any, source: str, name: str, refusals: Mapping[str, str]) -> None:
        self.onnx = _onnx()
        self.graph = proto.graph
        self.source = source
        self.name = name
        self.refusals = refusals
        self.values: dict[str, Value] = {}
        self.unknown = _behind_unsupported(self.graph)
        self.types = {
            value.name: value.type.tensor_type
            for value in (*self.graph.input, *self.graph.value_info, *self.graph.output)
        }

    def network(self) -> Network:
        """The network."""
        for tensor in self.graph.initializer:
            self.values[tensor.name] = Value.constant(tensor.name, self.onnx.numpy_helper.to_array(tensor))
        inputs = tuple(self._value(one.name) for one in self.graph.input if one.name not in self.values)
        calls = tuple(self._call(index, node) for index, node in enumerate(self.graph.node))
        outputs = tuple(self._known(one.name) for one in self.graph.output)
        return Network(self.source, self.name, inputs, outputs, calls)

    def _call(self, index: int, node: Any) -> Call:
        inputs = tuple(self._known(name) if name else None for name in node.input)
        attrs = {one.name: self._attribute(one) for one in node.attribute}
        outputs = tuple(self._value(name) for name in node.output if name)
        refusal = self.refusals.get(node.output[0], "") if node.output else ""
        return Call(index, kind_of(node), inputs, outputs, attrs, refusal)

    def _known(self, name: str) -> Value:
        if name not in self.values:
            raise ModelError(f"{self.source}: damaged model file: '{name}' is read before it is made")
        return self.values[name]

    def _value(self, name: str) -> Value:
        stated = self.types.get(name)
        if stated is None or not stated.HasField("shape"):
            if name in self.unknown:
                self.values[name] = Value(name, (), "float32")
                return self.values[name]
            raise UnsupportedError(
                f"{self.source}: the shape of '{name}' cannot be inferred; fix the sizes of the inputs."
            )
        shape = tuple(extent.dim_value if extent.HasField("dim_value") else 0 for extent in stated.shape.dim)
        if any(extent < 1 for extent in shape):
            raise UnsupportedError(
                f"{self.source}: '{name}' has a size that is not fixed, {list(shape)}; fix the sizes of the inputs."
            )
        dtype = self.onnx.helper.tensor_dtype_to_np_dtype(stated.elem_type)
        self.values[name] = Value(name, shape, str(dtype))
        return self.values[name]

    def _attribute(self, attribute: Any) -> Any:
        value = self.onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return list(value) if isinstance(value, (list, tuple)) or hasattr(value, "__len__") else value


def _behind_unsupported(graph: Any) -> set[str]:
    """Results of operators that are not supported, and of all that read them: their shapes may be unknown.

    The operators are refused when they are converted, all of them at once.
    """
    unknown: set[str] = set()
    for node in graph.node:
        if kind_of(node) not in CONVERTERS or unknown.intersection(node.input):
            unknown.update(node.output)
    return unknown
