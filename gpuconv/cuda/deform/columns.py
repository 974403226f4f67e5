"""Deformable convolution: what each tap sees is sampled into columns, of which 1x1 kernels make the results.

    columns[n, (c, r, s), p, q] = mask * x[n, c] between the four pixels around where the tap (r, s) lies
    y[n, k, p, q] = bias[k] + sum over d = (c, r, s) of w[k, d] * columns[n, d, p, q]

The columns are memory of our own, for some images at a time, one block of images after the other; one thread
samples one element. The product is a convolution of its own, which is chosen anew: of 1x1 kernels, where the
weights lie without gaps, else of R x S kernels that stand side by side, at a stride of as much.
"""

import math
from collections.abc import Callable
from functools import partial

from gpuconv.algorithm import ANY, Algorithm, Algorithms, plan_by, refused_by_all
from gpuconv.cuda.device.elements import SCALARS
from gpuconv.cuda.device.outputs import THREADS, blocks_of, locate, too_many
from gpuconv.cuda.language import int32, int64, types, uint32
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.cuda.runtime.passes import Parts, Step
from gpuconv.cuda.runtime.scratch import ELEMENT_BYTES
from gpuconv.spec import PRECISIONS, ConvLayouts, ConvSpec, DeformedLayouts
from gpuconv.spec.dtypes import FLOATS
from gpuconv.spec.layouts import ALIGNED, contiguous_strides, packed

X, OFFSET, W, BIAS, MASK, Y, COLUMNS = range(7)  # places of pointers; the last is memory of our own
COLUMNS_BYTES = 64 << 20  # of the columns, if those of one image are no more


