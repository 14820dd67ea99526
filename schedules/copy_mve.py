"""Copied and filled rows on Arm MVE: TensorIR descriptions of `intrinsics/mve/copy.py` and their binding."""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .intrinsics.mve.copy import COPY, COPY_SHORT, FILL


@script.macro
def copy_stage(target: Any, source: Any, offsets: Any, count: Any) -> None:
    """target[row, column + i] = source[row, column + i]; offsets: those rows and columns."""
    for i in range(count):
        with T.sblock("copy_value"):
            vi = T.axis.spatial(count, i)
            target[offsets[0], offsets[1] + vi] = source[offsets[2], offsets[3] + vi]


@script.macro
def fill_stage(target: Any, offsets: Any, count: Any, value: Any) -> None:
    """target[row, column + i] = value; offsets: row and column."""
    for i in range(count):
        with T.sblock("fill_value"):
            vi = T.axis.spatial(count, i)
            target[offsets[0], offsets[1] + vi] = T.int8(value)


@script.macro
def copy_rows_stage(target: Any, source: Any, offsets: Any, rows: Any, count: Any, spread: Any) -> None:
    """target[r, column + i] = source[row + r * spread, i]; offsets: that column and row."""
    for r, i in T.grid(rows, count):
        with T.sblock("copy_value"):
            vr, vi = T.axis.remap("SS", [r, i])
            target[vr, offsets[0] + vi] = source[offsets[1] + vr * spread, vi]


@script.macro
def fill_rows_stage(target: Any, rows: Any, count: Any, value: Any) -> None:
    """target[row, column] = value, everywhere."""
    for r, i in T.grid(rows, count):
        with T.sblock("fill_value"):
            vr, vi = T.axis.remap("SS", [r, i])
            target[vr, vi] = T.int8(value)


@cache
def register_copy(count: int) -> str:
    """Register the intrinsic that copies `count` bytes and return its name."""

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def copy(source_handle: T.handle, target_handle: T.handle) -> None:
            source = T.match_buffer(
                source_handle, (1, count), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            target = T.match_buffer(
                target_handle, (1, count), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                T.reads(source[0:1, 0:count])
                T.writes(target[0:1, 0:count])
                if computes:
                    copy_stage(target, source, (0, 0, 0, 0), count)
                else:
                    T.evaluate(
                        T.call_extern(
                            "int32", COPY.name, target.access_ptr("w"), source.access_ptr("r"), count
                        )
                    )

        return copy

    name = f"{COPY.name}_{count}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name


@cache
def register_fill(count: int, value: int) -> str:
    """Register the intrinsic that fills `count` bytes with `value` and return its name."""

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def fill(target_handle: T.handle) -> None:
            target = T.match_buffer(
                target_handle, (1, count), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                T.reads()
                T.writes(target[0:1, 0:count])
                if computes:
                    fill_stage(target, (0, 0), count, value)
                else:
                    T.evaluate(T.call_extern("int32", FILL.name, target.access_ptr("w"), value, count))

        return fill

    name = f"{FILL.name}_{count}_with_{value}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name


@cache
def register_copy_rows(rows: int, count: int, spread: int) -> str:
    """Register the intrinsic that copies `count` bytes, at most a vector, of each of some rows and return its name.

    spread: rows of the source from one to the next.
    """
    reach = (rows - 1) * spread + 1

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def copy(source_handle: T.handle, target_handle: T.handle) -> None:
            source = T.match_buffer(
                source_handle, (reach, count), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            target = T.match_buffer(
                target_handle, (rows, count), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                T.reads(source[0:reach, 0:count])
                T.writes(target[0:rows, 0:count])
                if computes:
                    copy_rows_stage(target, source, (0, 0), rows, count, spread)
                else:
                    T.evaluate(
                        T.call_extern(
                            "int32",
                            COPY_SHORT.name,
                            target.access_ptr("w"),
                            source.access_ptr("r"),
                            count,
                            rows,
                            target.strides[0],
                            source.strides[0] * spread,
                        )
                    )

        return copy

    name = f"{COPY_SHORT.name}_{rows}x{count}_every{spread}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name


@cache
def register_fill_rows(rows: int, count: int, value: int) -> str:
    """Register the intrinsic that fills some whole rows of `count` bytes with `value` and return its name."""

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def fill(target_handle: T.handle) -> None:
            target = T.match_buffer(target_handle, (rows, count), "int8", offset_factor=1)
            with T.sblock("root"):
                T.reads()
                T.writes(target[0:rows, 0:count])
                if computes:
                    fill_rows_stage(target, rows, count, value)
                else:
                    T.evaluate(T.call_extern("int32", FILL.name, target.access_ptr("w"), value, rows * count))

        return fill

    name = f"{FILL.name}_{rows}x{count}_with_{value}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name
