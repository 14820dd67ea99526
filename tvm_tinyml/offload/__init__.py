"""Offload to an Ethos-U: which operators it computes, networks that Vela makes of them, and the graph with those."""

from __future__ import annotations

from .partition import Offloaded, offload
from .report import Network, Placement

__all__ = ["Network", "Offloaded", "Placement", "offload"]
