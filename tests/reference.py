"""What the operators mean, in plain NumPy and float64: the truth that every algorithm is compared with.

Nothing here is shared with the package, its arithmetic of sizes and padding included. Each function loops
over the taps of the kernel, or over the outputs, in the order of the definition, and leaves the rest to
NumPy. Sums of integers below 2^53 are exact.
"""

import math

import ml_dtypes
import numpy as np

# Rounding errors of one output, in units of eps * (the sum of the magnitudes of its terms). Of float64
# results the reference, which rounds as they do, uses up half.
BOUND = 16


def wide(x):
    """What is computed in: float64, or complex numbers of two, with four products each."""
    return np.complex128 if x.dtype.kind == "c" else np.float64


def as_pair(value):
    """(vertical, horizontal) from one number or two."""
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def padding_sides(padding, size, kernel, stride, dilation):
    """((top, bottom), (left, right)) from every form of padding."""
    if not isinstance(padding, str):
        vertical, horizontal = as_pair(padding)
        return as_pair(vertical), as_pair(horizontal)
    sides = []
    for extent, taps, step, spread in zip(size, kernel, stride, dilation, strict=True):
        last_tap = (taps - 1) * spread
        if padding == "valid":
            sides.append((0, 0))
        elif padding == "full":
            sides.append((last_tap, last_tap))
        elif padding == "same":
            windows = math.ceil(extent / step)
            missing = max(0, (windows - 1) * step + last_tap + 1 - extent)
            sides.append((missing // 2, missing - missing // 2))
    return tuple(sides)


def output_size(extent, taps, sides, step, spread, ceil_mode=False):
    """How many windows start inside; counted one by one, from the definition."""
    before, after = sides
    reach = (taps - 1) * spread + 1
    windows = 0
    while windows * step + reach <= before + extent + after:
        windows += 1
    start = windows * step  # of the first window that does not fit
    overhangs = start < before + extent + after + step - reach
    if ceil_mode and overhangs and start < before + extent:
        windows += 1
    return windows


def output_shape(size, kernel, stride, padding, dilation, ceil_mode=False):
    """(P, Q) of a window of `kernel` taps over an image of `size`."""
    stride, dilation = as_pair(stride), as_pair(dilation)
    sides = padding_sides(padding, size, kernel, stride, dilation)
    axes = zip(size, kernel, sides, stride, dilation, strict=True)
    return tuple(output_size(*axis, ceil_mode) for axis in axes)


PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # of NumPy


def conv2d(x, w, bias=None, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros"):
    """Cross-correlation of x (N, C, H, W) with w (K, C / groups, R, S); zero padding is multiplied too."""
    (N, C, H, W), (K, _, R, S) = x.shape, w.shape
    stride, dilation = as_pair(stride), as_pair(dilation)
    if padding_mode != "zeros":
        sides = padding_sides(padding, (H, W), (R, S), stride, dilation)
        x = np.pad(x, ((0, 0), (0, 0), *sides), mode=PAD_MODES[padding_mode])
        return conv2d(x, w, bias, stride, 0, dilation, groups)
    (top, bottom), (left, right) = padding_sides(padding, (H, W), (R, S), stride, dilation)
    P, Q = output_shape((H, W), (R, S), stride, ((top, bottom), (left, right)), dilation)
    padded = np.zeros((N, C, top + H + bottom, left + W + right), wide(x))
    padded[:, :, top : top + H, left : left + W] = x
    w = w.astype(wide(x))
    y = np.zeros((N, K, P, Q), wide(x))
    with np.errstate(all="ignore"):
        for group in range(groups):
            inputs = slice(group * (C // groups), (group + 1) * (C // groups))
            outputs = slice(group * (K // groups), (group + 1) * (K // groups))
            for r in range(R):
                rows = slice(r * dilation[0], r * dilation[0] + (P - 1) * stride[0] + 1, stride[0])
                for s in range(S):
                    columns = slice(s * dilation[1], s * dilation[1] + (Q - 1) * stride[1] + 1, stride[1])
                    seen = padded[:, inputs, rows, columns]
                    y[:, outputs] += np.einsum("ncpq,kc->nkpq", seen, w[outputs, :, r, s])
        if bias is not None:
            y += bias.astype(wide(x)).reshape(1, K, 1, 1)
    return y


ERF = np.vectorize(math.erf, otypes=[float])


def activate(y, activation):
    """What a result goes through: a name, or (name, parameter)."""
    name, parameter = activation if isinstance(activation, tuple) else (activation, None)
    with np.errstate(all="ignore"):
        sigmoid = 1 / (1 + np.exp(-y))
        if name == "gelu" and parameter == "tanh":
            return y * (1 + np.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3))) / 2
        return {
            None: lambda: y,
            "relu": lambda: np.maximum(y, 0),
            "relu6": lambda: np.clip(y, 0, 6),
            "leaky_relu": lambda: np.where(y > 0, y, (0.01 if parameter is None else parameter) * y),
            "sigmoid": lambda: sigmoid,
            "tanh": lambda: np.tanh(y),
            "gelu": lambda: y * (1 + ERF(y / math.sqrt(2))) / 2,
            "silu": lambda: y * sigmoid,
            "hardswish": lambda: y * np.clip(y + 3, 0, 6) / 6,
        }[name]()


def conv_transpose2d(
    x, w, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, output_size=None
):
    """Each input of x (N, C, H, W) adds a kernel of w (C, K / groups, R, S), `stride` from the next."""
    (N, C, H, W), (_, K_group, R, S) = x.shape, w.shape
    stride, dilation, more = as_pair(stride), as_pair(dilation), as_pair(output_padding)
    whole = H * stride[0], W * stride[1]
    sides = padding_sides(padding, whole, (R, S), stride, dilation)
    spread = [
        (extent - 1) * step + (taps - 1) * apart + 1
        for extent, step, taps, apart in zip((H, W), stride, (R, S), dilation, strict=True)
    ]
    size = [extent - sum(side) + added for extent, side, added in zip(spread, sides, more, strict=True)]
    if output_size is not None or padding == "same":
        size = as_pair(whole if output_size is None else output_size)
    room = [max(extent, sum(side) + out) for extent, side, out in zip(spread, sides, size, strict=True)]
    y = np.zeros((N, K_group * groups, *room), wide(x))
    w = w.astype(wide(x))
    for group in range(groups):
        inputs = slice(group * (C // groups), (group + 1) * (C // groups))
        outputs = slice(group * K_group, (group + 1) * K_group)
        for r in range(R):
            rows = slice(r * dilation[0], r * dilation[0] + (H - 1) * stride[0] + 1, stride[0])
            for s in range(S):
                columns = slice(s * dilation[1], s * dilation[1] + (W - 1) * stride[1] + 1, stride[1])
                y[:, outputs, rows, columns] += np.einsum("nchw,ck->nkhw", x[:, inputs], w[inputs, :, r, s])
    (top, _), (left, _) = sides
    y = y[:, :, top : top + size[0], left : left + size[1]]
    return y if bias is None else y + bias.astype(wide(x)).reshape(1, -1, 1, 1)


def conv2d_input(input_size, w, dy, stride=1, padding=0, dilation=1, groups=1):
    """The gradient by the input: each result gives its gradient back to the inputs that it was made of.

    Of complex numbers it is the adjoint, by the conjugates of the weights.
    """
    (N, C, H, W), (K, C_group, R, S) = input_size, w.shape
    stride, dilation = as_pair(stride), as_pair(dilation)
    (top, bottom), (left, right) = padding_sides(padding, (H, W), (R, S), stride, dilation)
    P, Q = dy.shape[2:]
    dx = np.zeros((N, C, top + H + bottom, left + W + right), wide(dy))
    w = w.astype(wide(dy)).conj()
    for k in range(K):
        group = k // (K // groups)
        channels = slice(group * C_group, (group + 1) * C_group)
        for p in range(P):
            for q in range(Q):
                rows = slice(p * stride[0], p * stride[0] + (R - 1) * dilation[0] + 1, dilation[0])
                columns = slice(q * stride[1], q * stride[1] + (S - 1) * dilation[1] + 1, dilation[1])
                dx[:, channels, rows, columns] += np.multiply.outer(dy[:, k, p, q].astype(wide(dy)), w[k])
    return dx[:, :, top : top + H, left : left + W]


def conv2d_weight(x, size, dy, stride=1, padding=0, dilation=1, groups=1):
    """The gradient by the weight: what each tap of a kernel meets, times the gradients of what it made.

    Of complex numbers it is the adjoint, by the conjugates of the input.
    """
    (N, C, H, W), (K, C_group, R, S) = x.shape, size
    stride, dilation = as_pair(stride), as_pair(dilation)
    (top, bottom), (left, right) = padding_sides(padding, (H, W), (R, S), stride, dilation)
    P, Q = dy.shape[2:]
    padded = np.zeros((N, C, top + H + bottom, left + W + right), wide(x))
    padded[:, :, top : top + H, left : left + W] = x.astype(wide(x)).conj()
    dw = np.zeros(size, wide(x))
    for k, c, r, s in np.ndindex(*size):
        channel = k // (K // groups) * C_group + c
        rows = slice(r * dilation[0], r * dilation[0] + (P - 1) * stride[0] + 1, stride[0])
        columns = slice(s * dilation[1], s * dilation[1] + (Q - 1) * stride[1] + 1, stride[1])
        with np.errstate(invalid="ignore"):
            dw[k, c, r, s] = (padded[:, channel, rows, columns] * dy[:, k].astype(wide(x))).sum()
    return dw


def deform_conv2d(x, offset, w, bias=None, stride=1, padding=0, dilation=1, mask=None):
    """Each sample by itself, between its four pixels."""
    (N, C, H, W), (K, C_group, R, S) = x.shape, w.shape
    stride, dilation = as_pair(stride), as_pair(dilation)
    (top, _), (left, _) = padding_sides(padding, (H, W), (R, S), stride, dilation)
    P, Q = offset.shape[2:]
    offset_groups, groups = offset.shape[1] // (2 * R * S), C // C_group
    padded = np.zeros((N, C, H + 2, W + 2))  # a pixel of zeros all around
    padded[:, :, 1:-1, 1:-1] = x
    y = np.zeros((N, K, P, Q))
    for n, c, r, s, p, q in np.ndindex(N, C, R, S, P, Q):
        tap = (c // (C // offset_groups) * R + r) * S + s
        h = p * stride[0] - top + r * dilation[0] + float(offset[n, 2 * tap, p, q])
        v = q * stride[1] - left + s * dilation[1] + float(offset[n, 2 * tap + 1, p, q])
        sample = 0.0
        if -1 < h < H and -1 < v < W:
            i, j = math.floor(h), math.floor(v)
            four = padded[n, c, i + 1 : i + 3, j + 1 : j + 3]
            sample = np.array([1 - (h - i), h - i]) @ four @ np.array([1 - (v - j), v - j])
        if mask is not None:
            sample *= float(mask[n, tap, p, q])
        group = c // C_group
        outputs = slice(group * (K // groups), (group + 1) * (K // groups))
        y[n, outputs, p, q] += w[outputs, c % C_group, r, s].astype(np.float64) * sample
    return y if bias is None else y + bias.astype(np.float64).reshape(1, -1, 1, 1)


def error_bound(x, w, bias=None, dtype="float32", **parameters):
    """How far arithmetic in `dtype` may be from `conv2d`: the magnitudes of its terms times a few eps."""
    magnitudes = conv2d(np.abs(x), np.abs(w), None if bias is None else np.abs(bias), **parameters)
    return BOUND * np.finfo(dtype).eps * magnitudes


def rounded_bound(expected, magnitudes, dtype):
    """How far a sum in float32 that is rounded once to 16 bits may be from the expected one."""
    info = ml_dtypes.finfo(dtype)
    last_place = np.abs(expected) * float(info.eps) + float(info.smallest_subnormal)
    return BOUND * np.finfo("float32").eps * magnitudes + 0.51 * last_place


def tile_error_bound(x, w, bias=None, dtype="float32", padding=0, groups=1, tile=2):
    """`error_bound` for outputs that see the greatest input of their tile instead of those of their windows.

    So much may an algorithm be off that computes tile x tile outputs of a 3x3 kernel from sums of inputs.
    """
    (top, bottom), (left, right) = padding_sides(padding, x.shape[2:], (3, 3), (1, 1), (1, 1))
    padded = np.pad(np.abs(x).astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    greatest = np.empty((*x.shape[:2], padded.shape[2] - 2, padded.shape[3] - 2))
    for p in range(0, greatest.shape[2], tile):
        for q in range(0, greatest.shape[3], tile):
            inputs = padded[:, :, p : p + tile + 2, q : q + tile + 2]
            greatest[:, :, p : p + tile, q : q + tile] = inputs.max((2, 3), keepdims=True)
    taps = np.abs(w).sum((2, 3), keepdims=True)
    magnitudes = conv2d(greatest, taps, None if bias is None else np.abs(bias), groups=groups)
    return BOUND * np.finfo(dtype).eps * magnitudes


def windows_of(x, kernel_size, stride, padding, dilation, ceil_mode):
    """((p, q), taps) of each output; taps are the places (h, w) of its window that lie inside the image."""
    H, W = x.shape[2:]
    R, S = as_pair(kernel_size)
    stride = (R, S) if stride is None else as_pair(stride)
    dilation = as_pair(dilation)
    sides = padding_sides(padding, (H, W), (R, S), stride, dilation)
    P, Q = output_shape((H, W), (R, S), stride, sides, dilation, ceil_mode)
    for p in range(P):
        rows = [p * stride[0] + r * dilation[0] - sides[0][0] for r in range(R)]
        for q in range(Q):
            columns = [q * stride[1] + s * dilation[1] - sides[1][0] for s in range(S)]
            yield (p, q), [(h, w) for h in rows for w in columns if 0 <= h < H and 0 <= w < W]


def sum_over(taps, x):
    """The sum of float64 over the places `taps` of each plane, one after the other, from 0 on."""
    h, w = zip(*taps, strict=True)
    return 0 + x[:, :, h, w].cumsum(axis=-1)[..., -1]


def greatest_of(taps, x):
    """(value, place in H*W): the greatest over the places `taps` of each plane, the first among equals.

    A NaN is greater than every number.
    """
    h, w = zip(*taps, strict=True)
    window = x[:, :, h, w]  # N C taps
    best = window.argmax(axis=-1, keepdims=True)
    places = np.ravel_multi_index((h, w), x.shape[2:])
    return np.take_along_axis(window, best, axis=-1)[..., 0], places[best[..., 0]]


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """(values, indices): the greatest of each window, first among equals, and where it lies in H*W."""
    windows = list(windows_of(x, kernel_size, stride, padding, dilation, ceil_mode))
    P, Q = (1 + max(place[axis] for place, _ in windows) for axis in (0, 1))
    values = np.full((*x.shape[:2], P, Q), -np.inf)
    indices = np.full(values.shape, -1, np.int64)
    numbers = x if x.dtype.kind in "iu" else x.astype(np.float64)
    for (p, q), taps in windows:
        if taps:
            values[:, :, p, q], indices[:, :, p, q] = greatest_of(taps, numbers)
    return values, indices


def min_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """(values, indices): the least of each window, a NaN counting as the least."""
    values, indices = max_pool2d(-x.astype(np.float64), kernel_size, stride, padding, dilation, ceil_mode)
    return -values, indices


def mean_bound(x, dtype, **parameters):
    """How far a mean in `dtype` may be from `avg_pool2d`; in 16 bits it is a float32 sum, rounded."""
    magnitudes = np.abs(avg_pool2d(np.abs(x), **parameters))
    info = ml_dtypes.finfo(dtype)
    if info.bits > 16:
        return BOUND * info.eps * magnitudes
    last_place = np.abs(avg_pool2d(x, **parameters)) * float(info.eps) + float(info.smallest_subnormal)
    return BOUND * np.finfo("float32").eps * magnitudes + 0.51 * last_place


def mean_windows(
    size, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """((p, q), taps, divisor) of each window; what lies beyond the padding is never counted."""
    R, S = as_pair(kernel_size)
    stride = (R, S) if stride is None else as_pair(stride)
    (top, bottom), (left, right) = padding_sides(padding, size, (R, S), stride, (1, 1))
    for (p, q), taps in windows_of(np.empty((0, 0, *size)), kernel_size, stride, padding, 1, ceil_mode):
        first_row, first_column = p * stride[0] - top, q * stride[1] - left
        rows = min(first_row + R, size[0] + bottom) - first_row  # of the window inside the padded image
        columns = min(first_column + S, size[1] + right) - first_column
        yield (p, q), taps, divisor_override or (rows * columns if count_include_pad else len(taps))


def adaptive_windows(size, outputs):
    """The same of windows that share a plane out: their divisors are their taps."""
    lines = [
        [range(i * extent // count, math.ceil((i + 1) * extent / count)) for i in range(count)]
        for extent, count in zip(size, outputs, strict=True)
    ]
    for p, rows in enumerate(lines[0]):
        for q, columns in enumerate(lines[1]):
            taps = [(h, w) for h in rows for w in columns]
            yield (p, q), taps, len(taps)


def handed_on(dy, size, windows):
    """The gradient by the input of means over `windows`: each place's shares, of windows that have it."""
    dx = np.zeros(size)
    for (p, q), taps, divisor in windows:
        for h, w in taps:
            dx[:, :, h, w] += dy[:, :, p, q].astype(np.float64) / divisor
    return dx


def scattered(values, indices, size, combine):
    """Planes of `size` with each value where its index says, in order: "sum" or "last"; -1 is nowhere."""
    planes = np.zeros((*values.shape[:2], math.prod(size)))
    for place in np.ndindex(values.shape):
        index, value = indices[place], float(values[place])
        if index >= 0:
            plane = planes[place[:2]]
            plane[index] = plane[index] + value if combine == "sum" else value
    return planes.reshape(*values.shape[:2], *size)


def taps_of(size, kernel_size, dilation=1, padding=0, stride=1):
    """(row of the matrix within a channel, column, h, w) of each tap of each window inside the image."""
    kernel, stride, dilation = as_pair(kernel_size), as_pair(stride), as_pair(dilation)
    (top, _), (left, _) = padding_sides(padding, size, kernel, stride, dilation)
    P, Q = output_shape(size, kernel, stride, padding, dilation)
    for r, s, p, q in np.ndindex(*kernel, P, Q):
        h, w = p * stride[0] + r * dilation[0] - top, q * stride[1] + s * dilation[1] - left
        if 0 <= h < size[0] and 0 <= w < size[1]:
            yield r * kernel[1] + s, p * Q + q, h, w


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    """The windows of x (N, C, H, W) as a matrix (N, C R S, P Q)."""
    (N, C, *size), (R, S) = x.shape, as_pair(kernel_size)
    P, Q = output_shape(size, (R, S), stride, padding, dilation)
    y = np.zeros((N, C, R * S, P * Q))
    for row, column, h, w in taps_of(size, kernel_size, dilation, padding, stride):
        y[:, :, row, column] = x[:, :, h, w]
    return y.reshape(N, C * R * S, P * Q)


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The sum of what `unfold` takes from each place."""
    R, S = as_pair(kernel_size)
    size = as_pair(output_size)
    columns = x.astype(np.float64).reshape(x.shape[0], x.shape[1] // (R * S), R * S, x.shape[2])
    y = np.zeros((*columns.shape[:2], *size))
    for row, column, h, w in taps_of(size, kernel_size, dilation, padding, stride):
        y[:, :, h, w] += columns[:, :, row, column]
    return y


def avg_pool2d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """The mean of each window; what lies beyond the padding is never counted."""
    H, W = x.shape[2:]
    R, S = as_pair(kernel_size)
    stride = (R, S) if stride is None else as_pair(stride)
    (top, bottom), (left, right) = padding_sides(padding, (H, W), (R, S), stride, (1, 1))
    windows = list(windows_of(x, kernel_size, stride, padding, 1, ceil_mode))
    P, Q = (1 + max(place[axis] for place, _ in windows) for axis in (0, 1))
    y, numbers = np.zeros((*x.shape[:2], P, Q)), x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        for (p, q), taps in windows:
            first_row, first_column = p * stride[0] - top, q * stride[1] - left
            rows = min(first_row + R, H + bottom) - first_row  # of the window inside the padded image
            columns = min(first_column + S, W + right) - first_column
            divisor = divisor_override or (rows * columns if count_include_pad else len(taps))
            if taps:
                y[:, :, p, q] = sum_over(taps, numbers) / divisor
    return y


def adaptive_avg_pool2d(x, size):
    """The mean of each of the windows that share an image out."""
    y, numbers = np.zeros((*x.shape[:2], *size)), x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        for (p, q), taps, count in adaptive_windows(x.shape[2:], size):
            y[:, :, p, q] = sum_over(taps, numbers) / count
    return y


def adaptive_max_pool2d(x, size):
    """(values, indices): the greatest of each of them, the first among equals."""
    y, indices = np.full((*x.shape[:2], *size), -np.inf), np.full((*x.shape[:2], *size), -1)
    numbers = x.astype(np.float64)
    for (p, q), taps, _ in adaptive_windows(x.shape[2:], size):
        y[:, :, p, q], indices[:, :, p, q] = greatest_of(taps, numbers)
    return y, indices


def lp_pool2d(x, norm_type, kernel_size, stride=None, ceil_mode=False):
    """As PyTorch's definition reads."""
    x = x.astype(np.float64)
    R, S = as_pair(kernel_size)
    with np.errstate(all="ignore"):
        if math.isinf(norm_type):
            pool = max_pool2d if norm_type > 0 else min_pool2d
            return pool(np.abs(x), kernel_size, stride, ceil_mode=ceil_mode)[0]
        means = avg_pool2d(x**norm_type, kernel_size, stride, ceil_mode=ceil_mode)
        return (means * R * S) ** (1 / norm_type)
