"""Deterministic damage to zip archives, for tests that a reader neither crashes nor loads what it should not.

Half of the mutants are damaged as bytes; the other half are sound archives in which members were damaged, so that
checksums are right and what reads the members is reached.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

STRANGE: tuple[Any, ...] = (None, True, -1, 0, 2**31, 2**63, 1e300, "", "x", "__import__('os')", [], {}, [[]])


def archive_mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` damaged copies of an archive; the same arguments give the same copies."""
    generator = np.random.default_rng(seed)
    for index in range(count):
        yield _damaged_bytes(data, generator) if index % 4 == 0 else _damaged_member(data, generator)


def rewritten(data: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """An archive with members replaced, added, or left out where they are None, by their full names."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, contents in (members | dict(changes)).items():
            if contents is not None:
                archive.writestr(name, contents)
    return written.getvalue()


def _damaged_bytes(data: bytes, generator: np.random.Generator) -> bytes:
    mutant = bytearray(data)
    if generator.random() < 0.3:
        del mutant[int(generator.integers(len(mutant))) :]
    else:
        for _ in range(int(generator.integers(1, 5))):
            mutant[int(generator.integers(len(mutant)))] ^= 1 << int(generator.integers(8))
    return bytes(mutant)


def _damaged_member(data: bytes, generator: np.random.Generator) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        documents = [name for name in archive.namelist() if name.endswith(".json")]
        others = [name for name in archive.namelist() if name not in documents]
        # What states the meaning of the rest is worth the most wounds.
        chosen = documents if generator.random() < 0.8 else others
        name = chosen[int(generator.integers(len(chosen)))]
        contents = archive.read(name)
    if name in documents:
        document = json.loads(contents)
        places = list(_places(document))
        for _ in range(int(generator.integers(1, 3))):
            holder, key = places[int(generator.integers(len(places)))]
            holder[key] = _other(holder[key], generator)
        return rewritten(data, {name: json.dumps(document).encode()})
    if generator.random() < 0.3:
        return rewritten(data, {name: None})
    return rewritten(data, {name: contents[: int(generator.integers(len(contents) + 1))]})


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a document, as what holds it and the key there."""
    keys: Any = document if isinstance(document, dict) else range(len(document))
    for key in keys:
        yield document, key
        if isinstance(document[key], (dict, list)):
            yield from _places(document[key])


def _other(value: Any, generator: np.random.Generator) -> Any:
    """A value near the old one, or one of another kind."""
    if isinstance(value, int) and generator.random() < 0.7:
        return value + int(generator.integers(-3, 4))
    return STRANGE[int(generator.integers(len(STRANGE)))]
