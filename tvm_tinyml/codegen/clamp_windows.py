"""ClampWindows: turn the guards of padded windows into loop bounds, so that the interior is free of checks.

A window operator over a padded input computes `acc = combine(acc, inside ? x : pad)` in its kernel loops, where
the padding value leaves `acc` as it is. For a loop that its schedule annotated with `CLAMP_WINDOW`, the iterations
whose guard is false do nothing; this pass solves the guard for the loop variable and shortens the loop to
the iterations that do something.

Needs: statements before buffer flattening or after it, guards as conjunctions of affine comparisons.
Guarantees: the same stores in the same order, minus stores that write back what was there; a loop whose guard
cannot be solved, or whose padded iterations are not proven to be without effect, keeps its guards.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import ir, sym, tirx
from tvm_ffi import structural

CLAMP_WINDOW = "tinyml.clamp_window"


@tvm.tirx.transform.prim_func_pass(opt_level=0, name="tinyml.ClampWindows")
def ClampWindows(func: Any, _module: Any, _context: Any) -> Any:  # noqa: N802 - named as a pass
    """Shorten every loop annotated with CLAMP_WINDOW to the iterations inside the image."""
    return func.with_body(structural.structural_map(func.body, (tirx.For, _clamp)))


def _clamp(loop: Any) -> Any:
    if CLAMP_WINDOW not in loop.annotations:
        return loop
    annotations = {key: value for key, value in loop.annotations.items() if key != CLAMP_WINDOW}
    guards = _collect(loop.body, _is_guard)
    stores = _collect(loop.body, lambda node: isinstance(node, tirx.BufferStore))
    common = [c for c in _conjuncts(guards[0].args[0]) if _mentions(c, loop.loop_var)] if guards else []
    common = [c for c in common if all(_contains(_conjuncts(g.args[0]), c) for g in guards)]
    bounds = [_solve(condition, loop.loop_var) for condition in common]
    if not common or None in bounds or not all(_padding_is_no_op(store) for store in stores):
        return _loop(loop, loop.loop_var, loop.extent, loop.body, annotations)
    first, end = tirx.const(0, "int32"), loop.extent
    for bound in bounds:
        assert bound is not None
        low, high = bound
        first = first if low is None else tirx.max(first, low)
        end = end if high is None else tirx.min(end, high)
    body = structural.structural_map(loop.body, (ir.Call, lambda node: _drop(node, common)))
    index = tirx.Var(loop.loop_var.name, "int32")
    body = _substitute(body, loop.loop_var, index + first)
    analyzer = sym.Analyzer()
    return _loop(loop, index, analyzer.simplify(end - first), body, annotations)


def _loop(loop: Any, variable: Any, extent: Any, body: Any, annotations: dict[str, Any]) -> Any:
    if isinstance(extent, tirx.IntImm) and int(extent) == 1:
        return _substitute(body, variable, loop.min)
    return tirx.For(variable, loop.min, extent, loop.kind, body, loop.thread_binding, annotations)


def _collect(root: Any, wanted: Any) -> list[Any]:
    found: list[Any] = []

    def visit(node: Any) -> Any:
        if wanted(node):
            found.append(node)

    structural.structural_walk(root, visit)
    return found


def _is_guard(node: Any) -> bool:
    return isinstance(node, ir.Call) and node.op.name == "prim.if_then_else"


def _conjuncts(condition: Any) -> list[Any]:
    if isinstance(condition, tirx.And):
        return [*_conjuncts(condition.a), *_conjuncts(condition.b)]
    return [condition]


def _mentions(expr: Any, variable: Any) -> bool:
    return bool(_collect(expr, lambda node: isinstance(node, tirx.Var) and node.same_as(variable)))


def _contains(conditions: list[Any], wanted: Any) -> bool:
    return any(structural.structural_equal(condition, wanted) for condition in conditions)


def _solve(condition: Any, variable: Any) -> tuple[Any | None, Any | None] | None:
    """Half-open range (first, end) of `variable` in which an affine comparison holds; None when not affine."""
    if isinstance(condition, tirx.LE):
        slack = condition.b - condition.a
    elif isinstance(condition, tirx.LT):
        slack = condition.b - condition.a - 1
    elif isinstance(condition, tirx.GE):
        slack = condition.a - condition.b
    elif isinstance(condition, tirx.GT):
        slack = condition.a - condition.b - 1
    else:
        return None
    coefficients = sym.detect_linear_equation(slack, [variable])
    if len(coefficients) != 2 or not isinstance(coefficients[0], tirx.IntImm):
        return None
    factor, base = int(coefficients[0]), coefficients[1]
    if factor > 0:
        return tirx.floordiv(factor - 1 - base, factor), None
    if factor < 0:
        return None, tirx.floordiv(base, -factor) + 1
    return None


def _padding_is_no_op(store: Any) -> bool:
    """Whether a store writes back the old value once its guarded loads deliver the padding value."""
    padded = structural.structural_map(
        store.value, (ir.Call, lambda node: node.args[2] if _is_guard(node) else node)
    )
    value = sym.Analyzer().simplify(padded)
    if isinstance(value, tirx.Max) and isinstance(value.b, tirx.IntImm):
        lowest = int(tirx.min_value(value.b.ty.dtype).value)
        value = value.a if int(value.b) == lowest else value
    old = tirx.BufferLoad(store.buffer, store.indices)
    return bool(structural.structural_equal(value, old))


def _drop(node: Any, common: list[Any]) -> Any:
    if not _is_guard(node):
        return node
    left = [condition for condition in _conjuncts(node.args[0]) if not _contains(common, condition)]
    return tirx.if_then_else(tirx.all(*left), node.args[1], node.args[2]) if left else node.args[1]


def _substitute(root: Any, variable: Any, value: Any) -> Any:
    return structural.structural_map(root, (tirx.Var, lambda node: value if node.same_as(variable) else node))
