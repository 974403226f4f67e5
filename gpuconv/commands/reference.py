"""The operators as their definitions read: NumPy, float64, one tap at a time. What `gpuconv verify` trusts.

Nothing is shared with the kernels or with `spec`, which computes shapes and padding by formulas; here the
windows are counted. Shapes: x (N, C, H, W) or (C, H, W), w (K, C / groups, R, S). Results have x's dtype.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

Pair = tuple[int, int]


@np.errstate(invalid="ignore")  # inf - inf is NaN, as it should be
def convolve(
    x,
    w,
    bias=None,
    residual=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    padding_mode="zeros",
    activation=None,
) -> list[np.ndarray]:
    """[y] of `gpuconv.conv2d`."""
    if padding_mode != "zeros":
        kernel, steps, apart = w.shape[2:], _pair(stride), _pair(dilation)
        reach = [(taps - 1) * step + 1 for taps, step in zip(kernel, apart, strict=True)]
        sides = [_pads(padding, axis, x.shape[axis - 2], reach[axis], steps[axis]) for axis in (0, 1)]
        mode = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[padding_mode]
        x, padding = np.pad(x, ((0, 0),) * (x.ndim - 2) + tuple(sides), mode=mode), 0  # type: ignore[call-overload]
    K, C_group = w.shape[:2]
    grouped_w = w.astype(_wide(x)).reshape(groups, K // groups, C_group, *w.shape[2:])
    y: Any = 0.0 if bias is None else bias.astype(_wide(x))[:, None, None]
    for r, s, values, inside, _ in _taps(x, w.shape[2:], stride, padding, dilation):
        N, _, P, Q = values.shape
        taken = np.where(inside, values, 0).reshape(N, groups, C_group, P, Q)
        y = y + np.einsum("ngcpq,gkc->ngkpq", taken, grouped_w[..., r, s]).reshape(N, K, P, Q)
    return [_like(x, _finished(y, residual, activation), summed=True)]


def transpose(
    x,
    w,
    bias=None,
    residual=None,
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    dilation=1,
    activation=None,
) -> list[np.ndarray]:
    """[y] of `gpuconv.conv_transpose2d`: each input adds its kernel where it lies."""
    batch = x.astype(_wide(x)) if x.ndim == 4 else x.astype(_wide(x))[None]
    (N, C, H, W), (K_group, *kernel) = batch.shape, w.shape[1:]
    (step_h, step_w), (apart_h, apart_w), more = map(_pair, (stride, dilation, output_padding))
    tall, wide = ((n - 1) * s + d * (taps - 1) + 1 for n, s, d, taps in zip(
        (H, W), (step_h, step_w), (apart_h, apart_w), kernel, strict=True))  # fmt: skip
    y = np.zeros((N, groups, K_group, tall + more[0], wide + more[1]), _wide(x))
    grouped = batch.reshape(N, groups, C // groups, H, W)
    for r, s in np.ndindex(*kernel):
        taps = w.astype(_wide(x)).reshape(groups, C // groups, K_group, *kernel)[..., r, s]
        rows, columns = r * apart_h + step_h * np.arange(H), s * apart_w + step_w * np.arange(W)
        y[..., rows[:, None], columns] += np.einsum("ngchw,gck->ngkhw", grouped, taps)
    (top, bottom), (left, right) = (_pair(side) for side in _pair(padding))
    y = y.reshape(N, groups * K_group, *y.shape[3:])
    y = y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]
    y = y if bias is None else y + bias.astype(_wide(x))[:, None, None]
    return [_like(x, _finished(y, residual, activation), summed=True)]


def input_gradient(
    grad_output, weight, input_size, stride=1, padding=0, dilation=1, groups=1
) -> list[np.ndarray]:
    """[dx] of `gpuconv.grad.conv2d_input`."""
    each = grad_output.shape[-2:], weight.shape[2:], *map(_pair, (stride, dilation, padding))
    least = [
        (n - 1) * s + d * (taps - 1) + 1 - 2 * pad for n, taps, s, d, pad in zip(*each, strict=True)
    ]  # without what no window reaches
    more = tuple(size - less for size, less in zip(input_size[-2:], least, strict=True))
    return transpose(grad_output, weight.conj(), None, None, stride, padding, more, groups, dilation)


def deform(x, offset, w, bias=None, stride=1, padding=0, dilation=1) -> list[np.ndarray]:
    """[y] of `gpuconv.deform_conv2d`: samples of each tap, between the four pixels around it."""
    batch, offsets = (each.astype(np.float64).reshape(-1, *each.shape[-3:]) for each in (x, offset))
    (N, C, H, W), (K, C_group, R, S), (P, Q) = batch.shape, w.shape, offsets.shape[2:]
    (top, _), (left, _) = (_pair(side) for side in _pair(padding))
    steps, apart, each = _pair(stride), _pair(dilation), C // (offsets.shape[1] // (2 * R * S))
    around = np.pad(batch, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.zeros((N, K, P, Q))
    for c, r, s in np.ndindex(C, R, S):
        down, right = offsets[:, 2 * ((c // each * R + r) * S + s) :][:, :2].swapaxes(0, 1)
        h = np.clip(down + np.arange(P)[:, None] * steps[0] + r * apart[0] - top, -1, H)
        v = np.clip(right + np.arange(Q) * steps[1] + s * apart[1] - left, -1, W)
        i, j = (np.minimum(np.floor(place), size - 1).astype(int) for place, size in ((h, H), (v, W)))
        sample = np.zeros((N, P, Q))
        for a, b in np.ndindex(2, 2):
            share = (1 - abs(h - i - a)) * (1 - abs(v - j - b))
            sample += share * around[np.arange(N)[:, None, None], c, i + a + 1, j + b + 1]
        outputs = slice(c // C_group * (K * C_group // C), (c // C_group + 1) * (K * C_group // C))
        y[:, outputs] += w[outputs, c % C_group, r, s].astype(np.float64)[:, None, None] * sample[:, None]
    return [_like(x, y if bias is None else y + bias.astype(np.float64)[:, None, None])]


def max_pool(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
) -> list[np.ndarray]:
    """[y] or [y, indices] of `gpuconv.max_pool2d`."""
    kernel = _pair(kernel_size)
    taps = list(_taps(x, kernel, kernel if stride is None else stride, padding, dilation, ceil_mode))
    values = np.stack([np.where(inside, values, -np.inf) for _, _, values, inside, _ in taps])
    greatest = values.max(axis=0)  # of several values with a NaN among them, a NaN
    inside = np.stack([np.broadcast_to(tap[3], greatest.shape) for tap in taps])
    flat = np.stack([np.broadcast_to(tap[4], greatest.shape) for tap in taps])
    hit = inside & ((values == greatest) | np.isnan(values))
    first = np.take_along_axis(flat, hit.argmax(axis=0)[None], axis=0)[0]
    y = [_like(x, greatest)]
    if return_indices:
        indices = np.where(hit.any(axis=0), first, -1)
        y.append(indices if x.ndim == 4 else indices[0])
    return y


@np.errstate(invalid="ignore")
def avg_pool(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
) -> list[np.ndarray]:
    """[y] of `gpuconv.avg_pool2d`."""
    kernel = _pair(kernel_size)
    stride = kernel if stride is None else stride
    total: Any = 0.0
    inside_count: Any = 0
    for _, _, values, inside, _ in _taps(x, kernel, stride, padding, 1, ceil_mode):
        total = total + np.where(inside, values, 0)
        inside_count = inside_count + inside
    divisor = np.maximum(inside_count, 1)
    if divisor_override is not None:
        divisor = divisor_override
    elif count_include_pad:
        rows, columns = _windows(x.shape[-2:], kernel, stride, padding, 1, ceil_mode)
        divisor = np.outer(*(
            np.minimum(starts + extent, size + end) - starts
            for (starts, end), extent, size in zip((rows, columns), kernel, x.shape[-2:], strict=True)
        ))  # fmt: skip
    return [_like(x, total / divisor)]


def _taps(x, kernel, stride, padding, dilation, ceil_mode=False) -> Iterator[tuple]:
    """(r, s, values (N, C, P, Q), inside (P, Q), flat index (P, Q)) of each tap of the kernel."""
    x = x.astype(_wide(x))
    x = x if x.ndim == 4 else x[None]
    H, W = x.shape[2:]
    (tops, _), (lefts, _) = _windows((H, W), kernel, stride, padding, dilation, ceil_mode)
    step_h, step_w = _pair(dilation)
    for r in range(kernel[0]):
        for s in range(kernel[1]):
            h, v = (tops + r * step_h)[:, None], lefts + s * step_w
            inside = (h >= 0) & (h < H) & (v >= 0) & (v < W)
            h, v = h.clip(0, H - 1), v.clip(0, W - 1)
            yield r, s, x[:, :, h, v], inside, h * W + v


def _windows(size, kernel, stride, padding, dilation, ceil_mode) -> list[tuple[np.ndarray, int]]:
    """(first element of each window, padding at the end) along each axis; an element may lie outside."""
    axes = []
    for axis in (0, 1):
        extent, step = size[axis], _pair(stride)[axis]
        reach = _pair(dilation)[axis] * (kernel[axis] - 1) + 1
        before, after = _pads(padding, axis, extent, reach, step)
        starts = [-before]
        while True:
            start, covered = starts[-1] + step, starts[-1] + reach
            if start + reach > extent + after and not (
                ceil_mode and covered < extent + after and start < extent
            ):
                break
            starts.append(start)
        axes.append((np.array(starts), after))
    return axes


def _pads(padding, axis: int, extent: int, reach: int, step: int) -> Pair:
    if padding == "full":
        return reach - 1, reach - 1
    if padding == "same":
        total = max((-(-extent // step) - 1) * step + reach - extent, 0)
        return total // 2, total - total // 2
    return _pair(_pair(padding)[axis])


def _pair(value) -> Pair:
    return value if isinstance(value, tuple) else (value, value)


def _finished(y, residual, activation) -> np.ndarray:
    """What `gpuconv verify` asks for: "relu" is exact."""
    y = y if residual is None else y + residual.astype(y.dtype)
    return np.maximum(y, 0) if activation == "relu" else y


def _wide(x: np.ndarray) -> Any:
    """What is computed in: float64, or complex numbers of two."""
    return np.complex128 if x.dtype.kind == "c" else np.float64


def _like(x: np.ndarray, y: np.ndarray, summed: bool = False) -> np.ndarray:
    """y of the dtype of x; of integers that are summed, of int32."""
    dtype = np.dtype(np.int32) if summed and x.dtype.kind in "iu" else x.dtype
    if dtype.kind in "iu":
        y = np.maximum(y, np.iinfo(dtype).min)  # of a window of padding alone it is -inf
    return (y if x.ndim == 4 else y[0]).astype(dtype)