def make_function(dtype: str) -> Callable[..., None]:
    scalar = SCALARS[dtype]

    def deform_columns(
        x, offset, mask, columns, x_n, x_c, x_h, x_w, offset_n, offset_c, offset_p, offset_q,
        mask_n, mask_c, mask_p, mask_q, columns_n, columns_c, columns_r, columns_s, columns_p, columns_q,
        N, C, H, W, R, S, P, Q, channels, h_origin, w_origin, stride_h, stride_w, dilation_h, dilation_w,
        is_masked,
    ):  # fmt: skip
        n, d, p, q = locate(C * R * S, P, Q)
        if n < int64(N):
            c, t = uint32(uint32(d) // (R * S)), uint32(uint32(d) % (R * S))
            r, s = uint32(t // S), uint32(t % S)
            tap = int64(uint32(c // channels * R * S + t))  # of the group of c
            at = n * offset_n + int64(2) * tap * offset_c + int64(p) * offset_p + int64(q) * offset_q
            h = scalar(int32(p * stride_h + r * dilation_h) + h_origin) + offset[at]
            w = scalar(int32(q * stride_w + s * dilation_w) + w_origin) + offset[at + offset_c]
            total = scalar(0)
            if not (h == h and w == w):  # one is no number
                total = h + w
            elif h > scalar(-1) and w > scalar(-1) and h < scalar(H) and w < scalar(W):
                low_h, low_w = math.floor(h), math.floor(w)
                row, column = int32(low_h), int32(low_w)
                down, right = h - scalar(low_h), w - scalar(low_w)
                for i in range(2):
                    share_h = down if i == 1 else scalar(1) - down
                    for j in range(2):
                        share = share_h * (right if j == 1 else scalar(1) - right)
                        inside_h = row + int32(i) >= int32(0) and row + int32(i) < H
                        if inside_h and column + int32(j) >= int32(0) and column + int32(j) < W:
                            place = int64(row + int32(i)) * x_h + int64(column + int32(j)) * x_w
                            total += share * x[n * x_n + int64(c) * x_c + place]
            if is_masked:
                place = n * mask_n + tap * mask_c + int64(p) * mask_p + int64(q) * mask_q
                total = total * mask[place]
            place = n * columns_n + int64(c) * columns_c + int64(r) * columns_r + int64(s) * columns_s
            columns[place + int64(p) * columns_p + int64(q) * columns_q] = total

    return deform_columns


def make_kernel(dtype: str) -> Kernel:
    axes = "x_n x_c x_h x_w offset_n offset_c offset_p offset_q mask_n mask_c mask_p mask_q"
    of_columns = "columns_n columns_c columns_r columns_s columns_p columns_q"
    types_of = {
        types.CPointer(SCALARS[dtype]): "x offset mask columns",
        int64: f"{axes} {of_columns}",
        int32: "H W h_origin w_origin",
    }
    return Kernel(f"deform_columns {dtype}", partial(make_function, dtype), types_of, THREADS, 3)


KERNEL_OF = {dtype: make_kernel(dtype) for dtype in FLOATS}
KERNELS = tuple(KERNEL_OF.values())


def images_of(spec: ConvSpec) -> int:
    """Images of a block."""
    image = max(1, spec.C * spec.R * spec.S * spec.P * spec.Q * spec.itemsize)
    return max(1, min(spec.N, COLUMNS_BYTES // image))


def _product(spec: ConvSpec, layouts: DeformedLayouts, images: int) -> tuple[ConvSpec, ConvLayouts]:
    """The convolution of the columns of so many images, without the offset of its arrays."""
    depth, dtype = spec.C * spec.R * spec.S, layouts.x.dtype
    y = layouts.y._replace(shape=(images, *layouts.y.shape[1:]))
    if layouts.w.is_packed:
        product = ConvSpec(
            images, depth, spec.P, spec.Q, spec.K, 1, 1, groups=spec.groups, dtype=spec.dtype,
            precision=spec.precision,
        )  # fmt: skip
        w = packed(product.weight_shape, dtype)._replace(offset=layouts.w.offset)
    else:
        product = ConvSpec(
            images, spec.C, spec.P * spec.R, spec.Q * spec.S, spec.K, spec.R, spec.S,
            stride=(spec.R, spec.S), groups=spec.groups, dtype=spec.dtype, precision=spec.precision,
        )  # fmt: skip
        w = layouts.w
    return product, ConvLayouts(packed(product.in_shape, dtype), w, layouts.bias, y)


def unsupported(convolutions: Algorithms, spec: ConvSpec, layouts: DeformedLayouts, gpu: Gpu) -> str | None:
    images = images_of(spec)
    if max(spec.H, spec.W, spec.P * spec.stride[0], spec.Q * spec.stride[1]) + 2**21 >= 2**31:
        return "the padded image has a side of nearly 2^31 or more"
    if reason := refused_by_all(convolutions, *_product(spec, layouts, images), gpu):
        return f"no convolution can multiply its columns: {reason}"
    return too_many((images, spec.C * spec.R * spec.S, spec.P, spec.Q))


def worth(spec: ConvSpec, layouts: DeformedLayouts, gpu: Gpu) -> bool:
    return True


def plan(convolutions: Algorithms, spec: ConvSpec, layouts: DeformedLayouts, gpu: Gpu) -> Parts:
    images, found = images_of(spec), []
    for n in range(0, spec.N, images):
        count = min(images, spec.N - n)
        moved = {name: n * getattr(layouts, name).strides[0] for name in ("x", "offset", "y")}
        masked = 0 if layouts.mask is None else n * layouts.mask.strides[0]
        sampled = (X, moved["x"]), (OFFSET, moved["offset"]), (MASK, masked), (COLUMNS, 0)
        found.append(Step(_sample(spec, layouts, count), sampled))
        product, arrays = _product(spec, layouts, count)
        y = arrays.y._replace(offset=(layouts.y.offset + moved["y"]) % ALIGNED)
        problem = product, arrays._replace(y=y), gpu
        multiplied = (COLUMNS, 0), (W, 0), (BIAS, 0), (Y, moved["y"])
        found.append(Step(plan_by(convolutions, *problem), multiplied))
    between = images * spec.C * spec.R * spec.S * spec.P * spec.Q * spec.itemsize
    return Parts(tuple(found), len(layouts), -(-between // (ALIGNED * ELEMENT_BYTES)) * ALIGNED)


def _sample(spec: ConvSpec, layouts: DeformedLayouts, images: int) -> Launch:
    """The columns of so many images."""
    (top, _), (left, _) = spec.pads
    if layouts.w.is_packed:
        n, c, r, s, p, q = contiguous_strides((images, spec.C, spec.R, spec.S, spec.P, spec.Q), 1)
    else:
        n, c, p, r, q, s = contiguous_strides((images, spec.C, spec.P, spec.R, spec.Q, spec.S), 1)
    scalars = {
        **steps(
            x_nchw=layouts.x.elements, offset_ncpq=layouts.offset.elements,
            mask_ncpq=layouts.mask.elements if layouts.mask else (0, 0, 0, 0),
            columns_ncrspq=(n, c, r, s, p, q),
        ),
        "N": images, "C": spec.C, "H": spec.H, "W": spec.W, "R": spec.R, "S": spec.S, "P": spec.P,
        "Q": spec.Q, "channels": max(1, spec.C // spec.offset_groups), "h_origin": -top, "w_origin": -left,
        "stride_h": spec.stride[0], "stride_w": spec.stride[1],
        "dilation_h": spec.dilation[0], "dilation_w": spec.dilation[1],
        "is_masked": int(layouts.mask is not None),
    }  # fmt: skip
    blocks = blocks_of((images, spec.C * spec.R * spec.S, spec.P, spec.Q))
    return Launch(KERNEL_OF[spec.dtype], blocks, 0, scalars)


def over(convolutions: Algorithms) -> Algorithm:
    """The algorithm that multiplies its columns by one of `convolutions`."""
    return Algorithm(
        "deform_columns", {"dtype": FLOATS, "precision": PRECISIONS, "offset_groups": ANY},
        partial(unsupported, convolutions), worth, partial(plan, convolutions),
        fast_for="sampled columns, and what 1x1 kernels are fast for",
    )  # fmt: skip
