"""TVMScript's decorators, parsed in a fraction of the time: a network's functions are the same few texts many times.

TVM's parser reads the source again for every function it makes, compiles every part of an expression by itself and
looks through the call stack with the source lines of every frame. Here the source is read once per text, an expression
is compiled once and evaluated as a whole, and the stack is not read at all. What the text means, and its errors, stay
TVM's: statements are visited by its parser, and expressions that it does not take as Python does (conditions, slices)
go its own way. One of the thin modules that touch TVM's unstable Python API.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType
from typing import Any

from tvm import IRModule
from tvm.s_tir.analysis import verify_well_formed
from tvm.script.ir_builder import IRBuilder
from tvm.script.parser._core import Parser, doc, utils
from tvm.script.parser.core.diagnostics import Source
from tvm.script.parser.core.error import ParserError
from tvm.script.parser.core.parser import ScriptMacro
from tvm.tirx.script.parser.entry import TIRMacro

_OTHERWISE_EVALUATED = (doc.BoolOp, doc.IfExp, doc.Lambda, doc.Slice)
_TAKE_SLICES = ("reads", "writes")


def prim_func(*, s_tir: bool) -> Callable[[Callable[..., Any]], Any]:
    """Decorator that makes a TensorIR function of a Python function, as `T.prim_func` does.

    s_tir: must be True (functions with blocks); the parser reads it from the source.
    Annotations may use names of the module only.
    """

    def parse(function: Callable[..., Any]) -> Any:
        source = _source(function.__code__)
        parser = _Parser(source, {function.__name__: function.__annotations__})
        with IRBuilder() as builder:
            try:
                parser.parse(utils.inspect_function_capture(function))
            except ParserError as error:
                parser.report_error(error.node, error.args[0])
        parsed = builder.get()
        verify_well_formed(IRModule.from_expr(parsed))
        return parsed

    # How the parser recognises its own decorators.
    parse.dispatch_token = "tirx"  # type: ignore[attr-defined]
    return parse


def macro(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator that makes statements to be used in other functions, as `T.macro` does."""

    @cache
    def made() -> _Macro:
        # Not before it is used: most programs use few macros of the many that they import.
        captured = utils.inspect_function_capture(function)
        return _Macro(_source(function.__code__), captured, function, hygienic=True)

    def call(*arguments: Any, **named: Any) -> Any:
        return made()(*arguments, **named)

    return call


prim_func.dispatch_token = "tirx"  # type: ignore[attr-defined]
macro.dispatch_token = "tir.macro"  # type: ignore[attr-defined]


class _Source(Source):  # type: ignore[misc]
    """Source that is read and parsed once."""

    def __init__(self, program: Any) -> None:
        super().__init__(program)
        self._tree = super().as_ast()

    def as_ast(self) -> Any:
        return self._tree


@cache
def _source(code: CodeType) -> _Source:
    """Source of a function; the same for all functions made of one text."""
    return _Source(code)


class _Parser(Parser):  # type: ignore[misc]
    """TVM's parser, but for the evaluation of expressions."""

    def eval_expr(self, node: Any, extra_vars: dict[str, Any] | None = None) -> Any:
        code = _expression(_Identity(node))
        if code is None:
            return super().eval_expr(node, extra_vars)
        names = {**self.var_table.get(), **(extra_vars or {}), ScriptMacro.parser_object_name: self}
        return eval(code, names)


class _Macro(TIRMacro):  # type: ignore[misc]
    """TVM's macro, but for how it finds the parser that uses it, and that blocks are numbered within a function."""

    _user: Any = None

    def _find_parser_def(self) -> Any:
        frame = sys._getframe()
        while frame is not None:
            parser = frame.f_globals.get(ScriptMacro.parser_object_name)
            if parser is not None:
                if parser is not self._user:
                    self._user, self.call_count = parser, 0
                return parser
            frame = frame.f_back  # type: ignore[assignment]
        raise RuntimeError(f"macro {self.func.__name__} is used outside of a TensorIR function")


class _Identity:
    """A node as a key: equal to itself only, and alive as long as the key."""

    def __init__(self, node: Any) -> None:
        self.node = node

    def __hash__(self) -> int:
        return id(self.node)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.node is self.node


@cache
def _expression(key: _Identity) -> CodeType | None:
    """An expression as Python evaluates it; None where the parser gives it another meaning."""
    node = key.node
    takes_slices = isinstance(node, doc.Call) and getattr(node.func, "attr", None) in _TAKE_SLICES
    special = tuple(one for one in _OTHERWISE_EVALUATED if not (takes_slices and one is doc.Slice))
    if any(isinstance(part, special) for part in _parts(node)):
        return None
    expression = doc.from_doc(node)
    if isinstance(expression, ast.expr):
        expression = ast.Expression(body=expression)
    return compile(ast.fix_missing_locations(expression), "<script>", "eval")


def _parts(node: Any) -> Iterator[Any]:
    """A node and everything below it."""
    if isinstance(node, (list, tuple)):
        for one in node:
            yield from _parts(one)
    elif isinstance(node, doc.AST):
        yield node
        for name in type(node)._FIELDS:
            yield from _parts(getattr(node, name, None))
