"""Micro-kernels of the Arm DSP extension (Cortex-M4, M7, M33).

Two 16-bit products per instruction (SMLAD) on operands that lie in scratch as int16, one word holding two
neighbours of the reduction. Four int8 values (0, 1, 2, 3) become the two words (0, 2) and (1, 3), which is what one
SXTB16 each delivers; activations and weights share this order, so their products do not notice it.
"""

from __future__ import annotations

from .assembly import Intrinsic, schedule
from .band import BAND_SCOPE, MIN_BAND_BYTES, blank_band, blank_stage, copy_rows, copy_stage
from .dense import (
    DENSE_CALL_INSTRUCTIONS,
    ROWS,
    dense_rows,
    dense_stages,
    pack_vector,
    vector_groups,
    vector_instructions,
    vector_stage,
)
from .depthwise import Window, depthwise_plane, plane_stages
from .depthwise_pairs import LANES as ROW_LANES
from .depthwise_pairs import DepthwiseRow, RowOperands, RowTile, edge_biases, in_slots, pack_pairs
from .depthwise_parts import plane_parts
from .direct import MAX_SUM, direct_product, direct_stages, direct_strip, pack_scaled, scaled_bias
from .elementwise import ExtremeVector, Offsets, SumVector
from .epilogue import AWAY, Epilogue, epilogue_of, factor_epilogue
from .matrix import matrix_strip, strip_instructions, strip_stages
from .panel import panel_bias, panel_instructions, panel_sizes, panel_stages, panel_strip
from .pixels import LANES as SUM_LANES
from .pixels import longest_run, sum_instructions, sum_pixels
from .planes import (
    LANES,
    Planes,
    fill_function,
    fill_planes,
    fill_stage,
    reachable,
    split_instructions,
    split_rows,
    split_stage,
)
from .pool import PoolWindow, divides, pool_instructions
from .product import ProductVector
from .scratch import (
    MIN_SCRATCH,
    expand_instructions,
    expand_stage,
    expand_weights,
    pixel_pairs,
    weight_groups,
)
from .table import ENTRIES, TABLE_CALL_INSTRUCTIONS, TABLE_INSTRUCTIONS, ByteTable
from .windows import (
    Windows,
    pack_windows,
    window_instructions,
    window_stages,
    window_weights,
)

__all__ = [
    "AWAY",
    "BAND_SCOPE",
    "DENSE_CALL_INSTRUCTIONS",
    "ENTRIES",
    "LANES",
    "MAX_SUM",
    "MIN_BAND_BYTES",
    "MIN_SCRATCH",
    "ROWS",
    "ROW_LANES",
    "SUM_LANES",
    "TABLE_CALL_INSTRUCTIONS",
    "TABLE_INSTRUCTIONS",
    "ByteTable",
    "DepthwiseRow",
    "Epilogue",
    "ExtremeVector",
    "Intrinsic",
    "Offsets",
    "Planes",
    "PoolWindow",
    "ProductVector",
    "RowOperands",
    "RowTile",
    "SumVector",
    "Window",
    "Windows",
    "blank_band",
    "blank_stage",
    "copy_rows",
    "copy_stage",
    "dense_rows",
    "dense_stages",
    "depthwise_plane",
    "direct_product",
    "direct_stages",
    "direct_strip",
    "divides",
    "edge_biases",
    "epilogue_of",
    "expand_instructions",
    "expand_stage",
    "expand_weights",
    "factor_epilogue",
    "fill_function",
    "fill_planes",
    "fill_stage",
    "in_slots",
    "longest_run",
    "matrix_strip",
    "pack_pairs",
    "pack_scaled",
    "pack_vector",
    "pack_windows",
    "panel_bias",
    "panel_instructions",
    "panel_sizes",
    "panel_stages",
    "panel_strip",
    "pixel_pairs",
    "plane_parts",
    "plane_stages",
    "pool_instructions",
    "reachable",
    "scaled_bias",
    "schedule",
    "split_instructions",
    "split_rows",
    "split_stage",
    "strip_instructions",
    "strip_stages",
    "sum_instructions",
    "sum_pixels",
    "vector_groups",
    "vector_instructions",
    "vector_stage",
    "weight_groups",
    "window_instructions",
    "window_stages",
    "window_weights",
]
