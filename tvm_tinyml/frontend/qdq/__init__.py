"""Quantised networks in the form of float operators between QuantizeLinear and DequantizeLinear (QDQ)."""

from __future__ import annotations

from .importer import graph_of, import_network
from .network import Call, Network, Value

__all__ = ["Call", "Network", "Value", "graph_of", "import_network"]
