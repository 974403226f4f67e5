"""Winograd's minimal filtering F(2x2,3x3): 3x3 kernels at stride 1 with 2.25 times fewer products.

    y  =  A^T [ sum over c of (G g G^T) * (B^T d B) ] A + bias      (* multiplies element by element)

A tile of 2 x 2 outputs reads 4 x 4 inputs d and takes 16 products a channel where the definition takes 36.
`winograd_transform.py` has the matrices and the kernel that transforms the weights, `winograd_kernel.py` the
main kernel and the picture of its tile, `winograd_tail.py` its end, `winograd_tiles.py` says how a problem is
cut. Transformed weights stand in memory of our own, 64 bytes for each weight matrix; inputs and sums never
leave a block. Where there are few tiles, several blocks share the input channels, and `split.py` adds up
their sums in order.

Values that are not finite: a result that is not finite is computed anew within the kernel, as the definition
says, and that is enough (`winograd_direct.py`). Zero padding is multiplied like any value. A sum is one chain
of fused multiply-adds over the input channels; the greatest input of a tile bounds the error of its outputs.

What it cannot do: other kernels than 3x3, strides, dilation, float64. What it does badly: few channels, as 64
outputs are computed at once, and few tiles. Inputs whose columns are not side by side are left to the
implicit GEMM, and so are devices before sm_80, whose blocks cannot have 97 KB of shared memory. Not yet run
on a GPU: the tests execute its compiled PTX.
"""

import functools

from gpuconv.algorithm import Algorithm
from gpuconv.arrays import DeviceArray
from gpuconv.cuda.conv import implicit_gemm as conv_implicit_gemm
from gpuconv.cuda.conv import split
from gpuconv.cuda.conv.implicit_gemm import tiles as gemm_tiles
from gpuconv.cuda.conv.implicit_gemm.tiles import partial_row
from gpuconv.cuda.conv.winograd import transform as winograd_transform
from gpuconv.cuda.conv.winograd.kernel import KERNEL, SHARED_BYTES
from gpuconv.cuda.conv.winograd.tiles import Cut, choose_splits, cost
from gpuconv.cuda.runtime.gpu import H200, chip
from gpuconv.cuda.runtime.launch import Launch, devices
from gpuconv.spec import ConvSpec
from gpuconv.workspace import beyond_limit, workspace_limit

OLDEST = (8, 0)  # whose blocks may have so much shared memory
KERNELS = (KERNEL, winograd_transform.KERNEL)


def unsupported(spec: ConvSpec) -> str | None:
    if (spec.R, spec.S, spec.stride, spec.dilation) != (3, 3, (1, 1), (1, 1)):
        return "only for 3x3 kernels at stride 1 and dilation 1"
    reason = conv_implicit_gemm.unsupported(spec)  # which takes over some layouts, and has all other limits
    return reason or beyond_limit(4 * Cut.of(spec).weight_words)


def worth(spec: ConvSpec) -> bool:
    """Predicted: where `winograd_tiles` expects a lower cost on an H200 than `gemm_tiles`."""
    limit = workspace_limit()
    by_gemm = gemm_tiles.cost(spec, gemm_tiles.choose(spec, limit, H200), H200)
    return cost(spec, choose_splits(spec, limit, H200), H200) < by_gemm


Strides = tuple[int, ...]


@functools.lru_cache(maxsize=1024)
def plan(
    spec: ConvSpec,
    x_strides: Strides,
    w_strides: Strides,
    bias_strides: Strides | None,
    y_strides: Strides,
    splits: int,
    y_offset: int,
) -> split.Passes:
    """The kernels for a problem, the byte strides of its arrays, and the address of y modulo 16.

    The pointers to start it with are x, w, the bias and y.
    """
    x, w, y = (tuple(step // 4 for step in each) for each in (x_strides, w_strides, y_strides))
    bias = None if bias_strides is None else bias_strides[0] // 4
    cut = Cut.of(spec)
    if splits == 1:
        aligned = y_offset % 8 == 0 and _is_pairs(spec, y)
        main = _launch(spec, cut, 1, x, w, bias, (*y, 0), 0, aligned)
        return split.Passes(cut.weight_words, (_weights(spec, cut, w, 0), (main, (0, 1, 4, 2, 3))))
    row = partial_row(spec)
    parts = splits * spec.K * row  # before the weights
    to_parts = spec.P * spec.Q, row, spec.Q, 1, spec.K * row
    main = _launch(spec, cut, splits, x, w, None, to_parts, parts, spec.Q % 2 == 0)
    run, runs, y = split.runs_of(spec, y)
    total = split.plan_sum(spec, splits, bias, y, run, runs, y_offset == 0 and split.is_quads(run, y))
    launches = _weights(spec, cut, w, parts), (main, (0, 1, 4, 2, 4)), (total, (4, 2, 3))
    return split.Passes(parts + cut.weight_words, launches)


def _weights(spec: ConvSpec, cut: Cut, w: Strides, first: int) -> tuple[Launch, tuple[int, ...]]:
    """The kernel that puts the transformed weights into the memory of ours from the element `first` on."""
    scalars = *w, first, spec.K_group, spec.C_group, cut.blocks_k, cut.slabs
    return Launch(winograd_transform.KERNEL, cut.weight_blocks, 0, scalars), (1, 4)


def _launch(
    spec: ConvSpec, cut: Cut, splits: int, x: Strides, w: Strides, bias: int | None, y: Strides,
    weights_first: int, aligned: bool,
) -> Launch:  # fmt: skip
    """The main kernel for strides in elements, those of y being (n, k, p, q, split)."""
    (top, _), (left, _) = spec.pads
    scalars = (
        *x[:3], *w, bias or 0, *y, weights_first,
        spec.H, spec.W, spec.K_group, spec.P, spec.Q, spec.C_group, spec.groups, -top, -left,
        cut.tiles_p, cut.tiles_q, cut.tiles, cut.blocks_k, cut.slabs, -(-cut.slabs // splits), splits,
        int(bias is not None), int(aligned),
    )  # fmt: skip
    return Launch(KERNEL, cut.blocks * splits, SHARED_BYTES, scalars)


def _is_pairs(spec: ConvSpec, y: Strides) -> bool:
    """Whether the rows of the output are pairs of neighbours, each on a multiple of two elements."""
    steps = [step for step, extent in zip(y[:3], spec.out_shape, strict=False) if extent > 1]
    return y[3] == 1 and spec.Q % 2 == 0 and not any(step % 2 for step in steps)


def run(
    spec: ConvSpec, x: DeviceArray, w: DeviceArray, bias: DeviceArray | None, y: DeviceArray
) -> Launch | split.Passes:
    if lacks_shared_memory(y.device) or (spec.W > 1 and x.strides[3] != spec.itemsize):
        return conv_implicit_gemm.run(spec, x, w, bias, y)
    passes = plan(
        spec, x.strides, w.strides, None if bias is None else bias.strides, y.strides,
        choose_splits(spec, workspace_limit(), chip(y.device)), y.pointer % 16,
    )  # fmt: skip
    return passes.start(y, x, w, bias, y)


@functools.cache
def lacks_shared_memory(ordinal: int) -> bool:
    """Whether the blocks of a device cannot have SHARED_BYTES."""
    return any(each.ordinal == ordinal and each.capability < OLDEST for each in devices())


ALGORITHM = Algorithm(
    "conv_winograd", unsupported, worth, run,
    "3x3 kernels with about 48 output channels or more, and enough tiles (predicted)",
)  # fmt: skip
