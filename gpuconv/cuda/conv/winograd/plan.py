"""Which problems `conv_winograd` takes, and its kernels for one: two, or three where blocks share sums."""

from gpuconv.cuda.conv import implicit_gemm
from gpuconv.cuda.conv.split import is_quads, partial_row, plan_sum, runs_of
from gpuconv.cuda.conv.winograd import transform
from gpuconv.cuda.conv.winograd.kernel import BLOCK_BYTES, KERNEL
from gpuconv.cuda.conv.winograd.tiles import Cut, choose_splits, cost_of
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.cuda.runtime.passes import BIAS, SCRATCH, Passes, W, X, Y
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ConvLayouts
from gpuconv.workspace import beyond_limit, workspace_limit

Strides = tuple[int, ...]


def unsupported(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> str | None:
    if (spec.R, spec.S, spec.stride, spec.dilation) != (3, 3, (1, 1), (1, 1)):
        return "only for 3x3 kernels at stride 1 and dilation 1"
    if gpu.block_shared_bytes < BLOCK_BYTES:
        return f"a block of {gpu.name} cannot have {BLOCK_BYTES} bytes of shared memory"
    if spec.W > 1 and layouts.x.elements[3] != 1:
        return "the columns of the input do not lie side by side"
    return implicit_gemm.too_large(spec) or beyond_limit(4 * Cut.of(spec).weight_words)


def worth(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> bool:
    """Predicted: where it is expected to cost less than the implicit GEMM, and may mix neighbours."""
    if not spec.may_mix_neighbours:
        return False
    limit = workspace_limit()
    by_gemm = implicit_gemm.least_cost(spec, limit, gpu)
    return cost_of(spec, choose_splits(spec, limit, gpu), gpu) < by_gemm


def seconds(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> float:
    """Predicted, from a call to the next like it."""
    splits = choose_splits(spec, workspace_limit(), gpu)
    return 1e-6 * gpu.microseconds(cost_of(spec, splits, gpu)[0])


def plan(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> Passes:
    """The kernels for a problem; the pointers to start them with are x, w, the bias and y."""
    splits, cut, y = choose_splits(spec, workspace_limit(), gpu), Cut.of(spec), layouts.y.elements
    bias = layouts.bias.elements[0] if layouts.bias else None
    if splits == 1:
        aligned = layouts.y.offset % 8 == 0 and _is_pairs(spec, y)
        main = _launch(spec, cut, 1, layouts, bias, (*y, 0), 0, aligned)
        weights = _weights(spec, cut, layouts, 0)
        return Passes(cut.weight_words, ((weights, (W, SCRATCH)), (main, (X, W, SCRATCH, BIAS, Y))))
    row = partial_row(spec)
    parts = splits * spec.K * row  # before the weights
    to_parts = spec.P * spec.Q, row, spec.Q, 1, spec.K * row
    main = _launch(spec, cut, splits, layouts, None, to_parts, parts, spec.Q % 2 == 0)
    run, runs, y = runs_of(spec, y)
    total = plan_sum(spec, splits, bias, y, run, runs, layouts.y.offset == 0 and is_quads(run, y))
    return Passes(
        parts + cut.weight_words,
        (
            (_weights(spec, cut, layouts, parts), (W, SCRATCH)),
            (main, (X, W, SCRATCH, BIAS, SCRATCH)),
            (total, (SCRATCH, BIAS, Y)),
        ),
    )


def _weights(spec: ConvSpec, cut: Cut, layouts: ConvLayouts, first: int) -> Launch:
    """The kernel that puts the transformed weights into the memory of ours from the element `first` on."""
    scalars = {
        **steps(w_kcrs=layouts.w.elements), "u_first": first, "K": spec.K_group, "C": spec.C_group,
        "blocks_k": cut.blocks_k, "slabs": cut.slabs,
    }  # fmt: skip
    return Launch(transform.KERNEL, cut.weight_blocks, 0, scalars)


def _launch(
    spec: ConvSpec, cut: Cut, splits: int, layouts: ConvLayouts, bias: int | None, y: Strides,
    weights_first: int, aligned: bool,
) -> Launch:  # fmt: skip
    """The main kernel for strides in elements, those of y being (n, k, p, q, split)."""
    (top, _), (left, _) = spec.pads
    scalars = {
        **steps(x_nch=layouts.x.elements[:3], w_kcrs=layouts.w.elements, y_nkpq=y[:4]),
        "y_split": y[4], "u_first": weights_first, "bias_k": bias or 0, "has_bias": int(bias is not None),
        "H": spec.H, "W": spec.W, "K": spec.K_group, "P": spec.P, "Q": spec.Q, "C": spec.C_group,
        "groups": spec.groups, "h_origin": -top, "w_origin": -left, "tiles_p": cut.tiles_p,
        "tiles_q": cut.tiles_q, "tiles": cut.tiles, "blocks_k": cut.blocks_k, "all_slabs": cut.slabs,
        "slabs": -(-cut.slabs // splits), "splits": splits, "aligned": int(aligned),
    }  # fmt: skip
    return Launch(KERNEL, cut.blocks * splits, BLOCK_BYTES, scalars)


def _is_pairs(spec: ConvSpec, y: Strides) -> bool:
    """Whether the rows of the output are pairs of neighbours, each on a multiple of two elements."""
    rows = [step for step, extent in zip(y[:3], spec.out_shape, strict=False) if extent > 1]
    return y[3] == 1 and spec.Q % 2 == 0 and not any(step % 2 for step in rows)
