"""Pools of minima and of norms, and adaptive ones, as their definitions read: see `reference`."""

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


def adaptive_pool(x, output_size, return_indices=False, mean=False) -> list[np.ndarray]:
    """[y] or [y, indices] of `gpuconv.adaptive_max_pool2d`, or [y] of `gpuconv.adaptive_avg_pool2d`."""
    size, (P, Q) = x.shape[-2:], _pair(output_size)
    y = np.zeros((*x.shape[:-2], P, Q), x.dtype)
    indices = np.zeros(y.shape, np.int64)
    for p, q in np.ndindex(P, Q):
        (h, h_end), (v, v_end) = (
            (i * extent // count, -(-(i + 1) * extent // count))
            for i, extent, count in zip((p, q), size, (P, Q), strict=True)
        )
        window = x[..., h:h_end, v:v_end]
        pool: Any = avg_pool if mean else max_pool
        found = pool(window, window.shape[-2:], **({} if mean else {"return_indices": True}))
        y[..., p, q] = found[0][..., 0, 0]
        if not mean:
            rows, columns = np.divmod(found[1][..., 0, 0], v_end - v)
            indices[..., p, q] = (rows + h) * size[1] + columns + v
    return [y, indices] if return_indices else [y]


def adaptive_mean(x, output_size) -> list[np.ndarray]:
    """[y] of `gpuconv.adaptive_avg_pool2d`."""
    return adaptive_pool(x, output_size, mean=True)
