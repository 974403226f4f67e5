"""The other libraries: for each, the call that computes a problem, or None where it has none.

All of them read the same memory as gpuconv, are given the same number of threads, and return a fresh result.
A peer appears in a table when its package is installed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

import gpuconv
from gpuconv.spec import ConvSpec, Spec
from profiling.bench import by_torch
from profiling.device import Call
from profiling.workloads import is_forward


@dataclass(frozen=True, slots=True)
class Peer:
    """`prepare(spec, arrays)` gives the call, or None if the library cannot compute this problem."""

    name: str
    package: str
    prepare: Callable[[Spec, tuple[Any, ...]], Call | None]


def installed(device: str) -> list[Peer]:
    """The peers for "cpu" or "cuda" whose package is there."""
    return [peer for peer in PEERS[device] if find_spec(peer.package)]


def use_threads(threads: int) -> None:
    """Let gpuconv and each peer that has threads use this many (SciPy has none)."""
    gpuconv.set_num_threads(threads)
    if find_spec("torch"):
        import_module("torch").set_num_threads(threads)
    if find_spec("cv2"):
        import_module("cv2").setNumThreads(threads)


def torch_call(spec: Spec, arrays: tuple[Any, ...]) -> Call | None:
    """torch.nn.functional on tensors that share the arrays' memory: oneDNN on the CPU, cuDNN on a GPU."""
    import torch

    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    compute = by_torch.function(spec)
    return None if compute is None else partial(compute, *map(torch.from_dlpack, arrays))


def is_image_filter(spec: Spec) -> bool:
    """One plane, an odd window of stride 1, and zeros around that keep the extent: what image filters do."""
    return (
        is_forward(spec)
        and (spec.N, spec.C, spec.dilation, spec.stride) == (1, 1, (1, 1), (1, 1))
        and spec.out_shape == (1, 1, spec.H, spec.W)
        and all(kernel % 2 == 1 for kernel in (spec.R, spec.S))
        and spec.pads == ((spec.R // 2,) * 2, (spec.S // 2,) * 2)
        and (isinstance(spec, ConvSpec) or (spec.count_include_pad and spec.divisor_override is None))
    )


def opencv_call(spec: Spec, arrays: tuple[Any, ...]) -> Call | None:
    """cv2.filter2D, dilate and boxFilter on one plane."""
    if not is_image_filter(spec):
        return None
    cv2 = import_module("cv2")
    image, *weight = (array[0, 0] for array in arrays)
    if isinstance(spec, ConvSpec):
        return lambda: cv2.filter2D(image, -1, weight[0], borderType=cv2.BORDER_CONSTANT)
    if spec.reduction == "max":
        window = np.ones((spec.R, spec.S), np.uint8)
        return lambda: cv2.dilate(image, window)
    return lambda: cv2.boxFilter(image, -1, (spec.S, spec.R), borderType=cv2.BORDER_CONSTANT)


def ndimage_call(package: str) -> Callable[[Spec, tuple[Any, ...]], Call | None]:
    """`prepare` for correlate, maximum_filter and uniform_filter of scipy.ndimage or CuPy's copy of it."""

    def prepare(spec: Spec, arrays: tuple[Any, ...]) -> Call | None:
        if not is_image_filter(spec):
            return None
        ndimage = import_module(f"{package}.ndimage")
        image, *weight = (array[0, 0] for array in arrays)
        window = (spec.R, spec.S)
        if isinstance(spec, ConvSpec):
            return lambda: ndimage.correlate(image, weight[0], mode="constant")
        if spec.reduction == "max":
            return lambda: ndimage.maximum_filter(image, window, mode="constant", cval=-np.inf)
        return lambda: ndimage.uniform_filter(image, window, mode="constant")

    return prepare


def signal_call(package: str) -> Callable[[Spec, tuple[Any, ...]], Call | None]:
    """`prepare` for correlate2d of scipy.signal or CuPy's copy of it."""

    def prepare(spec: Spec, arrays: tuple[Any, ...]) -> Call | None:
        if not is_image_filter(spec) or not isinstance(spec, ConvSpec):
            return None
        signal = import_module(f"{package}.signal")
        image, weight = (array[0, 0] for array in arrays)
        return lambda: signal.correlate2d(image, weight, mode="same")

    return prepare


PEERS: dict[str, tuple[Peer, ...]] = {
    "cpu": (
        Peer("torch", "torch", torch_call),
        Peer("opencv", "cv2", opencv_call),
        Peer("scipy.ndimage", "scipy", ndimage_call("scipy")),
        Peer("scipy.signal", "scipy", signal_call("scipy")),
    ),
    "cuda": (
        Peer("torch", "torch", torch_call),
        Peer("cupyx.ndimage", "cupyx", ndimage_call("cupyx.scipy")),
        Peer("cupyx.signal", "cupyx", signal_call("cupyx.scipy")),
    ),
}
