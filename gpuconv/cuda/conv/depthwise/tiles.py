"""Which depthwise convolutions are cut into strips, one for each warp, and which lane owns which columns.

Pure arithmetic, tested without a GPU. A lane owns `outputs` neighbouring columns of the output and the
`outputs * stride` columns of the image below them; what its windows need beyond them it gets from the lanes
beside it. So some lanes hold columns for their neighbours alone (a halo h), or nothing:

    an image narrower than a warp,     [ p p p p p p p 0 | p p p p p p p 0 | ... ]   `slots` planes
    with zeros alone around it           slot 0            slot 1
    any other image                    [ h p p p p  ...  p p p p h ]                 one tile of one plane

In the first picture the lanes after a plane hold zeros, for the plane before them and for the one after; the
lane before the first one is the last, since shuffles go round. A strip is `tile_p` rows of output high. Rows
that two strips share are requested twice, but few high strips leave most of the chip idle: of the heights
that request little the one is taken whose predicted time, in cycles, is the least.
"""

from dataclasses import dataclass

from gpuconv.cuda.device.limits import LANES
from gpuconv.cuda.runtime.cost import busiest, busiest_scheduler
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.spec import ConvSpec

EXTENTS, STRIDES = (3, 5, 7), (1, 2)  # that are compiled
WARPS = 2  # of a block: few, so that small problems reach every multiprocessor
WIDE = 20  # columns; where they are fewer, one a lane keeps more lanes and warps busy
MANY = 3971  # elements of all images for each multiprocessor, which keep it busy
SLID = 14000  # likewise, whose strips of 5x5 and 7x7 do
MOST_REQUESTED = 1.18  # times the least bytes
MOST_CUTS = 512  # that are compared

# For the prediction: the instructions are those of the compiled 3x3 kernels, the latency is an estimate.
LATENCY = 1000
SETUP, STEP = 350, 20  # instructions of a warp once, and for each row of the image beside the products
CYCLES = 3  # from one instruction of a warp to its next, where no other warp has any


def is_compiled(spec: ConvSpec) -> bool:
    """Whether a sliding kernel is compiled for the problem."""
    square = spec.R == spec.S in EXTENTS and spec.stride[0] == spec.stride[1] in STRIDES
    return square and spec.dilation == (1, 1)


def slides(spec: ConvSpec, gpu: Gpu) -> bool:
    """Whether a sliding kernel is the faster of the depthwise ones.

    The larger a kernel, the longer a warp takes for its strip, so that few strips leave the chip idle; and
    narrow lanes issue a shuffle for each column of a window. Predicted on an H200, us, sliding /
    `conv_depthwise_window`: 3x3 144 @56 N 1 4.2 / 5.5; 5x5 192 @28 N 1 9.8 / 4.5, N 8 11.4 / 9.7, N 16
    11.4 / 14.3, N 32 20 / 26; 7x7 96 @56 N 1 15.4 / 5.9, N 8 15.4 / 15.2, N 16 19 / 28, N 32 35 / 52; 7x7 256
    @14 N 1 12.4 / 4.7, N 32 41 / 17.
    """
    if spec.R == 3:
        return True
    many = keeps_busy(spec.N * spec.K * spec.H * spec.W, gpu, SLID)
    return many and (spec.R == 5 or spec.stride[1] == 2 or spec.Q >= WIDE)


def keeps_busy(elements: int, gpu: Gpu, each: int = MANY) -> bool:
    """Whether so many elements are enough for every multiprocessor."""
    return elements // gpu.multiprocessors >= each


@dataclass(frozen=True, slots=True)
class Strips:
    """Lanes from one plane to the next, planes of a warp, the first lane that stores, how many do; tiles."""

    pitch: int
    slots: int
    halo: int
    out_lanes: int
    tile_q: int
    tiles_q: int
    tile_p: int
    strips: int
    blocks: int
    rounds: int
    requested: float  # bytes asked for over the bytes that must move
    cycles: float  # predicted

    @classmethod
    def of(cls, spec: ConvSpec, outputs: int, steps: int, gpu: Gpu) -> "Strips":
        """The strips of a problem with an odd square kernel, not dilated; a round computes `steps` rows."""
        lanes = pitch, slots, _, out_lanes = _lanes(spec, outputs)
        tile_q = out_lanes * outputs
        tiles_q = -(-spec.Q // tile_q)
        groups = -(-spec.N * spec.K // slots) * tiles_q
        columns = spec.W if tiles_q == 1 else spec.W * pitch / out_lanes
        planes, taps = spec.N * spec.K, spec.R * spec.S
        least = planes * (spec.H * spec.W + spec.P * spec.Q) + spec.K * taps

        def cut(tile_p: int) -> "Strips":
            strips = -(-spec.P // tile_p)
            rows = spec.H + (strips - 1) * max(0, spec.R - spec.stride[0])
            requested = planes * (rows * columns + spec.P * spec.Q + strips * tiles_q * taps)
            rounds = -(-(tile_p + (spec.R - 1) // spec.stride[0]) // steps)
            instructions = SETUP + rounds * steps * (taps * outputs + STEP * spec.stride[0])
            blocks = -(-groups * strips // WARPS)
            issued = _most_warps(blocks, gpu) * instructions
            moved = requested * spec.itemsize / gpu.device_bytes
            cycles = LATENCY + CYCLES * instructions + max(issued, moved)
            return cls(
                *lanes, tile_q, tiles_q, tile_p, strips, blocks, rounds,
                requested / max(1, least), cycles,
            )  # fmt: skip

        cuts = [cut(spec.P)]
        while cuts[-1].tile_p > 1 and len(cuts) < MOST_CUTS:
            finer = cut(min(cuts[-1].tile_p - 1, -(-spec.P // (cuts[-1].strips + 1))))
            if finer.requested > MOST_REQUESTED:
                break
            cuts.append(finer)
        return min(cuts, key=lambda each: each.cycles)


def _most_warps(blocks: int, gpu: Gpu) -> int:
    """Of the scheduler with the most of them."""
    return busiest_scheduler(WARPS * busiest(blocks, gpu))


def _lanes(spec: ConvSpec, outputs: int) -> tuple[int, int, int, int]:
    """(pitch, slots, halo, out_lanes) for lanes that own `outputs` columns of the output."""
    columns, before = outputs * spec.stride[1], (spec.S - 1) // 2
    left, right = -(-before // columns), -(-(spec.S - before - spec.stride[1]) // columns)
    needed, zeros = -(-spec.Q // outputs), max(left, right)
    origin = before - spec.pads[1][0]  # the column of the image at which the first output lane begins
    if origin <= 0 and needed * columns + origin >= spec.W and needed + zeros <= LANES:
        return needed + zeros, LANES // (needed + zeros), 0, needed
    pitch = min(LANES, left + needed + right)
    return pitch, LANES // pitch, left, pitch - left - right
