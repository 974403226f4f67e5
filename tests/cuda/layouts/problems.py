"""Small problems of every operator, of integers, for all the layouts of their arrays.

Extents are multiples of 16 bytes but where the name of a problem says that they are not: so each condition on
an extent is broken by a problem, and each on a distance by a layout (`CASES` says by which).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuconv.spec import (
    ConvSpec,
    PoolSpec,
    of_adaptive,
    of_bias_gradient,
    of_deformed,
    of_fold,
    of_max_gradient,
    of_mean_gradient,
    of_norm_gradient,
    of_norms,
    of_transposed,
    of_unfold,
    of_unpool,
    of_weight_gradient,
)
from tests import reference
from tests.cases import integers

Arrays = dict[str, np.ndarray | None]


@dataclass(frozen=True)
class Problem:
    """A call: its arrays by the names of its layouts, in their order, and what is to come out.

    `varied` are the arrays that are laid in every way.
    """

    spec: Any
    inputs: Arrays
    results: Arrays
    varied: tuple[str, ...]


def convolution(x, w, dtype="float32", *, bias=True, residual=False, precision=None, **parameters):
    given = {"x": integers(x, dtype, 1), "w": integers(w, dtype, 2)}
    given["bias"] = integers(w[:1], dtype, 3) if bias else None
    y = reference.conv2d(*given.values(), **parameters)
    options = {"precision": precision}
    if residual:
        given["residual"] = options["residual"] = integers(y.shape, dtype, 4)
        y = np.maximum(y + given["residual"], 0)
        options["activation"] = "relu"
    spec = ConvSpec.from_arrays(given["x"], given["w"], given["bias"], **parameters, **options)
    return Problem(spec, given, {"y": y.astype(dtype)}, ("residual", "y") if residual else ("x", "y"))


def pool(op, x, kernel_size, dtype="float32", *, indices=False, **parameters):
    """Of maxima, or of means; with `indices`, of maxima and where they lie."""
    given = integers(x, dtype, 1)
    if op == "mean":
        spec = PoolSpec.from_arrays(op, given, kernel_size, **parameters)
        results = {"y": reference.avg_pool2d(given, kernel_size, **parameters), "indices": None}
    else:
        spec = PoolSpec.from_arrays(op, given, kernel_size, **parameters, return_indices=indices)
        values, places = getattr(reference, f"{op}_pool2d")(given, kernel_size, **parameters)
        results = {"y": values, "indices": places if indices else None}
    results["y"] = results["y"].astype(dtype)
    return Problem(spec, {"x": given}, results, ("x", "y", "indices") if indices else ("x", "y"))


def mean(x, kernel_size, *arguments, **options):
    """A pool of means whose divisor is a power of two, so that they are exact."""
    return pool("mean", x, kernel_size, *arguments, divisor_override=16, **options)


def adaptive(x, size):
    given = integers(x, "float32", 1)
    values, places = reference.adaptive_max_pool2d(given, size)
    spec = of_adaptive("max", given, size, return_indices=True)
    return Problem(spec, {"x": given}, {"y": values.astype("f4"), "indices": places}, ("x", "y", "indices"))


def norms(x, kernel_size):
    """Norms of 1: sums of magnitudes."""
    given = integers(x, "float32", 1)
    y = reference.lp_pool2d(given, 1, kernel_size).astype("f4")
    return Problem(of_norms(given, 1, kernel_size), {"x": given}, {"y": y, "indices": None}, ("x", "y"))


def transposed(x, w, **parameters):
    given = {"x": integers(x, "float32", 1), "w": integers(w, "float32", 2), "bias": None}
    y = reference.conv_transpose2d(*given.values(), **parameters).astype("f4")
    return Problem(of_transposed(*given.values(), **parameters), given, {"y": y}, ("x", "y"))


def weight_gradient(x, size, dy, **parameters):
    given = {"x": integers(x, "float32", 1), "dy": integers(dy, "float32", 2)}
    y = reference.conv2d_weight(given["x"], size, given["dy"], **parameters).astype("f4")
    spec = of_weight_gradient(given["x"], size, given["dy"], **parameters)
    return Problem(spec, given, {"y": y}, ("x", "dy", "y"))


def bias_gradient(shape, dtype="float32"):
    dy = integers(shape, dtype, 1)
    return Problem(of_bias_gradient(dy), {"x": dy}, {"y": dy.sum(axis=(0, 2, 3)).astype(dtype)}, ("x",))


def deformed(x, w, groups=2):
    """Offsets of quarters of pixels, and masks of halves."""
    N, _, H, W = x
    K, _, R, S = w
    given = {"x": integers(x, "float32", 1)}
    given["offset"] = integers((N, 2 * groups * R * S, H, W), "float32", 2) / 4
    given |= {"w": integers(w, "float32", 3), "bias": integers((K,), "float32", 4)}
    given["mask"] = integers((N, groups * R * S, H, W), "float32", 5) / 2
    parameters = {"padding": (R // 2, S // 2)}
    y = reference.deform_conv2d(*list(given.values())[:4], **parameters, mask=given["mask"]).astype("f4")
    spec = of_deformed(*given.values(), **parameters)
    return Problem(spec, given, {"y": y}, ("x", "offset", "mask", "y"))


def max_gradient(x, **parameters):
    _, places = reference.max_pool2d(integers(x, "float32"), **parameters)
    dy = integers(places.shape, "float32", 1)
    y = reference.scattered(dy, places, x[2:], "sum").astype("f4")
    spec = of_max_gradient(dy, places, x, **parameters)
    return Problem(spec, {"x": dy, "places": places}, {"y": y}, ("x", "places", "y"))


def unpool(x):
    given, places = integers(x, "float32", 1), np.random.default_rng(1).integers(-1, x[2] * x[3], x)
    spec = of_unpool(given, places, 1)
    y = reference.scattered(given, places, x[2:], "last").astype("f4")
    return Problem(spec, {"x": given, "places": places}, {"y": y}, ("x", "places", "y"))


def mean_gradient(x, *arguments, **parameters):
    windows = [*reference.mean_windows(x[2:], *arguments, **parameters)]
    dy = integers(reference.avg_pool2d(np.zeros(x), *arguments, **parameters).shape, "float64", 1)
    for (p, q), _, divisor in windows:
        dy[:, :, p, q] *= divisor
    y, dy = reference.handed_on(dy, x, windows).astype("f4"), dy.astype("f4")
    return Problem(of_mean_gradient(dy, x, *arguments, **parameters), {"x": dy}, {"y": y}, ("x", "y"))


def norm_gradient(x, kernel_size):
    """Of windows apart, of norms of 2 that are powers of two."""
    image, (N, C, H, W) = integers(x, "float32", 1), x
    dy = integers((N, C, H // kernel_size, W // kernel_size), "float32", 2)
    norms = np.exp2(integers(dy.shape, "float32", 3) // 2).astype("f4")
    shares = np.repeat(np.repeat(dy / norms, kernel_size, 2), kernel_size, 3)
    spec = of_norm_gradient(dy, image, norms, 2, kernel_size)
    given = {"x": dy, "image": image, "result": norms}
    return Problem(spec, given, {"y": shares * image}, ("x", "image", "result", "y"))


def unfolded(x, kernel_size, **parameters):
    given = integers(x, "float32", 1)
    y = reference.unfold(given, kernel_size, **parameters).astype("f4")
    return Problem(of_unfold(given, kernel_size, **parameters), {"x": given}, {"y": y}, ("x",))


def folded(y, kernel_size, **parameters):
    columns = reference.unfold(np.zeros(y), kernel_size, **parameters).shape
    given = integers(columns, "float32", 1)
    result = reference.fold(given, y[2:], kernel_size, **parameters).astype("f4")
    spec = of_fold(given, y[2:], kernel_size, **parameters)
    return Problem(spec, {"x": given}, {"y": result}, ("y",))
