"""The model's name: prefix of everything that is generated, from the name of its file."""

from __future__ import annotations

import re

DEFAULT_NAME = "model"


def identifier(text: str) -> str:
    """`text` as a C identifier."""
    cleaned = re.sub(r"\W", "_", text, flags=re.ASCII).strip("_")
    if not cleaned:
        return DEFAULT_NAME
    return cleaned if cleaned[0].isalpha() else f"{DEFAULT_NAME}_{cleaned}"
