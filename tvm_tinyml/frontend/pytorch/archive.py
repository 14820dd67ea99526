"""A .pt2 file, as `torch.export.save` writes it, as a QDQ network."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import ModelError
from ..qdq.network import Network

DEFAULT_NAME = "model"


def read_archive(path: Path) -> Network:
    """The network of a file. Loading it can run code from it: ask first.

    Raises ModelError when it cannot be loaded or the extra `torch` is missing, UnsupportedError as `from_pytorch`.
    """
    try:
        import torch
        import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401 - knows the operators of quantised programs
    except ImportError as error:
        raise ModelError(
            "reading archives of PyTorch needs torch and torchao, which are not installed: "
            "pip install 'tvm-tinyml[torch]'"
        ) from error
    from .reader import read_network

    try:
        program = torch.export.load(path)
    except Exception as error:
        raise ModelError(
            f"{path}: not an exported program of PyTorch, or damaged ({type(error).__name__}). "
            "Write it with torch.export.save."
        ) from error
    name = re.sub(r"\W", "_", path.stem, flags=re.ASCII).strip("_") or DEFAULT_NAME
    return read_network(program, name if name[0].isalpha() else f"{DEFAULT_NAME}_{name}")
