"""Graph passes on the dialect, one per file; each is a tvm.transform pass and idempotent.

A pass keeps every output and every tensor that remains bit for bit, and the attributes `name`, `tensor`, `scale`
and `zero_point` of the calls it does not rewrite. How many changes it made goes to the log.
"""

from .accumulate_pixels import AccumulatePixels
from .apply_rounding import ApplyRounding
from .dead_code import DeadCode
from .drop_identity import DropIdentity
from .fold_constant_channels import FoldConstantChannels
from .fold_constants import FoldConstants
from .fold_input_zero_point import FoldInputZeroPoint
from .fold_pad import FoldPad
from .footprint import Footprint
from .group_channels import GroupChannels
from .join_unary import JoinUnary
from .materialize_outputs import MaterializeOutputs
from .merge_clamps import MergeClamps
from .merge_equal_calls import MergeEqualCalls
from .patch_inference import PatchInference, plan_of
from .redistribute_receptive_field import RedistributeReceptiveField
from .schedule_for_memory import ScheduleForMemory
from .share_buffers import ShareBuffers

__all__ = [
    "AccumulatePixels",
    "ApplyRounding",
    "DeadCode",
    "DropIdentity",
    "FoldConstantChannels",
    "FoldConstants",
    "FoldInputZeroPoint",
    "FoldPad",
    "Footprint",
    "GroupChannels",
    "JoinUnary",
    "MaterializeOutputs",
    "MergeClamps",
    "MergeEqualCalls",
    "PatchInference",
    "RedistributeReceptiveField",
    "ScheduleForMemory",
    "ShareBuffers",
    "plan_of",
]
