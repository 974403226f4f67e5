"""Which problems `conv_depthwise` takes, and its launch for one."""

from gpuconv.cuda.conv.depthwise.kernel import SLIDING
from gpuconv.cuda.conv.depthwise.slide import steps_of_round
from gpuconv.cuda.conv.depthwise.tiles import WARPS, WIDE, Strips, is_compiled, keeps_busy, slides
from gpuconv.cuda.device.division import DIVIDENDS, named_reciprocal, with_reciprocals
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ConvLayouts, Layout

SHARED_BY = 8  # outputs of a group, with which `conv_stem` fills its tile


def unsupported(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> str | None:
    if not is_compiled(spec):
        return "only for windows of 3x3, 5x5 and 7x7 at stride 1 or 2 and dilation 1"
    return too_large(spec)


def too_large(spec: ConvSpec) -> str | None:
    """Why a depthwise kernel cannot count the channels, the pixels or the planes of a problem."""
    if spec.C_group != 1:
        return f"each group has {spec.C_group} input channels, not one"
    kernel = spec.dilation[0] * spec.R, spec.dilation[1] * spec.S
    for outputs, stride, reach in zip((spec.P, spec.Q), spec.stride, kernel, strict=True):
        if (outputs + 256) * stride + 2 * reach >= DIVIDENDS:
            return "the padded image has a side of about 2^31 or more"
    if spec.N * spec.K * spec.P * spec.Q >= 2**33:
        return "the output has 2^33 elements or more"
    return None


def worth(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> bool:
    return slides(spec, gpu) and outweighs_sharing(spec, gpu)


def outweighs_sharing(spec: ConvSpec, gpu: Gpu) -> bool:
    """Predicted: for 8 outputs of a group and more, a kernel that shares the loaded x among them is faster,
    if there are enough of them; but not for windows of 3x3, whose results take longer to store.

    On an H200, when `profiling.model` still shared warps out to all schedulers, us, the depthwise kernels /
    the fastest other: 1 -> 6 5x5 @28 N 64 4.2 / `conv_stem` 5.2;
    1 -> 4 11x11 @512 10 / 15; 1 -> 1 31x31 @2048 176 / 194; 1 -> 8 15x15 @2048 375 / 331; 1 -> 16 5x5 @512
    16 / 11; 1 -> 8 7x7 @64 N 8 4.5 / 6.2; 1 -> 64 3x3 @512 21.8 / 23.9; 1 -> 16 3x3 @48x480 N 16 9.4 / 10.2.
    """
    few = spec.K_group < SHARED_BY or not keeps_busy(spec.N * spec.K * spec.P * spec.Q, gpu)
    return few or (spec.R, spec.S, *spec.stride, *spec.dilation) == (3, 3, 1, 1, 1, 1)


def plan(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> Launch:
    """The launch for a problem; its pointers are x, w, the bias and y."""
    x, y, bias = layouts.x, layouts.y, layouts.bias
    (top, _), (left, _) = spec.pads
    stride, origin = spec.stride[0], (spec.S - 1) // 2 - left
    wide, outputs = 4 // stride, 1
    if spec.Q * stride >= WIDE and _in_vectors(4, x, spec.W, origin) and _in_vectors(wide, y, spec.Q):
        outputs = wide
    strips = Strips.of(spec, outputs, steps_of_round(spec.R, stride, outputs), gpu)
    w_k, _, w_r, w_s = layouts.w.elements
    weight_rounds = -(-spec.R * spec.S // strips.pitch)
    weight_pitch = weight_rounds * strips.pitch | 1  # odd: slots read their weights from different banks
    scalars = {
        **steps(x_nchw=x.elements, w_krs=(w_k, w_r, w_s), y_nkpq=y.elements),
        "bias_k": bias.elements[0] if bias else 0, "has_bias": int(bias is not None),
        "planes": spec.N * spec.K, "H": spec.H, "W": spec.W, "P": spec.P, "Q": spec.Q,
        "h_origin": -top, "column_origin": origin, "slots": strips.slots, "halo": strips.halo,
        "out_lanes": strips.out_lanes, "tile_q": strips.tile_q, "tile_p": strips.tile_p,
        "rounds": strips.rounds, "weight_rounds": weight_rounds, "weight_pitch": weight_pitch,
        "pairs": int(_in_vectors(2, x, spec.W, origin)), **named_reciprocal("K_group", spec.K_group),
        **with_reciprocals(
            {"strips": strips.strips, "tiles_q": strips.tiles_q, "pitch": strips.pitch, "K": spec.K}
        ),
    }  # fmt: skip
    shared_bytes = WARPS * (strips.slots + 1) * weight_pitch * spec.itemsize
    return Launch(SLIDING[spec.R, stride, outputs], strips.blocks, shared_bytes, scalars)


def _in_vectors(count: int, array: Layout, *extents: int) -> bool:
    """Whether rows are vectors of so many elements, each on a multiple of its size; so are the extents."""
    *steps, step = array.elements
    misaligned = [each % count for each in (*steps, *extents)]
    return step == 1 and array.offset % (count * array.dtype.itemsize) == 0 and not any(misaligned)
