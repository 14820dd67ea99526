"""Attributes shared by convolutions and poolings: strides, dilation and padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....dialect.windows import same_padding
from ..builder import reject
from ..network import Call

SPATIAL = 2


def window_options(
    call: Call, extents: Sequence[int], kernel: Sequence[int], names: tuple[str, str, str, str]
) -> dict[str, Any]:
    """Strides, dilation where asked for, and padding as (top, left, bottom, right).

    extents: height and width of the input. names: options of the strides and the dilation, height first.
    """
    strides = _pair(call, "strides")
    dilation = _pair(call, "dilations")
    if len(kernel) != SPATIAL:
        reject(f"its window has {len(kernel)} dimensions, supported are {SPATIAL}")
    mode = call.attrs.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        padding = tuple(int(one) for one in call.attrs.get("pads", (0, 0, 0, 0)))
    elif mode == "VALID":
        padding = (0, 0, 0, 0)
    else:
        both = [same_padding(*one) for one in zip(extents, kernel, strides, dilation, strict=True)]
        # SAME_LOWER puts the odd element in front.
        sides = [(before, after) if mode == "SAME_UPPER" else (after, before) for before, after in both]
        padding = (sides[0][0], sides[1][0], sides[0][1], sides[1][1])
    if len(padding) != 2 * SPATIAL or min(padding) < 0:
        reject(f"its padding {list(padding)} is not four numbers from 0")
    values = (*strides, *dilation)
    return {"padding": padding} | {name: value for name, value in zip(names, values, strict=True) if name}


def _pair(call: Call, name: str) -> list[int]:
    values = [int(one) for one in call.attrs.get(name, (1,) * SPATIAL)]
    if len(values) != SPATIAL:
        reject(f"attribute {name} has {len(values)} entries, supported are {SPATIAL}")
    return values
