"""Convolutions of a PyTorch module with kernels of another size and other strides.

Growing adds zeros and changes nothing. A smaller kernel cannot compute the same; its weights are those that come
closest, in the sense of least squares, to what the layer of the original makes of calibration images. So are those of
the layers behind it, which then undo a part of what it does differently (as in layer-wise reconstruction for pruning,
He, Zhang and Sun, "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017). Where a stride moved, maps
have another resolution: they are compared at the places that both have.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import lstsq
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UnsupportedError

Taps = tuple[int, int, int, int]
"""Taps more, or less where negative, at the top, left, bottom and right of a kernel."""

UNCHANGED: Taps = (0, 0, 0, 0)
EQUATIONS = 100
"""Of every fit, per unknown."""


def convolutions(module: nn.Module, example_input: Tensor) -> list[str]:
    """Names of the convolutions in the order in which they run.

    Raises UnsupportedError for one that runs twice: both times would have to change.
    """
    names: list[str] = []
    handles = [
        layer.register_forward_hook(lambda *_, name=name: names.append(name))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Conv2d)
    ]
    with torch.no_grad():
        module(example_input)
    for handle in handles:
        handle.remove()
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UnsupportedError(
            f"redistribute: {', '.join(sorted(twice))} run more than once per inference; give each "
            "place a layer of its own"
        )
    return names


def resized(
    module: nn.Module, changes: Mapping[str, Taps], strides: Mapping[str, tuple[int, int]] | None = None
) -> nn.Module:
    """A copy of a module whose convolutions have other kernels, zeros added or taps cut off, and strides, by name.

    Raises UnsupportedError for layers that pad in another way than with zeros, or are no plain Conv2d.
    """
    found = copy.deepcopy(module)
    moved = strides or {}
    for name in dict.fromkeys((*changes, *moved)):
        parent, _, own = name.rpartition(".")
        layer = _resized(name, found.get_submodule(name), changes.get(name, UNCHANGED))
        layer.stride = moved.get(name, layer.stride)
        setattr(found.get_submodule(parent), own, layer)
    return found


def _resized(name: str, layer: nn.Module, taps: Taps) -> nn.Conv2d:
    if not _is_plain(layer):
        raise UnsupportedError(
            f"redistribute: {name} is a {type(layer).__name__} that is not padded with zeros; use torch.nn.Conv2d"
        )
    assert isinstance(layer, nn.Conv2d)
    top, left, bottom, right = taps
    (height, width), (down, along) = layer.kernel_size, layer.dilation
    rows, columns = _padding(layer)
    made = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (height + top + bottom, width + left + right),
        stride=layer.stride,  # type: ignore[arg-type]
        padding=(rows + top * down, columns + left * along),
        dilation=layer.dilation,  # type: ignore[arg-type]
        groups=layer.groups,
        bias=layer.bias is not None,
        device=layer.weight.device,
        dtype=layer.weight.dtype,
    )
    with torch.no_grad():
        made.weight.copy_(functional.pad(layer.weight, (left, right, top, bottom)))
        if made.bias is not None and layer.bias is not None:
            made.bias.copy_(layer.bias)
    return made.train(layer.training)


def _is_plain(layer: nn.Module) -> bool:
    return type(layer) is nn.Conv2d and layer.padding_mode == "zeros"


def _padding(layer: nn.Conv2d) -> tuple[int, int]:
    if isinstance(layer.padding, str):
        rows, columns = (
            0 if layer.padding == "valid" else (kernel - 1) * dilation // 2
            for kernel, dilation in zip(layer.kernel_size, layer.dilation, strict=True)
        )
        return rows, columns
    rows, columns = layer.padding
    return rows, columns


def fit(module: nn.Module, original: nn.Module, name: str, images: Tensor) -> tuple[float, float] | None:
    """Set weights and bias of a convolution so that it comes closest to the one of `original` of the same name.

    Its input is what `module` makes of `images` ([N, C, H, W]), the target what `original` makes of them: fitted in the
    order in which they run, later layers make up for earlier ones, those whose kernels stay included. A layer
    without a bias gets one. Of two resolutions every so manieth pixel of the finer one counts.

    Returns the error before and after, in squares over those of the target around its means; None for layers that
    are no plain Conv2d, which stay as they are.
    """
    layer = module.get_submodule(name)
    if not _is_plain(layer):
        return None
    assert isinstance(layer, nn.Conv2d)
    seen, found = _through(module, name, images)
    _, target = _through(original, name, images)
    wanted, common = _at_common_places(target, found), _at_common_places(found, target)
    targets = _by_group(wanted.flatten(2), layer.groups)
    unfolded = functional.unfold(seen, layer.kernel_size, layer.dilation, _padding(layer), layer.stride)
    windows = unfolded.reshape(*unfolded.shape[:2], *found.shape[2:])
    # Columns of windows are positions of the result, and are thinned out like it.
    samples = _by_group(_at_common_places(windows, target).flatten(2), layer.groups)
    equations = min(targets.shape[1], EQUATIONS * (samples.shape[2] + 1))
    chosen = np.random.default_rng(0).choice(targets.shape[1], equations, replace=False)
    weights, biases = [], []
    for known, results in zip(samples, targets, strict=True):
        extended = np.hstack([known[chosen], np.ones((equations, 1))])
        solved = lstsq(extended, results[chosen], lapack_driver="gelsy")[0]
        weights.append(solved[:-1].T)
        biases.append(solved[-1])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.concatenate(weights)).reshape(layer.weight.shape))
        layer.bias = nn.Parameter(torch.from_numpy(np.concatenate(biases)).to(layer.weight))
        return _error(common, wanted), _error(_at_common_places(layer(seen), target), wanted)


def _at_common_places(values: Tensor, other: Tensor) -> Tensor:
    """Of a map [N, C, H, W], the places that another one has as well, of which one row or column may stand for many."""
    rows, columns = (
        _places(own, theirs) for own, theirs in zip(values.shape[2:], other.shape[2:], strict=True)
    )
    return values[:, :, rows, columns]


def _places(own: int, theirs: int) -> slice:
    step = round(max(own, theirs) / min(own, theirs))
    count = min(-(-max(own, theirs) // step), min(own, theirs))
    return slice(0, count * step if own > theirs else count, step if own > theirs else 1)


def _through(module: nn.Module, name: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """What goes into a layer and comes out of it."""
    seen: list[tuple[Tensor, Tensor]] = []
    handle = module.get_submodule(name).register_forward_hook(
        lambda _layer, inputs, output: seen.append((inputs[0], output))
    )
    with torch.no_grad():
        module(images)
    handle.remove()
    return seen[0]


def _by_group(values: Tensor, groups: int) -> npt.NDArray[np.float64]:
    """[N, channels, positions] as [groups, N * positions, channels per group]."""
    count, channels, positions = values.shape
    split = values.detach().double().reshape(count, groups, channels // groups, positions)
    return split.permute(1, 0, 3, 2).reshape(groups, count * positions, channels // groups).cpu().numpy()


def _error(found: Tensor, wanted: Tensor) -> float:
    """Squares of the difference over those of the target around the means of its channels."""
    spread = (wanted - wanted.mean((0, 2, 3), keepdim=True)).square().sum()
    return float((found - wanted).square().sum() / spread.clamp_min(1e-30))
