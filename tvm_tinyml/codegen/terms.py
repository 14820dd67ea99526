"""Sums and products in C, with nothing where a constant changes nothing."""

from __future__ import annotations


def times(name: str, factor: int) -> str:
    """A name times a constant."""
    return name if factor == 1 else f"{name} * {factor}"


def plus(text: str, offset: int) -> str:
    """A term plus a constant."""
    return text if offset == 0 else f"{text} {'+' if offset > 0 else '-'} {abs(offset)}"


def scaled(text: str, factor: int) -> str:
    """A sum times a constant."""
    if factor == 1:
        return text
    return f"({text}) * {factor}" if " " in text else f"{text} * {factor}"
