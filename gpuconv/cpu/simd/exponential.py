"""exp and what is made of it, for CPU kernels: vectors of float32 by polynomials, of float64 lane by lane.

    exp(v) = 2^k (1 + q)      k the integer nearest to v / ln 2,  r = v - k ln 2,  q = r + r^2 P(r)

as in Cephes' `expf` (S. L. Moshier, Methods and Programs for Mathematical Functions, 1989): k ln 2 is taken
away in two parts, of which the first times k is exact (W. J. Cody and W. Waite, 1980). The others ask for exp
of nothing positive, so that nothing overflows, and nothing is subtracted from a number near to it:

    sigmoid(v)  =  (1 or e) / (1 + e)                 e = exp(-|v|); 1 where v >= 0
    tanh(v)     =  m / (m + 2), with the sign of v    m = exp(2 |v|) - 1 = 2^k q + (2^k - 1)
    normal(v)   =  1 - h or h                         h = exp(-v^2 / 2) t H(t - 1/2); h where v < 0

`normal` is the distribution function of the normal distribution, (1 + erf(v / sqrt(2))) / 2. With
t = 1 / (1 + |v| / K) what is left varies little (M. M. Shepherd and J. G. Laframboise, Mathematics of
Computation 36, 1981); H interpolates it at the Chebyshev points of 0 <= |v| <= 15, and is off by 1.3e-8,
relatively. The rounding of v^2 is made good by a fused multiply-add, where there is one.

A NaN stays one. In float64 the C library computes each lane.
"""

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from gpuconv.cpu.simd.target import ELEMENTS, LANE, TILE
from gpuconv.cpu.simd.vectors import emit_call, emit_fma
from gpuconv.spec.dtypes import FLOAT32

LOG2_E, LN2 = 1.44269504088896341, (0.693359375, -2.12194440e-4)
ROUND = 1.5 * 2.0**23  # a float32 beside which nothing is left but integers
EXP = (
    5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4,
)  # fmt: skip
LEAST, MOST = -104.0, 89.0  # beyond which exp is 0 or infinite
K, FAR = 4.0, 12.9  # beyond FAR a tail would be subnormal, and takes ten times as long: it is 0
NORMAL = (
    1.88821285e-1, 3.03948297e-1, 3.87136683e-1, 3.73046614e-1, 2.41624742e-1, 6.02032193e-2,
    -5.63355652e-2, -5.01402140e-2, 1.20957772e-2, 1.60714734e-2,
)  # fmt: skip


def constant(vector, number):
    """The vector of equal lanes."""
    return ir.Constant(vector, [number] * vector.count)


def emit_polynomial(builder, x, coefficients, fused):
    """The sum of coefficients[i] x^i."""
    total = constant(x.type, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = emit_fma(builder, total, x, constant(x.type, coefficient), fused)
    return total


def emit_reduced(builder, v, fused):
    """(k, q) of v, which is finite and not large: exp(v) = 2^k (1 + q); k as integers."""
    high = constant(v.type, ROUND)
    scaled = emit_fma(builder, v, constant(v.type, LOG2_E), high, fused)
    number = builder.fsub(scaled, high)
    rest = v
    for part in LN2:
        rest = emit_fma(builder, number, constant(v.type, -part), rest, fused)
    square = builder.fmul(rest, rest)
    q = emit_fma(builder, square, emit_polynomial(builder, rest, EXP, fused), rest, fused)
    integers = ir.VectorType(LANE, v.type.count)
    k = builder.sub(builder.bitcast(scaled, integers), builder.bitcast(high, integers))
    return k, q


def emit_power(builder, k, vector):
    """2^k, for -126 <= k <= 127."""
    biased = builder.add(k, ir.Constant(k.type, [127] * k.type.count))
    return builder.bitcast(builder.shl(biased, ir.Constant(k.type, [23] * k.type.count)), vector)


def emit_between(builder, v, least, most):
    """v, or what of the bounds is nearer; the lower one of a NaN."""
    for order, bound in ((">", least), ("<", most)):
        limit = constant(v.type, bound)
        v = builder.select(builder.fcmp_ordered(order, v, limit), v, limit)
    return v


def emit_or_nan(builder, v, result):
    return builder.select(builder.fcmp_unordered("uno", v, v), v, result)


def emit_lane_by_lane(builder, name, v):
    """The function of the C library for each lane."""
    element, result = v.type.element, v
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(element, [element]), name)
    for lane in range(v.type.count):
        place = ir.Constant(LANE, lane)
        value = builder.call(function, [builder.extract_element(v, place)])
        result = builder.insert_element(result, value, place)
    return result


