"""Archives of PyTorch that are damaged or made to harm: one error of ours, and nothing in them is executed."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.mutate_archive import archive_mutations, rewritten
from tests.torch.quantize import quantized
from tvm_tinyml.errors import ModelError, TinyMLError, UnsupportedError
from tvm_tinyml.frontend import from_file
from tvm_tinyml.frontend.pytorch import archive as archive_module

MUTANTS = 60


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4, 3)).eval()
    generator = torch.Generator().manual_seed(3)
    _, program = quantized(network, lambda: torch.randn((1, 3, 4, 4), generator=generator))
    place = tmp_path_factory.mktemp("torch") / "net.pt2"
    torch.export.save(program, place)
    return place.read_bytes()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "net.pt2"


class Bomb:
    """Says so when it is unpickled."""

    went_off = False

    def __reduce__(self) -> Any:
        return (setattr, (Bomb, "went_off", True))


@pytest.fixture(autouse=True)
def quiet_bomb() -> Iterator[None]:
    Bomb.went_off = False
    yield
    assert not Bomb.went_off


def member(data: bytes, end: str) -> tuple[str, bytes]:
    """Full name and contents of a member."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(end)]
        return name, archive.read(name)


def test_mutants_end_in_a_module_or_an_error_of_ours(sound: bytes, place: Path) -> None:
    refused = 0
    for mutant in archive_mutations(sound, MUTANTS, seed=11):
        place.write_bytes(mutant)
        try:
            module, _ = from_file(place, trust=True)
            assert module["main"] is not None
        except TinyMLError:
            refused += 1
    assert refused > MUTANTS // 2


def test_samples_are_not_unpickled(sound: bytes, place: Path) -> None:
    name, _ = member(sound, "sample_inputs/model.pt")
    place.write_bytes(rewritten(sound, {name: pickle.dumps(Bomb())}))
    module, _ = from_file(place, trust=True)
    assert module["main"] is not None


def test_pickled_weights_may_hold_nothing_but_tensors(sound: bytes, place: Path) -> None:
    name, contents = member(sound, "weights_config.json")
    config = json.loads(contents)
    key, payload = next(iter(config["config"].items()))
    payload["use_pickle"] = True
    weight = f"{name.rpartition('/')[0]}/{payload['path_name']}"
    changed = {name: json.dumps(config).encode()}
    place.write_bytes(rewritten(sound, changed | {weight: pickle.dumps(Bomb())}))
    with pytest.raises(ModelError, match=rf"{payload['path_name']}' is no tensor but an object"):
        from_file(place, trust=True)
    kept = torch.export.load(io.BytesIO(sound)).state_dict.get(key)
    if kept is not None:
        pickled = io.BytesIO()
        torch.save(kept, pickled)
        place.write_bytes(rewritten(sound, changed | {weight: pickled.getvalue()}))
        assert from_file(place, trust=True)


def test_objects_and_compiled_code_are_refused(sound: bytes, place: Path) -> None:
    for name in ("data/aotinductor/model/x.so", "data/constants/custom_obj_0", "data/weights/model.pt"):
        place.write_bytes(rewritten(sound, {f"net/{name}": b"\x7fELF"}))
        with pytest.raises(ModelError, match="neither a graph nor a tensor"):
            from_file(place, trust=True)
    name, _ = member(sound, "constants_config.json")
    for path in ("opaque_obj_0", "../models/model.json"):
        config = {"config": {"bomb": {"path_name": path, "is_param": False, "use_pickle": True}}}
        place.write_bytes(rewritten(sound, {name: json.dumps(config).encode()}))
        with pytest.raises(ModelError, match="is no tensor but an object"):
            from_file(place, trust=True)


def test_guards_are_not_executed_and_expressions_not_evaluated(sound: bytes, place: Path) -> None:
    name, contents = member(sound, "models/model.json")
    guarded = json.loads(contents) | {"guards_code": ["__import__('builtins').exit(7)"]}
    place.write_bytes(rewritten(sound, {name: json.dumps(guarded).encode()}))
    assert from_file(place, trust=True)
    size = {"as_expr": {"expr_str": "__import__('builtins').exit(7)", "hint": None}}
    text = contents.replace(b'{"as_int": 4}', json.dumps(size).encode(), 1)
    assert text != contents
    place.write_bytes(rewritten(sound, {name: text}))
    with pytest.raises(UnsupportedError, match="sizes in it are not fixed"):
        from_file(place, trust=True)


def test_quantisations_to_no_type_are_refused(sound: bytes, place: Path) -> None:
    name, contents = member(sound, "models/model.json")
    document = json.loads(contents)
    node = next(
        one for one in document["graph_module"]["graph"]["nodes"] if "dequantize_per_tensor" in one["target"]
    )
    (given,) = [one for one in node["inputs"] if one["name"] == "dtype"]
    # No type, that of real numbers, and no type at all.
    for argument in ({"as_scalar_type": 0}, {"as_scalar_type": 7}, {"as_int": 127}):
        given["arg"] = argument
        place.write_bytes(rewritten(sound, {name: json.dumps(document).encode()}))
        with pytest.raises(TinyMLError):
            from_file(place, trust=True)


def test_stated_shapes_must_be_those_that_operators_make(sound: bytes, place: Path) -> None:
    name, contents = member(sound, "models/model.json")
    document = json.loads(contents)
    stated = document["graph_module"]["graph"]["tensor_values"]
    stated["relu"]["sizes"][1]["as_int"] += 1
    place.write_bytes(rewritten(sound, {name: json.dumps(document).encode()}))
    with pytest.raises(ModelError, match="damaged"):
        from_file(place, trust=True)


def test_an_archive_that_unpacks_to_too_much_is_refused(
    sound: bytes, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "MAX_ARCHIVE_BYTES", 1000)
    place.write_bytes(sound)
    with pytest.raises(ModelError, match="the limit is 1,000"):
        from_file(place, trust=True)


def test_other_archives_are_no_models(place: Path) -> None:
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("net/readme.txt", "nothing")
    with pytest.raises(ModelError, match="no archive of the kind"):
        from_file(place, trust=True)
