"""Float ONNX models to QDQ ones: ranges and quantisation by ONNX Runtime's static quantizer, the rules are ours.

Activations are int8 with one scale and zero point, weights int8 per output channel and symmetric, as the integer
operators take them; every operator that can be imported is quantised, all others are refused before.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, UnsupportedError
from ..frontend.onnx.importer import supported_operators
from ..frontend.onnx.reader import ModelSource, prepared_model
from .batch_norm import fold_batch_norms
from .calibration import Array, Calibration, FloatInput, samples_of
from .loss import LayerLoss, LossMeter, spread

if TYPE_CHECKING:
    import onnx

SMALLEST_RANGE = 255 * 2.0**-20
"""Of an activation, as in PyTorch (`tvm_tinyml.torch.TinyMLQuantizer`): of one that always is 0, too."""
_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def quantize_onnx(
    model: ModelSource, calibration: Calibration
) -> tuple[onnx.ModelProto, tuple[LayerLoss, ...]]:
    """Quantise a float model to int8 after training.

    Args:
        model: the bytes of an .onnx file, its path, or an `onnx.ModelProto`, with float32 inputs.
        calibration: float arrays [count, ...] by the name of the input, in the shape and order of dimensions that
            the model takes without its batch; one array when there is one input. A few dozen real samples.

    Returns:
        The model with QuantizeLinear and DequantizeLinear operators, as `from_onnx` takes it, and the loss of every
        layer, in the order of execution.

    Raises:
        ModelError: the file is damaged, or the extra `quantize` is missing.
        UnsupportedError: it is quantised already, or uses operators that cannot be imported; all of them are named.
        RunError: the calibration data do not fit the model.
    """
    runtime = _runtime()
    proto, source, _ = prepared_model(model)
    kinds = {node.op_type for node in proto.graph.node}
    if kinds & set(_QUANTIZERS):
        raise UnsupportedError(
            f"{source}: the model is quantised already; import it without calibration data."
        )
    fold_batch_norms(proto.graph)
    _refuse_unknown(proto, source)
    samples = samples_of(calibration, _inputs(proto, source))
    names = _input_names(proto)
    feeds = [dict(zip(names, sample, strict=True)) for sample in samples]
    try:
        quantized = _quantized(runtime, proto, feeds)
        return quantized, _losses(runtime, proto, quantized, feeds)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnsupportedError(f"{source}: ONNX Runtime cannot quantise it: {reason}") from error


def _runtime() -> Any:
    try:
        import onnxruntime
        import onnxruntime.quantization
    except ImportError as error:
        raise ModelError(
            "quantising ONNX models needs the onnxruntime package, which is not installed: "
            "pip install 'tvm-tinyml[quantize]'"
        ) from error
    return onnxruntime


def _refuse_unknown(proto: Any, source: str) -> None:
    known = supported_operators()
    refused = [
        f"operator {index} {node.op_type} -> '{node.output[0]}': the operator is not supported"
        for index, node in enumerate(proto.graph.node)
        if node.op_type not in known or node.domain not in ("", "ai.onnx")
    ]
    if refused:
        count = "1 operator has" if len(refused) == 1 else f"{len(refused)} operators have"
        raise UnsupportedError(
            f"{source}: {count} no integer form:\n" + "\n".join(f"  {line}" for line in refused)
        )


def _input_names(proto: Any) -> list[str]:
    constants = {tensor.name for tensor in proto.graph.initializer}
    return [value.name for value in proto.graph.input if value.name not in constants]


def _inputs(proto: Any, source: str) -> list[FloatInput]:
    import onnx

    found = []
    names = _input_names(proto)
    for value in proto.graph.input:
        if value.name not in names:
            continue
        stated = value.type.tensor_type
        shape = tuple(extent.dim_value for extent in stated.shape.dim)
        if stated.elem_type != onnx.TensorProto.FLOAT or shape[:1] != (1,):
            dtype = onnx.helper.tensor_dtype_to_np_dtype(stated.elem_type)
            raise UnsupportedError(
                f"{source}: input '{value.name}' is {dtype} {list(shape)}, supported are float32 inputs of batch 1."
            )
        found.append(FloatInput(value.name, shape))
    return found


class _Samples:
    """Hands out the samples as ONNX Runtime asks for them (its CalibrationDataReader)."""

    def __init__(self, feeds: Sequence[dict[str, Array]]) -> None:
        self.left = iter(feeds)

    def get_next(self) -> dict[str, Array] | None:
        """The next sample, None after the last."""
        return next(self.left, None)


def _quantized(runtime: Any, proto: Any, feeds: Sequence[dict[str, Array]]) -> Any:
    """The model with quantisations around every operator."""
    import onnx

    quantization = runtime.quantization

    # Says that nothing is left to prepare, which spares the user a warning that it might be.
    ready = copy.deepcopy(proto)
    onnx.helper.set_model_props(ready, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory(prefix="tvm-tinyml-") as scratch:
        place = Path(scratch) / "quantized.onnx"
        quantization.quantize_static(
            ready,
            str(place),
            _Samples(feeds),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=[kind for kind in supported_operators() if kind not in _QUANTIZERS],
            extra_options={
                "ActivationSymmetric": False,
                "WeightSymmetric": True,
                # Without it a tensor that is always 0 gets a zero point that its ReLU does not clamp to.
                "MinimumRealRange": SMALLEST_RANGE,
            },
        )
        return onnx.load(place)


def _losses(
    runtime: Any, proto: Any, quantized: Any, feeds: Sequence[dict[str, Array]]
) -> tuple[LayerLoss, ...]:
    """The loss of every operator whose result is quantised."""
    made_in = {name: node.op_type for node in proto.graph.node for name in node.output}
    made_by = {name: node for node in quantized.graph.node for name in node.output}
    watched: dict[str, tuple[str, str]] = {}
    for node in quantized.graph.node:
        quantizer = made_by.get(node.input[0]) if node.op_type == _QUANTIZERS[1] else None
        if quantizer is None:
            continue
        producer = made_by.get(quantizer.input[0])
        # Where a result of the model is quantised, the name of the float one is that behind both operators.
        name = next((one for one in (quantizer.input[0], node.output[0]) if one in made_in), None)
        if producer is not None and name is not None:
            kinds = dict.fromkeys((producer.op_type, made_in[name]))
            watched[name] = (node.output[0], " + ".join(kinds))
    meter = LossMeter()
    exact = _Session(runtime, proto, list(watched))
    coarse = _Session(runtime, quantized, [name for name, _ in watched.values()])
    for feed in spread(feeds):
        pairs = zip(exact.run(feed), coarse.run(feed), strict=True)
        for (name, (_, operator)), (real, rounded) in zip(watched.items(), pairs, strict=True):
            meter.add(name, operator, real, rounded)
    return meter.losses()


class _Session:
    """Runs a model as it is written and gives the values of any of its tensors."""

    def __init__(self, runtime: Any, proto: Any, names: Sequence[str]) -> None:
        import onnx

        self.names = list(names)
        watched = copy.deepcopy(proto)
        known = {value.name for value in watched.graph.output}
        watched.graph.output.extend(
            onnx.helper.make_empty_tensor_value_info(name) for name in self.names if name not in known
        )
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.session = runtime.InferenceSession(
            watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, feed: dict[str, Array]) -> list[Array]:
        """The values for one sample."""
        found: list[Array] = self.session.run(self.names, feed)
        return found
