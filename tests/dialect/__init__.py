"""Tests of the operator families: types, NumPy semantics against LiteRT, TensorIR and bounds maps."""
