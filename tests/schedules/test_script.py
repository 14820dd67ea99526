"""Functions parsed by the schedules' decorators are the ones that TVM's own decorators make."""

from __future__ import annotations

from typing import Any

import pytest
from tvm.error import DiagnosticError
from tvm.ir import assert_structural_equal
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from tvm_tinyml.schedules import script


@script.macro
def add(source: Any, result: Any, index: Any, twice: bool) -> None:
    if twice:
        result[index] = source[index] + source[index]
    else:
        result[index] = source[index] + 1


@T.macro
def add_by_tvm(source: Any, result: Any, index: Any, twice: bool) -> None:
    if twice:
        result[index] = source[index] + source[index]
    else:
        result[index] = source[index] + 1


def ours(size: int, twice: bool) -> Any:
    @script.prim_func(s_tir=True)
    def main(source_handle: T.handle, result_handle: T.handle) -> None:
        source = T.match_buffer(source_handle, (size,), "int32")
        result = T.match_buffer(result_handle, (size,), "int32")
        for first in range(size // 4):
            with T.sblock("four"):
                block = T.axis.spatial(size // 4, first)
                T.reads(source[block * 4 : block * 4 + 4])
                T.writes(result[block * 4 : block * 4 + 4])
                for index in range(4 if twice else 2):
                    if block * 4 + index < size - 1 and block > 0:
                        add(source, result, block * 4 + index, twice)

    return main


def theirs(size: int, twice: bool) -> Any:
    @T.prim_func(s_tir=True)
    def main(source_handle: T.handle, result_handle: T.handle) -> None:
        source = T.match_buffer(source_handle, (size,), "int32")
        result = T.match_buffer(result_handle, (size,), "int32")
        for first in range(size // 4):
            with T.sblock("four"):
                block = T.axis.spatial(size // 4, first)
                T.reads(source[block * 4 : block * 4 + 4])
                T.writes(result[block * 4 : block * 4 + 4])
                for index in range(4 if twice else 2):
                    if block * 4 + index < size - 1 and block > 0:
                        add_by_tvm(source, result, block * 4 + index, twice)

    return main


@pytest.mark.parametrize("size", [8, 64])
@pytest.mark.parametrize("twice", [False, True])
def test_functions_are_those_of_the_parser_of_tvm(size: int, twice: bool) -> None:
    assert_structural_equal(ours(size, twice), theirs(size, twice), map_free_vars=True)


def test_blocks_of_macros_are_numbered_within_a_function() -> None:
    @script.macro
    def block(source: Any, result: Any, size: Any) -> None:
        for index in range(size):
            with T.sblock("copy"):
                at = T.axis.spatial(size, index)
                result[at] = source[at]

    def names() -> list[str]:
        @script.prim_func(s_tir=True)
        def main(source_handle: T.handle, result_handle: T.handle) -> None:
            source = T.match_buffer(source_handle, (4,), "int32")
            result = T.match_buffer(result_handle, (4,), "int32")
            block(source, result, 4)
            block(source, result, 4)

        return [line.split('"')[1] for line in main.script().splitlines() if 'sblock("copy' in line]

    assert names() == names() == ["copy", "copy_1"]


def test_the_same_text_with_other_values_is_another_function() -> None:
    with pytest.raises(ValueError, match="StructuralEqual"):
        assert_structural_equal(ours(8, True), ours(16, True), map_free_vars=True)


def test_an_unknown_name_is_an_error_that_says_so() -> None:
    with pytest.raises(DiagnosticError, match="nowhere"):

        @script.prim_func(s_tir=True)
        def main(handle: T.handle) -> None:
            buffer = T.match_buffer(handle, (4,), "int32")
            for index in range(4):
                buffer[index] = nowhere  # type: ignore[name-defined]  # noqa: F821


def test_a_macro_outside_of_a_function_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="outside"):
        add(None, None, 0, False)
