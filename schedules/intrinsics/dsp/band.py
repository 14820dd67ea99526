"""A band of an image with borders: rows copied to scratch whose other bytes hold one value."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import MicroKernel
from .assembly import Intrinsic, naked_function

# A storage scope of its own: TVM would let int16 scratch move in when the band is not read any more, and then find
# that the types differ.
BAND_SCOPE = "global.band"
MIN_BAND_BYTES = 64


@script.macro
def copy_stage(image: Any, band: Any, extent: Any, source: Any, target: Any) -> None:
    """Rows and bytes of an image into a band with borders; source and target: first row and byte of each."""
    T.reads(image[source[0] : source[0] + extent[0], source[1] : source[1] + extent[1]])
    T.writes(band[target[0] : target[0] + extent[0], target[1] : target[1] + extent[1]])
    for r, i in T.grid(extent[0], extent[1]):
        with T.sblock("copy_value"):
            vr, vi = T.axis.remap("SS", [r, i])
            band[target[0] + vr, target[1] + vi] = image[source[0] + vr, source[1] + vi]


def copy_rows(rows: int, length: int, image_pitch: int, band_pitch: int) -> Intrinsic:
    """Rows of some bytes; see `copy_stage`."""
    micro_kernel = _copy_function()
    function, extent = micro_kernel.name, (rows << 16) + length

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(s: T.handle, b: T.handle) -> None:
            image = T.match_buffer(s, (rows, length), "int8", offset_factor=1, strides=[image_pitch, 1])
            band = T.match_buffer(
                b, (rows, length), "int8", offset_factor=1, strides=[band_pitch, 1], scope=BAND_SCOPE
            )
            with T.sblock("root"):
                copy_stage(image, band, (rows, length), (0, 0), (0, 0))

        @script.prim_func(s_tir=True)
        def implementation(s: T.handle, b: T.handle) -> None:
            image = T.match_buffer(s, (rows, length), "int8", offset_factor=1, strides=[image_pitch, 1])
            band = T.match_buffer(
                b, (rows, length), "int8", offset_factor=1, strides=[band_pitch, 1], scope=BAND_SCOPE
            )
            with T.sblock("root"):
                T.reads(image[0:rows, 0:length])
                T.writes(band[0:rows, 0:length])
                T.evaluate(
                    T.call_extern(
                        "int32",
                        function,
                        image.access_ptr("r"),
                        band.access_ptr("w"),
                        extent,
                        band_pitch,
                        image_pitch,
                    )
                )

        return description, implementation

    return Intrinsic(f"{function}_{rows}_{length}_{image_pitch}_{band_pitch}", micro_kernel, build)


def _copy_function() -> MicroKernel:
    """r2 counts rows; r5, r6: from a row's end to the next; r4: bytes of a row, r7 what is left of them."""
    pair = ["ldr r8, [r0], #4", "ldr r9, [r0], #4", "str r8, [r1], #4", "str r9, [r1], #4"]
    lines = ["push {r4-r9, lr}", "ldr r5, [sp, #28]", "uxth r4, r2", "lsr r2, r2, #16"]
    lines += ["sub r5, r4", "sub r6, r3, r4", "1:", "subs r7, r4, #16", "blt 3f"]
    lines += [
        "2:",
        *pair,
        *pair,
        "subs r7, #16",
        "bge 2b",
        "3:",
        "adds r7, #16",
        "beq 6f",
        "subs r7, #4",
        "blt 5f",
    ]
    lines += [
        "4:",
        "ldr r8, [r0], #4",
        "str r8, [r1], #4",
        "subs r7, #4",
        "bge 4b",
        "5:",
        "adds r7, #4",
        "beq 6f",
    ]
    lines += ["7:", "ldrb r8, [r0], #1", "strb r8, [r1], #1", "subs r7, #1", "bne 7b"]
    lines += ["6:", "add r0, r5", "add r1, r6", "subs r2, #1", "bne 1b", "pop {r4-r9, pc}"]
    parameters = "const int8_t *image, int8_t *band, int32_t extent, int32_t band_pitch, int32_t image_pitch"
    return naked_function("tinyml_dsp_copy", parameters, lines)


@script.macro
def blank_stage(band: Any, rows: Any, pitch: Any, value: Any) -> None:
    """All of a band becomes `value`."""
    T.reads()
    T.writes(band[0:rows, 0:pitch])
    for r, i in T.grid(rows, pitch):
        with T.sblock("blank_value"):
            vr, vi = T.axis.remap("SS", [r, i])
            band[vr, vi] = T.int8(value)


def blank_band(rows: int, pitch: int, value: int, fill: MicroKernel) -> Intrinsic:
    """Fill a band; see `blank_stage`. The band's size is a multiple of four."""
    words, function = rows * pitch // 4, fill.name
    pattern = (value & 0xFF) * 0x01010101
    pattern -= (pattern >> 31) << 32

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(b: T.handle) -> None:
            band = T.match_buffer(b, (rows, pitch), "int8", offset_factor=1, scope=BAND_SCOPE)
            with T.sblock("root"):
                blank_stage(band, rows, pitch, value)

        @script.prim_func(s_tir=True)
        def implementation(b: T.handle) -> None:
            band = T.match_buffer(b, (rows, pitch), "int8", offset_factor=1, scope=BAND_SCOPE)
            with T.sblock("root"):
                T.reads()
                T.writes(band[0:rows, 0:pitch])
                T.evaluate(T.call_extern("int32", function, band.access_ptr("w"), pattern, words))

        return description, implementation

    return Intrinsic(f"{function}_{rows}_{pitch}_{value}_bytes", fill, build)
