"""Questions and transformations that schedules of a dialect operator's own TensorIR share."""

from __future__ import annotations

from typing import Any

from tvm import ir, s_tir, sym, tirx
from tvm_ffi import structural

# Loops with this annotation are shortened to the iterations inside the image (codegen's ClampWindows).
CLAMP_WINDOW = "tinyml.clamp_window"

_IF_THEN_ELSE = ir.Op.get("prim.if_then_else")


def drop_unit_loops(function: Any) -> Any:
    """The function without loops and block iterators of one iteration, simplified.

    `tensorize` does that to descriptions in part; done to both, a tile and its description are alike for all sizes.
    """

    def drop_loop(loop: Any) -> Any:
        return _substitute(loop.body, {loop.loop_var: loop.min}) if _is_one(loop.extent) else loop

    def drop_iterators(realize: Any) -> Any:
        block = realize.block
        kept = [
            (iterator, value)
            for iterator, value in zip(block.iter_vars, realize.iter_values, strict=True)
            if not _is_one(iterator.dom.extent)
        ]
        single = {it.var: tirx.const(0, "int32") for it in block.iter_vars if _is_one(it.dom.extent)}
        rebuilt = s_tir.SBlock(
            [iterator for iterator, _ in kept],
            [_substitute(region, single) for region in block.reads],
            [_substitute(region, single) for region in block.writes],
            block.name_hint,
            _bounded(_substitute(block.body, single), [iterator for iterator, _ in kept]),
            block.init,
            block.alloc_buffers,
            block.match_buffers,
            block.annotations,
        )
        return s_tir.SBlockRealize([value for _, value in kept], realize.predicate, rebuilt)

    body = structural.structural_map(
        function.body, [(tirx.For, drop_loop), (s_tir.SBlockRealize, drop_iterators)]
    )
    module = tirx.transform.StmtSimplify()(ir.IRModule({"main": function.with_body(body)}))
    return module["main"]


def block_names(function: Any) -> set[str]:
    """Names of all blocks of a function."""
    names: set[str] = set()

    def visit(block: Any) -> Any:
        names.add(str(block.name_hint))
        return block

    structural.structural_map(function.body, (s_tir.SBlock, visit))
    return names


def _is_one(extent: Any) -> bool:
    return isinstance(extent, tirx.IntImm) and int(extent) == 1


def _bounded(root: Any, iterators: list[Any]) -> Any:
    """The body of a block with its conditions simplified for the ranges of the block's iterators.

    `tensorize` does that to descriptions alone: to it, `1 <= j` of a `j` below 2 differs from `j == 1`.
    """
    analyzer = sym.Analyzer()
    for iterator in iterators:
        analyzer.bind(iterator.var, iterator.dom)

    def simplified(call: Any) -> Any:
        if not call.op.same_as(_IF_THEN_ELSE):
            return call
        condition, inside, outside = call.args
        condition = analyzer.simplify(condition)
        return inside if _is_one(condition) else tirx.if_then_else(condition, inside, outside)

    return structural.structural_map(root, (ir.Call, simplified))


def _substitute(root: Any, values: dict[Any, Any]) -> Any:
    def replace(node: Any) -> Any:
        return next((value for variable, value in values.items() if node.same_as(variable)), node)

    return structural.structural_map(root, (tirx.Var, replace))


def blocks(sch: Any) -> list[Any]:
    """Computing blocks of the function, producers before consumers."""
    return list(sch.get_child_blocks(sch.get_sblock("root")))


def is_reduction(sch: Any, block: Any) -> bool:
    """Whether a block carries a reduction axis and says what the reduction starts from."""
    described = sch.get(block)
    return described.init is not None and any(int(axis.iter_type) == 2 for axis in described.iter_vars)


def inline_injective(sch: Any) -> None:
    """Inline every stage without a reduction into its consumers, so that it takes no memory."""
    for block in blocks(sch)[:-1]:
        if not is_reduction(sch, block):
            sch.compute_inline(block)


def largest_divisor(extent: int, limit: int) -> int:
    """Largest divisor of `extent` that is at most `limit`."""
    return max(factor for factor in range(1, limit + 1) if extent % factor == 0)


def extent_of(sch: Any, loop: Any) -> int:
    """Constant extent of a loop."""
    return int(sch.get(loop).extent)


def accumulators(features: frozenset[str]) -> int:
    """How many accumulators of a scalar tile stay in registers beside operands and addresses."""
    return 2 if "thumb1" in features else 4