def emit_exp(builder, v, fused=TILE.fused):
    """exp(v): 2^k in two factors, the second of which alone may underflow or overflow."""
    if v.type.element != ELEMENTS[FLOAT32]:
        return emit_lane_by_lane(builder, "exp", v)
    is_far = builder.fcmp_ordered("<", v, constant(v.type, LEAST))
    near = builder.select(is_far, constant(v.type, 0.0), v)  # a product that underflows takes long
    k, q = emit_reduced(builder, emit_between(builder, near, LEAST, MOST), fused)
    half = builder.ashr(k, ir.Constant(k.type, [1] * k.type.count))
    first, second = (emit_power(builder, each, v.type) for each in (half, builder.sub(k, half)))
    result = builder.fmul(emit_fma(builder, q, first, first, fused), second)
    return emit_or_nan(builder, v, builder.select(is_far, constant(v.type, 0.0), result))


def emit_sigmoid(builder, v, fused=TILE.fused):
    one = constant(v.type, 1.0)
    e = emit_exp(builder, builder.fneg(emit_call(builder, "fabs", v.type, v)), fused)
    is_negative = builder.fcmp_ordered("<", v, constant(v.type, 0.0))
    return builder.fdiv(builder.select(is_negative, e, one), builder.fadd(one, e))


def emit_tanh(builder, v, fused=TILE.fused):
    if v.type.element != ELEMENTS[FLOAT32]:
        return emit_lane_by_lane(builder, "tanh", v)
    one, two = constant(v.type, 1.0), constant(v.type, 2.0)
    double = builder.fmul(emit_call(builder, "fabs", v.type, v), two)
    k, q = emit_reduced(builder, emit_between(builder, double, 0.0, 32.0), fused)
    power = emit_power(builder, k, v.type)
    m = emit_fma(builder, q, power, builder.fsub(power, one), fused)
    result = emit_call(builder, "copysign", v.type, builder.fdiv(m, builder.fadd(m, two)), v)
    return emit_or_nan(builder, v, result)


def emit_normal(builder, v, fused=TILE.fused):
    one, half = constant(v.type, 1.0), constant(v.type, 0.5)
    if v.type.element != ELEMENTS[FLOAT32]:
        scaled = builder.fmul(v, constant(v.type, -(0.5**0.5)))
        return builder.fmul(half, emit_lane_by_lane(builder, "erfc", scaled))
    size = emit_call(builder, "fabs", v.type, v)
    is_far = builder.fcmp_ordered(">", size, constant(v.type, FAR))
    size = builder.select(
        builder.fcmp_ordered("<=", size, constant(v.type, FAR)), size, constant(v.type, 0.0)
    )
    square = builder.fmul(size, size)
    error = emit_fma(builder, size, size, builder.fneg(square), fused)
    tail = emit_exp(builder, builder.fmul(square, constant(v.type, -0.5)), fused)
    tail = emit_fma(builder, builder.fmul(error, constant(v.type, -0.5)), tail, tail, fused)
    t = builder.fdiv(one, emit_fma(builder, size, constant(v.type, 1 / K), one, fused))
    h = emit_polynomial(builder, builder.fsub(t, half), NORMAL, fused)
    h = builder.fmul(builder.fmul(h, t), tail)
    h = builder.select(is_far, constant(v.type, 0.0), h)
    is_negative = builder.fcmp_ordered("<", v, constant(v.type, 0.0))
    return emit_or_nan(builder, v, builder.select(is_negative, h, builder.fsub(one, h)))


def _of_one(emit):
    """An intrinsic f(vector)."""

    @intrinsic
    def function(typingctx, vector):
        return vector(vector), lambda context, builder, sig, args: emit(builder, *args)

    return function


exponential, sigmoid, tangent, normal = map(_of_one, (emit_exp, emit_sigmoid, emit_tanh, emit_normal))
