"""A .pt2 file, as `torch.export.save` writes it, as a QDQ network.

PyTorch's loader unpickles what a file holds, takes up compiled code in it and executes its guards; its own warning is
never to load what is not trusted. So it is given a copy of the file that holds a graph and tensors only: members of
known names, no guards, no samples, no expressions, and pickles only where PyTorch's restricted unpickler reads them.
"""

from __future__ import annotations

import io
import json
import logging
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ...errors import ModelError, TinyMLError, UnsupportedError
from ..naming import identifier
from ..qdq.network import Network

if TYPE_CHECKING:
    from torch.export import ExportedProgram

MAX_ARCHIVE_BYTES = 1 << 28
"""Bytes of all members, unpacked."""
_GRAPH, _SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
_WEIGHTS, _CONSTANTS = "data/weights/", "data/constants/"
_CONFIGS = {
    _WEIGHTS: f"{_WEIGHTS}model_weights_config.json",
    _CONSTANTS: f"{_CONSTANTS}model_constants_config.json",
}
_TENSOR = re.compile(r"(data/weights/weight|data/constants/tensor)_\d+")
# What they say when they are imported concerns accelerators that are not used here.
_IMPORT_LOGGERS = ("torchao", "torch.utils._pytree")
_MARKS = {"archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little"}
# Numbers that PyTorch adds, and files of the user's.
_NUMBERS, _EXTRA = ".data/", "extra/"
# Sizes that are not numbers are text, which is evaluated.
_EXPRESSIONS = ("as_expr", "expr_str")


def read_archive(path: Path) -> Network:
    """The network of a file; errors as those of `load_program` and `from_pytorch`."""
    program = load_program(path)
    from .reader import read_network

    try:
        return read_network(program, identifier(path.stem), str(path))
    except TinyMLError:
        raise
    except Exception as error:
        # Arguments of operators are whatever the file says, where PyTorch computes shapes without looking at them.
        raise ModelError(f"{path}: contradicts itself ({type(error).__name__}: {error}).") from error


def load_program(path: Path) -> ExportedProgram:
    """The exported program of a file.

    Raises ModelError when it cannot be loaded, contradicts itself or holds anything but tensors and a graph, or when
    the extra `torch` is missing; UnsupportedError when sizes in it are not fixed.
    """
    try:
        with _quiet(*_IMPORT_LOGGERS):
            import torch
            import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401 - knows the operators of quantised programs
    except ImportError as error:
        raise ModelError(
            "reading archives of PyTorch needs torch and torchao, which are not installed: "
            "pip install 'tvm-tinyml[torch]'"
        ) from error
    try:
        copied = _harmless(path, _members(path), torch)
        # PyTorch logs the traceback of a file that it cannot read; the error says it in one line.
        with _quiet("torch.export"):
            program: ExportedProgram = torch.export.load(copied)
        _compare_shapes(program)
        return program
    except TinyMLError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path}: not an exported program of PyTorch, or damaged ({type(error).__name__}). "
            "Write it with torch.export.save."
        ) from error


def _members(path: Path) -> dict[str, bytes]:
    """Contents of all members by their names below the folder that all of them are in."""
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
        if size > MAX_ARCHIVE_BYTES:
            raise ModelError(f"{path}: holds {size:,} bytes, the limit is {MAX_ARCHIVE_BYTES:,}.")
        names = archive.namelist()
        # Reading a member compares its checksum.
        members = {name.partition("/")[2]: archive.read(name) for name in names}
    if len(members) != len(names) or any(members.get(name) != mark for name, mark in _MARKS.items()):
        raise ModelError(
            f"{path}: no archive of the kind that torch.export.save writes today. Export the module with "
            "torch.export.export and save that."
        )
    return members


def _harmless(path: Path, members: Mapping[str, bytes], torch: Any) -> io.BytesIO:
    """A copy of an archive that nothing is executed from when it is loaded."""
    kept = dict.fromkeys((*_MARKS, *_CONFIGS.values(), _GRAPH, _SAMPLES))
    for name in members:
        if name not in kept and not _TENSOR.fullmatch(name) and not name.startswith((_NUMBERS, _EXTRA)):
            raise ModelError(
                f"{path}: holds '{name}', which is neither a graph nor a tensor; it is not loaded. Export the plain "
                "module."
            )
    graph = json.loads(members[_GRAPH])
    if _mentions(graph, _EXPRESSIONS):
        raise UnsupportedError(f"{path}: sizes in it are not fixed; export without dynamic shapes.")
    copied = {name: data for name, data in members.items() if not name.startswith(_EXTRA)}
    copied[_GRAPH] = json.dumps({**graph, "guards_code": []}).encode()
    copied[_SAMPLES] = b""
    for folder, config in _CONFIGS.items():
        for payload in json.loads(members[config])["config"].values():
            _check_payload(path, payload, folder, members, torch)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, data in copied.items():
            archive.writestr(f"archive/{name}", data)
    written.seek(0)
    return written


def _check_payload(
    path: Path, payload: Mapping[str, Any], folder: str, members: Mapping[str, bytes], torch: Any
) -> None:
    """Refuse a weight or constant that is an object, or that takes more memory than the file."""
    name = f"{folder}{payload['path_name']}"
    if not _TENSOR.fullmatch(name):
        _refuse_object(path, name)
    data = members[name]
    if payload["use_pickle"]:
        try:
            torch.load(io.BytesIO(data), weights_only=True)
        except Exception:
            _refuse_object(path, name)
    elif not data and all(size["as_int"] for size in payload["tensor_meta"]["sizes"]):
        raise ModelError(f"{path}: '{name}' is empty, the file is damaged. Write it with torch.export.save.")


def _refuse_object(path: Path, name: str) -> NoReturn:
    raise ModelError(f"{path}: '{name}' is no tensor but an object, or damaged; it is not loaded.")


def _mentions(document: Any, keys: tuple[str, ...]) -> bool:
    if isinstance(document, dict):
        return any(key in keys or _mentions(value, keys) for key, value in document.items())
    return isinstance(document, list) and any(_mentions(one, keys) for one in document)


def _compare_shapes(program: ExportedProgram) -> None:
    """Compare the types and shapes that a program states with those that its operators make; ValueError."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    class Shapes(torch.fx.Interpreter):
        def run_node(self, n: Any) -> Any:
            made = super().run_node(n)
            stated = n.meta.get("val")
            if isinstance(stated, torch.Tensor) and (
                not isinstance(made, torch.Tensor) or (made.shape, made.dtype) != (stated.shape, stated.dtype)
            ):
                raise ValueError(f"{n.name} is not what is stated")
            return made

    module = program.module()
    inputs = [node.meta["val"] for node in module.graph.nodes if node.op == "placeholder"]
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        Shapes(module).run(*(torch.empty(one.shape, dtype=one.dtype) for one in inputs))


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Silence loggers for a while."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
