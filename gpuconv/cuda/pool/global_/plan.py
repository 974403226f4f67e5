"""Which windows `pool_global` takes, and how a problem becomes a launch."""

from gpuconv.cuda.device.division import DIVIDENDS, with_reciprocals
from gpuconv.cuda.device.limits import VECTOR_BYTES
from gpuconv.cuda.pool.global_.kernel import KERNEL_OF
from gpuconv.cuda.pool.global_.tiles import LARGE, TEAMS
from gpuconv.cuda.pool.vectors import in_vectors
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.spec import PoolSpec
from gpuconv.spec.layouts import Layout, PoolLayouts


def unsupported(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> str | None:
    if spec.P * spec.Q > 1:
        return f"it takes one window for each plane, not {spec.P} x {spec.Q}"
    if spec.dilation != (1, 1):
        return "it knows no dilation"
    rows, columns = _covered(spec)
    if rows <= 0 or columns <= 0:
        return "the window covers padding alone"
    if spec.H * spec.W >= 2**30:
        return "an image has 2^30 elements or more"
    if spec.N * spec.C >= DIVIDENDS // 2:
        return "there are 2^30 planes or more"
    return None


def worth(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> bool:
    # Counted, not measured: each element is requested once, where pool_direct gives a plane to one thread; a
    # plane of 16 x 16 takes 2800 instructions of threads instead of 11400, on 4 times as many threads.
    return True


def plan(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> Launch:
    x, y, indices = layouts
    rows, columns = _covered(spec)
    if x.strides[2] == spec.W * x.strides[3] and columns == spec.W:
        rows, columns = 1, rows * columns  # one long row
    team = TEAMS[int(columns * rows >= LARGE)]
    planes = spec.N * spec.C
    scalars = {
        **steps(x_nchw=x.elements, y_nc=y.elements[:2]), **with_reciprocals({"C": spec.C}),
        "planes": planes, "rows": rows, "columns": columns,
    }  # fmt: skip
    if indices is not None:
        kernel = KERNEL_OF[spec.dtype, "argmax", team, False]
        scalars |= {**steps(i_nc=indices.elements[:2]), "W": spec.W}
    else:
        kernel = KERNEL_OF[spec.dtype, spec.reduction, team, _is_wide(spec, x, rows, columns)]
        scalars["divisor"] = _divisor(spec)
    return Launch(kernel, team.blocks(planes), 0, scalars)


def _covered(spec: PoolSpec) -> tuple[int, int]:
    """Rows and columns of the image that the window covers, from the first on."""
    (top, _), (left, _) = spec.pads
    return min(spec.R - top, spec.H), min(spec.S - left, spec.W)


def _divisor(spec: PoolSpec) -> int:
    rows, columns = _covered(spec)
    if spec.count_include_pad:
        (top, bottom), (left, right) = spec.pads
        rows, columns = min(spec.R, top + spec.H + bottom), min(spec.S, left + spec.W + right)
    return spec.divisor_override or rows * columns


def _is_wide(spec: PoolSpec, x: Layout, rows: int, columns: int) -> bool:
    """Whether the rows consist of whole aligned vectors; of one alone, where others begin is no matter."""
    vector = VECTOR_BYTES // spec.itemsize
    n, c, h, w = x.strides
    return columns % vector == 0 and in_vectors(x._replace(strides=(n, c, h if rows > 1 else 0, w)), vector)
