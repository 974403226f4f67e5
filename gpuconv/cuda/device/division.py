"""Divisions that cost less than the machine's own, and give the same result.

Integers by a number that is known before the launch: a multiplication and a shift. With
shift = ceil(log2 d) and multiplier = ceil(2^(31 + shift) / d), which is below 2^32, a // d is
(a multiplier) >> (31 + shift) for every 0 <= a < 2^31 (Granlund and Montgomery, "Division by Invariant
Integers using Multiplication", PLDI 1994).

A float32 by a whole number, without a branch: a Newton step mends the hardware's reciprocal, which is within
one unit in the last place, and the remainder the quotient (Markstein, "Computation of elementary functions on
the IBM RISC System/6000 processor", IBM J. Res. Dev. 34, 1990). For divisors below 2^22 in magnitude the
result is the quotient of IEEE 754, unless that is subnormal; a zero has either sign.
"""

from collections.abc import Mapping

from gpuconv.cuda.language import cuda, float32, int32, libdevice, uint32
from gpuconv.cuda.ptx.arithmetic import near_reciprocal
from gpuconv.spec.dtypes import FLOAT32, FLOAT64

DIVIDENDS = 2**31  # below which dividend and divisor have to be


def reciprocal(divisor: int) -> tuple[int, int]:
    """(multiplier, shift) for `quotient`; a divisor of 0, of an empty axis, is taken for 1.

    Examples
    --------
    >>> reciprocal(7)
    (2454267027, 3)
    """
    divisor = max(divisor, 1)
    shift = (divisor - 1).bit_length()
    return -(-(2 ** (31 + shift)) // divisor), shift


def named_reciprocal(name: str, divisor: int) -> dict[str, int]:
    """The arguments NAME_multiplier and NAME_shift of a kernel.

    Examples
    --------
    >>> named_reciprocal("C", 7)
    {'C_multiplier': 2454267027, 'C_shift': 3}
    """
    multiplier, shift = reciprocal(divisor)
    return {f"{name}_multiplier": multiplier, f"{name}_shift": shift}


def with_reciprocals(divisors: Mapping[str, int]) -> dict[str, int]:
    """The arguments NAME, NAME_multiplier and NAME_shift of a kernel for each of its divisors."""
    found = dict(divisors)
    for name, divisor in divisors.items():
        found.update(named_reciprocal(name, divisor))
    return found


@cuda.jit(device=True, inline="always")
def divide(a, b):
    """(a // b, a % b) of uint32, in the machine's own way: where once is enough."""
    return uint32(a // b), uint32(a % b)


@cuda.jit(device=True, inline="always")
def quotient(a, multiplier, shift):
    """a // d as uint32, for a below 2^31."""
    high = uint32(libdevice.umulhi(int32(uint32(a << uint32(1))), int32(multiplier)))
    return uint32(high >> uint32(shift & uint32(31)))  # below 32, so that it is done in 32 bits


@cuda.jit(device=True, inline="always")
def quotient_and_rest(a, divisor):
    """(a // d, a % d) as uint32 by (d, *reciprocal(d)), for a below 2^31."""
    d, multiplier, shift = divisor
    whole = quotient(a, multiplier, shift)
    return whole, uint32(a - uint32(whole * d))


@cuda.jit(device=True, inline="always")
def divided32(total, divisor):
    """total / divisor in float32."""
    near = near_reciprocal(divisor)
    inverse = cuda.fma(cuda.fma(-near, divisor, float32(1)), near, near)
    rough = total * inverse
    better = cuda.fma(cuda.fma(-rough, divisor, total), inverse, rough)
    return better if better == better else rough  # NaN stays NaN; an infinity has no remainder


@cuda.jit(device=True, inline="always")
def divided64(total, divisor):
    """total / divisor in float64, where nothing is gained over the division itself."""
    return total / divisor


DIVIDED = {FLOAT32: divided32, FLOAT64: divided64}


@cuda.jit(device=True, inline="always")
def overlap(start, extent, low, high):
    """How many of `extent` positions from `start` on lie in [low, high)."""
    return int32(min(int32(int32(start) + extent), high) - max(int32(start), low))
