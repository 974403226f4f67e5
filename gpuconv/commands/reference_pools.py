"""Pools of minima and of norms, and adaptive ones, as their definitions read: see `reference`."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpuconv.commands.reference import _pair, avg_pool, max_pool


def min_pool(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False) -> list[np.ndarray]:
    """[y] of `gpuconv.min_pool2d`."""
    (y,) = max_pool(-x.astype(np.float64), kernel_size, stride, padding, dilation, ceil_mode)
    return [(-y).astype(x.dtype)]


@np.errstate(all="ignore")
def lp_pool(x, norm_type, kernel_size, stride=None, ceil_mode=False) -> list[np.ndarray]:
    """[y] of `gpuconv.lp_pool2d`."""
    wide = x.astype(np.float64)
    if np.isinf(norm_type):
        pool: Any = max_pool if norm_type > 0 else min_pool
        return [pool(np.abs(wide), kernel_size, stride, ceil_mode=ceil_mode)[0].astype(x.dtype)]
    (means,) = avg_pool(wide**norm_type, kernel_size, stride, ceil_mode=ceil_mode)
    return [((means * np.prod(_pair(kernel_size))) ** (1 / norm_type)).astype(x.dtype)]


def adaptive_max_pool(x, output_size, return_indices=False) -> list[np.ndarray]:
    """[y] or [y, indices] of `gpuconv.adaptive_max_pool2d`."""
    y = np.zeros((*x.shape[:-2], *_pair(output_size)), x.dtype)
    indices = np.zeros(y.shape, np.int64)
    for p, q, rows, columns in _windows_of(x, y):
        window = x[..., rows, columns]
        found, places = max_pool(window, window.shape[-2:], return_indices=True)
        h, v = np.divmod(places[..., 0, 0], window.shape[-1])
        y[..., p, q] = found[..., 0, 0]
        indices[..., p, q] = (h + rows.start) * x.shape[-1] + v + columns.start
    return [y, indices] if return_indices else [y]


def adaptive_avg_pool(x, output_size) -> list[np.ndarray]:
    """[y] of `gpuconv.adaptive_avg_pool2d`."""
    y = np.zeros((*x.shape[:-2], *_pair(output_size)), x.dtype)
    for p, q, rows, columns in _windows_of(x, y):
        window = x[..., rows, columns]
        y[..., p, q] = avg_pool(window, window.shape[-2:])[0][..., 0, 0]
    return [y]


def _windows_of(x, y) -> Iterator[tuple[int, int, slice, slice]]:
    """(p, q, rows, columns) of each window of an adaptive pool from x to y."""
    for place in np.ndindex(y.shape[-2:]):
        sizes = zip(place, x.shape[-2:], y.shape[-2:], strict=True)
        rows, columns = (slice(i * size // n, -(-(i + 1) * size // n)) for i, size, n in sizes)
        yield *place, rows, columns
