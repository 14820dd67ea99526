"""Which operators of a graph an Ethos-U computes: Vela is asked, and what it leaves has its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from ..errors import ModelError
from ..ethosu import CompiledNetwork, Setup, compile_network, run_vela
from ..frontend.tflite import (
    Graph,
    Operator,
    RejectionError,
    builtin_results,
    in_schema_form,
    tensor_label,
    write_model,
)

_SCRATCH_TYPE = "int8"
_IGNORED = "-npu-ignore names it"
_UNEXPLAINED = "Vela leaves it on the CPU without a reason"


def part_of(graph: Graph, operators: Sequence[Operator]) -> Graph:
    """Some operators of a graph as a graph of their own, with what they read and what others read of them."""
    chosen = {operator.index for operator in operators}
    made = [tensor for operator in operators for tensor in operator.outputs]
    read = [tensor for operator in operators for tensor in operator.inputs if tensor is not None]
    wanted = {
        tensor for operator in graph.operators if operator.index not in chosen for tensor in operator.inputs
    }
    wanted.update(graph.outputs)
    inputs = [tensor for tensor in dict.fromkeys(read) if not tensor.is_constant and tensor not in made]
    return replace(
        graph,
        operators=tuple(operators),
        inputs=tuple(tensor for tensor in inputs if not tensor.is_empty_list),
        outputs=tuple(tensor for tensor in made if tensor in wanted),
    )


def refused(graph: Graph, setup: Setup) -> dict[int, str]:
    """Operators that stay on the CPU by their index, each with the reason.

    Raises ModelError where Vela is missing or fails.
    """
    found: dict[int, str] = {}
    for operator in graph.operators:
        reason = unfit(operator)
        if reason is not None:
            found[operator.index] = reason
    # What cannot be written is left out of the question, and so are operators whose results no file can hand over.
    asked = [operator for operator in graph.operators if operator.index not in found]
    if not asked:
        return found
    labels = {tensor_label(one): operator for operator in asked for one in operator.outputs}
    with run_vela(write_model(part_of(graph, asked)), setup, "tflite") as result:
        left = builtin_results(result.file.read_bytes())
        refusals = dict(result.refusals)
    for label in left:
        if label in labels:
            operator = labels[label]
            ignored = operator.kind in setup.ignore
            found[operator.index] = _IGNORED if ignored else refusals.get(label) or _UNEXPLAINED
    return found


def compiled(part: Graph, setup: Setup) -> CompiledNetwork | ModelError:
    """A part of a graph as one network, or what Vela says against it."""
    try:
        return compile_network(write_model(part), replace(setup, ignore=()))
    except ModelError as error:
        return error


def refused_in_part(part: Graph, setup: Setup, error: ModelError) -> Mapping[int, str]:
    """Operators of a part that Vela does not take after all; all of them where it does not say which."""
    found = refused(part, replace(setup, ignore=()))
    return found or {operator.index: str(error) for operator in part.operators}


def unfit(operator: Operator) -> str | None:
    """Why an operator is not even asked for."""
    if all(tensor is None or tensor.is_constant for tensor in operator.inputs):
        return "it is computed when the model is compiled"
    other = [tensor for tensor in operator.outputs if tensor.dtype != _SCRATCH_TYPE]
    if other:
        return f"its result '{other[0].name}' is {other[0].dtype}, networks hand over int8"
    try:
        in_schema_form(operator, count())
    except RejectionError as rejection:
        return str(rejection)
    return None
