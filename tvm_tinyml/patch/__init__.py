"""Patch inference: which operators stream rows and strips through line buffers, and in what order.

The idea of running the early, large part of a network piece by piece is MCUNetV2's (Lin et al., NeurIPS 2021);
keeping rows between pieces instead of computing them again is StreamNet's (Zheng et al., NeurIPS 2023).
"""

from .plan import PatchPlan, Region, Segment
from .region import Node, RegionShape, SegmentStage, Stage, shape_region

__all__ = ["Node", "PatchPlan", "Region", "RegionShape", "Segment", "SegmentStage", "Stage", "shape_region"]
