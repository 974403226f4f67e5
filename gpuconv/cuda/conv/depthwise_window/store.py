"""How `conv_depthwise_window` stores a thread's sums: a column, row by row, as far as it is there."""

from collections.abc import Callable

from gpuconv.cuda.device.elements import SCALARS
from gpuconv.cuda.device.epilogue import finish
from gpuconv.cuda.language import cuda, int64, uint32
from gpuconv.cuda.ptx.memory import load_if, store_if


def make_store(pixels: int, dtype: str) -> Callable[..., None]:
    """A function that stores `pixels` sums of a thread, in two parts each, if they are `mine`."""
    zero = SCALARS[dtype](0)

    @cuda.jit(device=True, inline="always")
    def store(
        total, sums, bias, bias_k, has_bias, y, strides, n, k, mine, p_first, q_first, group, column, spacing,
        P, Q,
    ):  # fmt: skip
        y_n, y_k, y_p, y_q = strides
        start = load_if(mine & (has_bias != uint32(0)), bias, int64(k) * bias_k, zero)
        p, q = uint32(p_first + group * uint32(pixels) * spacing), uint32(q_first + column)
        place = int64(n) * y_n + int64(k) * y_k + int64(p) * y_p + int64(q) * y_q
        for i in range(pixels):
            store_if(mine & (p < P) & (q < Q), y, place, finish(total[i] + sums[i], start))
            p, place = uint32(p + spacing), place + int64(spacing) * y_p

    return store
