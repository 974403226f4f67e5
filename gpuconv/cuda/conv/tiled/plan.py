"""Which problems `conv_tiled` takes, and its launch for one."""

import math

from gpuconv.cuda.conv.operands import Operands
from gpuconv.cuda.conv.tiled.kernel import KERNELS_BY_TILE
from gpuconv.cuda.conv.tiled.tiles import TILE_Q, grid_of, largest_stage
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch, steps
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ConvLayouts


def unsupported(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> str | None:
    kernel = spec.dilation[0] * spec.R, spec.dilation[1] * spec.S
    for outputs, stride, reach in zip((spec.P, spec.Q), spec.stride, kernel, strict=True):
        if (outputs + max(TILE_Q)) * stride + reach >= 2**31:
            return "the padded image has a side of about 2^31 or more"
    if max(spec.C, spec.K) >= 2**31:
        return "there are 2^31 channels or more"
    if grid_of(spec).blocks > MAX_BLOCKS:
        return "the output needs more blocks than a grid has"
    return None


def worth(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> bool:
    return True


def plan(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> Launch:
    """The launch for a problem; its pointers are x, w, the bias and y."""
    grid = grid_of(spec)
    stage = largest_stage(spec, grid.tile_p, grid.tile_q, grid.tile.pitch_k)
    (top, _), (left, _) = spec.pads
    stages = -(-spec.C_group // stage.c), spec.R // stage.r, spec.S // stage.s
    rows, columns, bias = stage.rows, stage.columns, layouts.bias
    scalars = {
        **steps(x_nchw=layouts.x.elements, w_kcrs=layouts.w.elements, y_nkpq=layouts.y.elements),
        "bias_k": bias.elements[0] if bias else 0, "has_bias": int(bias is not None),
        "C": spec.C_group, "H": spec.H, "W": spec.W, "K": spec.K_group, "P": spec.P, "Q": spec.Q,
        "groups": spec.groups, "h_origin": -top, "w_origin": -left,
        **steps(stride_hw=spec.stride, dilation_hw=spec.dilation, stage_crs=(stage.c, stage.r, stage.s)),
        "stages_r": stages[1], "stages_s": stages[2], "stages": math.prod(stages),
        "step_h": rows.step, "step_w": columns.step, "tap_h": rows.tap, "tap_w": columns.tap,
        "pixel_h": rows.pixel, "phases": columns.pixel, "phase_pitch": stage.phase_pitch,
        "pitch": stage.pitch, "tile_h": rows.lines, "tile_w": columns.lines,
        **steps(tile_pq=(grid.tile_p, grid.tile_q), tiles_pqk=(grid.p, grid.q, grid.k)),
        "x_table": stage.x_table, "places": stage.places, "x_tile": stage.x_tile, "w_tile": stage.w_tile,
    }  # fmt: skip
    return Launch(KERNELS_BY_TILE[Operands.of(spec), grid.tile], grid.blocks, stage.shared_bytes, scalars)
