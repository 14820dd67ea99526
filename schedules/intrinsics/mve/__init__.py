"""Micro-kernels for Arm MVE (Helium), Armv8.1-M Architecture Reference Manual: assembly made by small generators."""
