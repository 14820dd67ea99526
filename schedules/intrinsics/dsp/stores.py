"""Stores of one channel of neighbouring pixels."""

from __future__ import annotations

from collections.abc import Sequence


def neighbour_stores(sums: Sequence[str], place: str, step: str, free: str) -> list[str]:
    """Store up to seven registers as bytes.

    place, step: registers of the first one's address and of the distance to the next. free: one that is overwritten.
    """
    places = [f"[{place}]", f"[{place}, {step}]", f"[{place}, {step}, lsl #1]", f"[{free}, {step}, lsl #1]"]
    places += [f"[{place}, {step}, lsl #2]", f"[{free}, {step}, lsl #2]", f"[{free}, {step}, lsl #2]"]
    stores = [f"strb {one}, {at}" for one, at in zip(sums, places, strict=False)]
    # From the second one on, then from the third.
    stores[6:6] = [f"add {free}, {step}"] * (len(sums) > 6)
    stores[3:3] = [f"add {free}, {place}, {step}"] * (len(sums) > 3)
    return stores
