"""Padding by the image itself: its middle is a convolution without padding, and so are copies of its borders.

`gpuconv.spec.regions` says which regions there are. What a border sees is copied by a kernel, one thread for
each element, into memory of our own, which one border after the other uses.
"""

from collections.abc import Callable
from functools import partial

from gpuconv.algorithm import Algorithm, Algorithms, plan_by, refused_by_all
from gpuconv.cuda.device.elements import inlined
from gpuconv.cuda.device.outputs import THREADS, blocks_of, locate, too_many
from gpuconv.cuda.language import int32, int64, types
from gpuconv.cuda.runtime import passes
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.cuda.runtime.passes import Parts, Step
from gpuconv.cuda.runtime.scratch import ELEMENT_BYTES
from gpuconv.spec import PRECISIONS, ConvLayouts, ConvSpec
from gpuconv.spec.checks import axes_of
from gpuconv.spec.dtypes import BYTES, CONVOLVED, UINT8
from gpuconv.spec.layouts import ALIGNED, Layout, packed
from gpuconv.spec.padding_mode import MIRRORED
from gpuconv.spec.regions import Region, regions_of, too_long

REFLECT, REPLICATE, CIRCULAR = range(len(MIRRORED))


@inlined
def continued(place, extent, mode):
    """Where what lies at a place of an axis is read, which may be beyond its borders."""
    last = extent - int32(1)
    if mode == CIRCULAR:
        place = place + extent if place < int32(0) else place
        place = place - extent if place > last else place
    elif mode == REFLECT:
        place = -place if place < int32(0) else place
        place = int32(2) * last - place if place > last else place
    else:
        place = min(max(place, int32(0)), last)
    return place


def make_function() -> Callable[..., None]:
    def mirror(
        x, border, x_n, x_c, x_h, x_w,  # strides in elements
        N, C, H, W, h_first, w_first, rows, columns, mode,
    ):  # fmt: skip
        n, c, i, j = locate(C, rows, columns)
        if n < int64(N):
            h = continued(int32(i) + h_first, H, mode)
            w = continued(int32(j) + w_first, W, mode)
            at = ((n * int64(C) + c) * int64(rows) + int64(i)) * int64(columns) + int64(j)
            border[at] = x[n * x_n + c * x_c + int64(h) * x_h + int64(w) * x_w]

    return mirror


def make_kernel(stored: str) -> Kernel:
    """The kernel for what lies in memory, which is copied whatever it means."""
    pointer = types.CPointer(getattr(types, stored))
    types_of = {pointer: "x border", int64: "x_n x_c x_h x_w", int32: "H W h_first w_first"}
    return Kernel(f"conv_mirror {stored}", make_function, types_of, THREADS, 4)


STORED = {dtype: UINT8.stored if dtype in BYTES else dtype.stored for dtype in CONVOLVED}
KERNEL_OF = {stored: make_kernel(stored) for stored in STORED.values()}
KERNELS = tuple(KERNEL_OF.values())


def unsupported(convolutions: Algorithms, spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> str | None:
    if reason := too_long(spec):
        return reason
    for region in regions_of(spec):
        arrays, _ = _seen(region, layouts)
        if reason := refused_by_all(convolutions, region.spec, arrays, gpu):
            return f"no convolution can run one of its regions: {reason}"
        if region.is_copied and (reason := too_many(region.spec.in_shape)):
            return reason
    return None


def worth(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> bool:
    return True


def plan(convolutions: Algorithms, spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> Parts:
    found, most = [], 0
    for region in regions_of(spec):
        arrays, (x, y) = _seen(region, layouts)
        problem = region.spec, arrays, gpu
        convolve = plan_by(convolutions, *problem)
        if region.is_copied:
            found.append(Step(_copy(region, spec, layouts.x), ((passes.X, 0), (passes.SCRATCH, 0))))
            most = max(most, blocks_of(region.spec.in_shape) * THREADS * spec.itemsize)
        source = (passes.SCRATCH, 0) if region.is_copied else (passes.X, x)
        found.append(Step(convolve, (source, (passes.W, 0), (passes.BIAS, 0), (passes.Y, y))))
    return Parts(tuple(found), len(layouts), between=-(-most // ELEMENT_BYTES))


def _seen(region: Region, layouts: ConvLayouts) -> tuple[ConvLayouts, tuple[int, int]]:
    """How the arrays of a region lie, and how many bytes from the start of x and y."""
    rows, columns = region.inputs
    x, begin = packed(region.spec.in_shape, layouts.x.dtype), 0
    if not region.is_copied:
        x, begin = _part(layouts.x, region.spec.in_shape, rows.start, columns.start)
    p, q = region.outputs
    y, end = _part(layouts.y, region.spec.out_shape, p.start, q.start)
    return layouts._replace(x=x, y=y), (begin, end)


def _part(layout: Layout, shape: tuple[int, ...], h: int, w: int) -> tuple[Layout, int]:
    begin = h * layout.strides[2] + w * layout.strides[3]
    return layout._replace(shape=shape, offset=(layout.offset + begin) % ALIGNED), begin


def _copy(region: Region, spec: ConvSpec, x: Layout) -> Launch:
    """What a border sees, into memory of our own."""
    N, C, rows, columns = region.spec.in_shape
    firsts = (
        each.start * axis.stride - axis.pads[0]
        for each, axis in zip(region.outputs, axes_of(spec), strict=True)
    )
    h_first, w_first = firsts
    scalars = {
        **steps(x_nchw=x.elements), "N": N, "C": C, "H": spec.H, "W": spec.W, "h_first": h_first,
        "w_first": w_first, "rows": rows, "columns": columns, "mode": MIRRORED.index(spec.padding_mode),
    }  # fmt: skip
    return Launch(KERNEL_OF[STORED[spec.dtype]], blocks_of(region.spec.in_shape), 0, scalars)


def over(convolutions: Algorithms) -> Algorithm:
    """The algorithm that computes each region by one of `convolutions`."""
    return Algorithm(
        "conv_mirrored",
        {
            "dtype": CONVOLVED, "weight_dtype": (None, *BYTES), "unrounded": (False, True),
            "precision": PRECISIONS, "padding_mode": MIRRORED,
        },
        partial(unsupported, convolutions), worth, partial(plan, convolutions),
        fast_for="a padding mode that reads the image again, and what a plain convolution is fast for",
    )  # fmt: skip
