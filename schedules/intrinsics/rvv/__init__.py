"""RISC-V vector micro-kernels (RVV 1.0, Zve32x, VLEN of 128 bits or more), one family per module."""
