"""The `relay.build` facade: Relay is gone from TVM, its way of being called is kept.

`relay.frontend.from_tflite(model)`, and its siblings for ONNX and PyTorch, give a Relax module in the dialect,
`relay.build(mod, target=...)` compiles it.
`from tvm import relay` and `from tvm_tinyml import relay` are the same module where TVM has none of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import frontend
from .errors import TargetError
from .module import AOTModule
from .patch import PatchPlan
from .target import parse_target

__all__ = ["AOTModule", "build", "frontend"]


def build(
    mod: Any,
    target: Any = None,
    params: Mapping[str, Any] | None = None,
    executor: Any = None,
    runtime: Any = None,
    *,
    patch: PatchPlan | None = None,
    measure: bool = False,
) -> AOTModule:
    """Compile an imported module.

    mod: module of `frontend.from_tflite`, `from_onnx` or `from_pytorch`.
    target: "tinyml -mcpu=cortex-m55 ...", "tinyml/cortex-m55", a dict, a tvm.target.Target or a TargetConfig.
    params: constants by name, as the importer returned them; embedded constants need none.
    executor, runtime: accepted for scripts written for microTVM; only "aot" and "crt" exist here.
    patch: regions that stream rows and strips through line buffers, instead of every operator in turn; exact.
    measure: run every schedule that a layer could have on the target's emulated board, and take by counted instead of
        estimated instructions.
    Raises PlanError for a plan that does not fit the model, TargetError for a target, executor or runtime that does
    not exist.
    """
    if target is None:
        raise TargetError('no target given; pass target="tinyml -mcpu=<core>" (see `tvm-tinyml targets`)')
    for option, value, known in (("executor", executor, "aot"), ("runtime", runtime, "crt")):
        if value is not None and str(value).lower() != known:
            raise TargetError(
                f"{option} {value!r} is not available: tinyml models are compiled for {known!r}"
            )
    if params:
        from tvm import relax

        mod = relax.transform.BindParams("main", dict(params))(mod)
    return AOTModule(mod, parse_target(target), patch, measure=measure)
