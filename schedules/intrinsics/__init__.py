"""Micro-kernels and the TensorIR that describes them: one file per instruction set."""
