"""Which problems `conv_depthwise_window` takes, and its launch for one."""

from gpuconv.cuda.conv import depthwise
from gpuconv.cuda.conv.depthwise_window.kernel import KERNELS_BY_SHAPE
from gpuconv.cuda.conv.depthwise_window.load import COLUMNS
from gpuconv.cuda.conv.depthwise_window.tiles import WindowRows, tile_of
from gpuconv.cuda.device.axis import StagedAxis
from gpuconv.cuda.device.division import named_reciprocal, with_reciprocals
from gpuconv.cuda.device.rings import CHUNK
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ConvLayouts


def unsupported(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> str | None:
    reason = depthwise.too_large(spec)
    if reason is None and tile_of(spec, gpu) is None:
        return "a column of taps and the pixels that it meets do not fit shared memory"
    return reason


def worth(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> bool:
    return depthwise.outweighs_sharing(spec, gpu)


def plan(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> Launch:
    """The launch for a problem; its pointers are x, w, the bias and y."""
    found = tile_of(spec, gpu)
    assert found is not None
    shape, tile = found
    (top, _), (left, _) = spec.pads
    rows, bias = WindowRows.of(spec), layouts.bias
    columns = StagedAxis.of(tile.tile_q, spec.S, spec.stride[1], spec.dilation[1])
    w_k, _, w_r, w_s = layouts.w.elements
    scalars = {
        **steps(x_nchw=layouts.x.elements, w_krs=(w_k, w_r, w_s), y_nkpq=layouts.y.elements),
        "bias_k": bias.elements[0] if bias else 0, "has_bias": int(bias is not None),
        "tasks": tile.tasks(spec), "H": spec.H, "W": spec.W, "R": spec.R, "S": spec.S, "P": spec.P,
        "Q": spec.Q, "h_origin": -top, "w_origin": -left, **steps(stride_hw=spec.stride),
        "step_w": columns.step, "dilation_w": spec.dilation[1], "tap_w": columns.tap if spec.S > 1 else 0,
        "spacing": rows.spacing, "used_phases": min(rows.phases, spec.R), "row_step": rows.row_step,
        "phase_step": rows.phase_step, "full": rows.full, "longer": rows.longer,
        "skip_long": -(rows.full + 1) % CHUNK, "skip_short": -rows.full % CHUNK, "groups": tile.groups,
        "tile_p": tile.groups * shape.pixels, "lines": tile.lines, "columns": tile.columns,
        "patches": -(-tile.columns // COLUMNS), "residue_pitch": tile.residue_pitch,
        "phase_pitch": tile.phase_pitch, "pitch": tile.pitch, "slot_pitch": tile.slot_pitch,
        "w_phase": tile.w_phase, "w_column": tile.w_column, "w_slot": tile.w_slot, "x_tile": tile.x_tile,
        "w_tile": tile.w_tile, **named_reciprocal("K_group", spec.K_group),
        **with_reciprocals({
            "tile_q": tile.tile_q, "slots": tile.slots, "tiles_q": tile.tiles_q, "classes": tile.classes,
            "tiles": tile.classes * tile.tiles_p * tile.tiles_q, "K": spec.K, "residues": columns.pixel,
            "taps": tile.taps, "phases": rows.phases,
        }),
    }  # fmt: skip
    return Launch(KERNELS_BY_SHAPE[shape], -(-tile.tasks(spec) // tile.slots), tile.bytes, scalars)
