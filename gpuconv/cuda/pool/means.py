"""What the sums of a window are divided by, where kernels compute whole tiles of means."""

from gpuconv.spec import MeanGradientSpec, PoolSpec


def mean_divisors(spec: PoolSpec | MeanGradientSpec) -> dict[str, int]:
    """Arguments of a kernel: rows and columns that count, whether they do, and what takes their place.

    A window is divided by how many of the rows in [rows_from, rows_to) it has, times how many of the columns;
    or, where `counted` is 0, by `divisor_override`.
    """
    (top, bottom), (left, right) = spec.pads
    rows, columns = (0, spec.H), (0, spec.W)
    if spec.count_include_pad:
        rows, columns = (-top, spec.H + bottom), (-left, spec.W + right)
    return {
        "rows_from": rows[0],
        "rows_to": rows[1],
        "columns_from": columns[0],
        "columns_to": columns[1],
        "counted": int(not spec.divisor_override),
        "divisor_override": spec.divisor_override or 0,
    }
