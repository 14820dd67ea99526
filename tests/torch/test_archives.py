"""Archives of PyTorch: loaded when the user trusts them, and like any other model then."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.cli.invocation import HOST, refuse, succeed
from tests.torch.quantize import quantized
from tvm_tinyml.errors import ModelError, UnsupportedError
from tvm_tinyml.frontend import from_file


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    generator = torch.Generator().manual_seed(3)
    _, program = quantized(network, lambda: torch.randn((1, 3, 8, 8), generator=generator))
    place = tmp_path_factory.mktemp("torch") / "small net.pt2"
    torch.export.save(program, place)
    return place


def test_a_trusted_archive_is_compiled_and_run(archive: Path) -> None:
    ran = succeed("run", archive, "--target", HOST, "--trust-archive", "--check", "--json").document
    assert (ran["model"], ran["bit_exact"]) == ("small_net", True)
    described = succeed("inspect", archive, "--trust-archive", "--json").document
    assert described["macs"] == 4 * 27 * 36 + 4 * 36 * 3


def test_without_trust_nothing_is_loaded(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.export, "load", lambda *_: pytest.fail("it was loaded"))
    message = refuse("compile", archive, "--target", HOST, "-o", tmp_path / "out")
    assert "can run code" in message
    assert "--trust-archive" in message
    with pytest.raises(UnsupportedError, match="trust=True"):
        from_file(archive)


def test_a_damaged_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    place = tmp_path / "cut.pt2"
    place.write_bytes(archive.read_bytes()[:3000])
    with pytest.raises(ModelError, match=r"cut\.pt2: not an exported program of PyTorch, or damaged"):
        from_file(place, trust=True)
