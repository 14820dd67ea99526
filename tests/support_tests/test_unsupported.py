"""The models to refuse are well-formed, and contain what the refusal has to name."""

from __future__ import annotations

import pytest
import tflite

from tests.support.oracle import require_oracle
from tests.support.unsupported import UnsupportedModel, unsupported_models

MODELS = unsupported_models()


def _names(model: UnsupportedModel) -> set[str]:
    """Operator, custom operator and tensor names of the main graph."""
    parsed = tflite.Model.GetRootAs(model.model_bytes, 0)
    graph = parsed.Subgraphs(0)
    names = {graph.Tensors(index).Name().decode() for index in range(graph.TensorsLength())}
    for index in range(parsed.OperatorCodesLength()):
        code = parsed.OperatorCodes(index)
        names.add(code.CustomCode().decode() if code.CustomCode() else tflite.opcode2name(code.BuiltinCode()))
    return names


def test_names_are_unique() -> None:
    assert len({model.name for model in MODELS}) == len(MODELS)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_operators_and_tensors_to_mention_exist(model: UnsupportedModel) -> None:
    names = _names(model)
    # Everything else a refusal mentions is a type, a number or a plain word.
    words = {"float32", "uint8", "int16", "int4", "batch", "dynamic", "sparse", "subgraph", "2"}
    assert set(model.mentions) <= names | words


@pytest.mark.parametrize("model", [m for m in MODELS if m.runs_in_litert], ids=lambda model: model.name)
def test_litert_loads_the_model(model: UnsupportedModel) -> None:
    require_oracle()
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model.model_bytes, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
