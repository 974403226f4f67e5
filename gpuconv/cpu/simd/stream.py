"""Small windows sliding down images, for CPU kernels: each row of input is read once, as LLVM IR.

For a strip of one or two vectors of columns, the rows of the input come one after the other. Each is
multiplied with every row of the window, and added to as many rows of outputs at work in registers:

    row i   * w[2] -> output i - 2, which is complete and stored
            * w[1] -> output i - 1
            * w[0] -> output i, which begins

With a vertical stride two rows come at a time, and only every other row of the window meets each of them.
"""

from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from gpuconv.cpu.simd.finish import Finish, emit_finish, emit_other
from gpuconv.cpu.simd.target import INDEX, LANE, TILE
from gpuconv.cpu.simd.vectors import (
    emit_call,
    emit_call_noinline,
    emit_fma,
    emit_loop,
    emit_place,
    emit_shuffle,
    emit_splat,
    emit_store_lanes,
)

STREAMED = (
    (3, 3, 1),
    (5, 5, 1),
    (7, 7, 1),
    (3, 3, 2),
    (5, 5, 2),
)  # rows and columns of the window, and the stride
STREAM_VECTORS = 2


class StreamSizes(NamedTuple):
    """The numbers of `stream_windows`, int64 in a kernel and LLVM values here; steps are in elements."""

    planes: Any  # of one channel each, computed one after the other
    rows: Any  # of outputs of a plane
    columns: Any
    x_row: Any  # from what one row of the window sees to what the next sees
    x_plane: Any
    y_row: Any
    y_plane: Any
    w_plane: Any  # from the weights of a plane to those of the next
    bias_plane: Any
    h: Any  # the row of the image that the first tap of the first output sees; it may lie outside
    h_step: Any  # rows of the image from tap to tap: the dilation
    H: Any  # rows of the image
    v: Any  # the column that the first tap of the first output sees
    W: Any  # columns of the image
    v_step: Any  # columns from tap to tap
    x_ahead: Any  # how far behind what is read x is fetched from memory
    y_ahead: Any  # and y, behind what is written
    x_pair: Any  # from an image to the one that shares its vectors; 0 if it is alone
    y_pair: Any
    finish: Any  # what is done to sums when they are complete


def _constant(number):
    return ir.Constant(INDEX, number)


class Strip:
    """Emits the outputs of one strip of `vectors` vectors of columns."""

    def __init__(self, builder, tile, kind, vectors, masked, sizes, column, paired=False):
        self.paired = paired
        self.builder, self.tile, self.sizes, self.masked, self.vectors = builder, tile, sizes, masked, vectors
        self.R, self.S, self.stride = kind
        self.column, self.masks = column, {}
        self.active = -(-self.R // self.stride)  # rows of outputs at work

    def begin(self, plane, places):
        """Emit what does not depend on the row."""
        builder, sizes = self.builder, self.sizes
        steps = sizes.x_plane, _constant(0), sizes.w_plane, sizes.y_plane, sizes.bias_plane
        starts = zip(places, steps, strict=True)
        x, self.zeros, w, y, bias = [builder.gep(place, [builder.mul(plane, step)]) for place, step in starts]
        self.x, self.h, self.y = (cgutils.alloca_once(builder, kind) for kind in (x.type, INDEX, y.type))
        builder.store(builder.gep(x, [builder.mul(self.column, _constant(self.stride))]), self.x)
        builder.store(sizes.h, self.h)
        builder.store(builder.gep(y, [self.column]), self.y)
        self.start = self.splat(builder.load(bias, align=1))
        scalars = [builder.load(builder.gep(w, [_constant(i)]), align=1) for i in range(self.R * self.S)]
        self.weights = [self.splat(scalar) for scalar in scalars]
        for place in (place for line in self.sums for place in line):
            builder.store(self.start, place)

    def splat(self, scalar):
        return emit_splat(self.builder, scalar, self.vector.count)

    def first_lanes(self, count):
        numbers = ir.Constant(ir.VectorType(INDEX, self.vector.count), list(range(self.vector.count)))
        return self.builder.icmp_signed("<", numbers, self.splat(count))

    def mask(self, s, part):
        """The lanes of vector `part` of the columns that tap s sees, that are inside the image."""
        if (s, part) not in self.masks:
            builder, lanes = self.builder, self.vector.count
            first = builder.add(self.v, builder.mul(self.sizes.v_step, _constant(s)))
            first = builder.add(first, _constant(self.shift(part)))
            numbers = ir.Constant(ir.VectorType(INDEX, lanes), list(range(lanes)))
            places = builder.add(self.splat(first), numbers)
            mask = builder.icmp_unsigned("<", places, self.splat(self.sizes.W))
            if self.paired and self.stride == 1:
                half = [int((lane >= lanes // 2) == bool(part)) for lane in range(lanes)]
                mask = builder.and_(mask, ir.Constant(mask.type, half))
            self.masks[s, part] = mask
        return self.masks[s, part]

    def shift(self, part):
        """Columns from what lane 0 sees to what lane 0 of vector `part` sees."""
        if not self.paired:
            return part * self.vector.count
        return -part * (self.vector.count // 2) if self.stride == 1 else 0

    def prepare(self):
        """Emit what does not depend on the plane."""
        builder = self.builder
        element = builder.function.args[0].type.pointee
        self.vector = ir.VectorType(element, self.tile.lanes(element))
        self.sums = [
            [cgutils.alloca_once(builder, self.vector) for _ in range(self.vectors)]
            for _ in range(self.active)
        ]
        self.v = builder.add(self.sizes.v, builder.mul(self.column, _constant(self.stride)))
        self.left = builder.sub(self.sizes.columns, self.column)
        if self.masked:
            for s in range(0, self.S, self.stride):
                for part in range(2 if self.paired else self.vectors * self.stride):
                    self.mask(s, part)
            self.some = self.first_lanes(
                self.builder.sub(self.left, _constant((self.vectors - 1) * self.vector.count))
            )

    def load(self, rows, s, part, before=None):
        builder = self.builder
        at = builder.add(builder.mul(self.sizes.v_step, _constant(s)), _constant(self.shift(part)))
        where = emit_place(builder, rows[part if self.paired else 0], at, self.vector)
        if not self.masked:
            return builder.load(where, align=1)
        zero = before or ir.Constant(self.vector, [0.0] * self.vector.count)
        return emit_call(
            builder, "masked.load", self.vector, where, ir.Constant(LANE, 1), self.mask(s, part), zero
        )

    def fetch(self, row, ahead, part, write):
        builder = self.builder
        at = builder.gep(row, [builder.add(ahead, _constant(part * self.vector.count))])
        where = builder.bitcast(at, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [where.type, LANE, LANE, LANE])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [where, *(ir.Constant(LANE, number) for number in (write, 3, 1))])

    def values(self, rows):
        """values[s][part]: vector `part` of what tap s sees."""
        if self.stride == 1 and self.paired:
            return [[self.load(rows, s, 1, self.load(rows, s, 0))] for s in range(self.S)]
        if self.stride == 1:
            return [[self.load(rows, s, part) for part in range(self.vectors)] for s in range(self.S)]
        lanes, values = self.vector.count, []
        for s in range(0, self.S, 2):
            pairs = [
                (self.load(rows, s, 2 * part), self.load(rows, s, 2 * part + 1))
                for part in range(self.vectors)
            ]
            for first in range(min(2, self.S - s)):
                values.append(
                    [emit_shuffle(self.builder, *pair, list(range(first, 2 * lanes, 2))) for pair in pairs]
                )
        return values

    def step(self, active=None):
        """Add the next `stride` rows of input to the sums of the rows of outputs `active`."""
        builder = self.builder
        for first in range(self.stride):
            row, h = builder.load(self.x), builder.load(self.h)
            there = builder.icmp_unsigned("<", h, self.sizes.H)
            for part in range(1 if self.paired else self.vectors * self.stride):
                self.fetch(row, self.sizes.x_ahead, part, 0)
            builder.store(builder.gep(row, [self.sizes.x_row]), self.x)
            builder.store(builder.add(h, self.sizes.h_step), self.h)
            rows = [row]
            if self.paired:
                rows.append(builder.gep(row, [self.sizes.x_pair]))
                self.fetch(rows[1], self.sizes.x_ahead, 0, 0)
            values = self.values([builder.select(there, row, self.zeros) for row in rows])
            taps = [(r, self.active - 1 - r // self.stride) for r in range(first, self.R, self.stride)]
            if active is None or isinstance(active, range):
                for s in range(self.S):
                    for r, j in taps:
                        if active is None or j in active:
                            self.add(r, s, j, values)
                continue
            for r, j in taps:
                output = builder.add(active, _constant(j + 1 - self.active))
                with builder.if_then(builder.icmp_unsigned("<", output, self.sizes.rows)):
                    for s in range(self.S):
                        self.add(r, s, j, values)

    def add(self, r, s, j, values):
        builder = self.builder
        for part in range(self.vectors):
            place, weight = self.sums[j][part], self.weights[r * self.S + s]
            builder.store(
                emit_fma(builder, values[s][part], weight, builder.load(place), self.tile.fused), place
            )

    def rotate(self):
        builder = self.builder
        for line, following in zip(self.sums, self.sums[1:], strict=False):
            for place, next_ in zip(line, following, strict=True):
                builder.store(builder.load(next_), place)
        for place in self.sums[-1]:
            builder.store(self.start, place)

    def put(self):
        """Store the row of outputs that is complete."""
        builder = self.builder
        y = builder.load(self.y)
        with builder.if_then(builder.icmp_signed("!=", self.sizes.finish.mode, _constant(0))):
            self.finish(y)
        for part, place in enumerate(self.sums[0]):
            self.fetch(y, self.sizes.y_ahead, part, 1)
            where = emit_place(builder, y, _constant(part * self.vector.count), self.vector)
            if self.paired:
                (_, _), (second, _) = halves = list(self.halves(y))
                self.fetch(second, self.sizes.y_ahead, 0, 1)
                for row, mask in halves:
                    where = emit_place(builder, row, _constant(0), self.vector)
                    emit_store_lanes(builder, builder.load(place), where, mask)
            elif self.masked and part == self.vectors - 1:
                emit_store_lanes(builder, builder.load(place), where, self.some)
            else:
                builder.store(builder.load(place), where, align=1)
        builder.store(builder.gep(y, [self.sizes.y_row]), self.y)

    def finish(self, y):
        """Make results of the sums that are complete, and are to go to y."""
        builder, masks = self.builder, ()
        count = self.vector.count
        for part in range(self.vectors):
            self.fetch(emit_other(builder, y, self.sizes.finish.apart), self.sizes.y_ahead, part, 0)
        places = [
            emit_place(builder, y, _constant(part * count), self.vector) for part in range(self.vectors)
        ]
        if self.paired:
            rows, halves = zip(*self.halves(y), strict=True)
            places, masks = [[emit_place(builder, row, _constant(0), self.vector) for row in rows]], [halves]
        elif self.masked:
            every = ir.Constant(self.some.type, [1] * count)
            places, masks = [[place] for place in places], [[every]] * (self.vectors - 1) + [[self.some]]
        emit_finish(builder, self.sums[0], places, self.sizes.finish, masks)

    def halves(self, y):
        """(row, mask) of each of the two images that share a vector."""
        builder, half = self.builder, self.vector.count // 2
        numbers = ir.Constant(ir.VectorType(INDEX, 2 * half), [*range(half), *range(half)])
        inside = builder.icmp_signed("<", numbers, self.splat(self.sizes.columns))
        second = builder.gep(y, [builder.sub(self.sizes.y_pair, _constant(half))])
        for row, lanes in ((y, [1] * half + [0] * half), (second, [0] * half + [1] * half)):
            yield row, builder.and_(inside, ir.Constant(inside.type, lanes))

    def emit(self, places):
        """One plane after the other: their rows, at first only for those outputs that there are."""
        builder, sizes = self.builder, self.sizes
        self.prepare()
        with emit_loop(builder, sizes.planes) as plane:
            self.begin(plane, places)
            if self.active <= 3:
                for i in range(self.active - 1):
                    self.step(range(self.active - 1 - i, self.active))
                    self.rotate()
                with emit_loop(builder, sizes.rows):
                    self.step()
                    self.put()
                    self.rotate()
            else:
                with emit_loop(builder, builder.add(sizes.rows, _constant(self.active - 1))) as i:
                    begins = builder.icmp_signed("<", i, _constant(self.active - 1))
                    ends = builder.icmp_signed(">=", i, sizes.rows)
                    with builder.if_else(builder.or_(begins, ends)) as (edge, middle):
                        with edge:
                            self.step(i)
                        with middle:
                            self.step()
                    with builder.if_then(builder.not_(begins)):
                        self.put()
                    self.rotate()


def emit_stream(tile, kind, builder, x, zeros, w, y, bias, *sizes):
    """One strip after the other."""
    builder.function.attributes.alignstack = 64  # of the weights that find no register
    numbers = len(StreamSizes._fields) - 1
    sizes = StreamSizes(*sizes[:numbers], Finish(*sizes[numbers:]))
    lanes = tile.lanes(x.type.pointee)
    _, S, stride = kind
    narrow = builder.icmp_signed("<=", sizes.columns, _constant(lanes // 2))
    with builder.if_else(narrow) as (pairs, strips):
        with pairs:
            Strip(builder, tile, kind, 1, True, sizes, _constant(0), True).emit((x, zeros, w, y, bias))
        with strips:
            column = cgutils.alloca_once(builder, INDEX)
            builder.store(_constant(0), column)
            with _while(builder, lambda: builder.icmp_signed("<", builder.load(column), sizes.columns)):
                j = builder.load(column)
                left = builder.sub(sizes.columns, j)
                v = builder.add(sizes.v, builder.mul(j, _constant(stride)))
                end = builder.add(v, builder.mul(sizes.v_step, _constant(S - 1)))
                end = builder.add(end, _constant(2 * lanes * stride))
                inside = builder.and_(
                    builder.icmp_signed(">=", v, _constant(0)), builder.icmp_signed("<=", end, sizes.W)
                )
                inside = builder.and_(inside, builder.icmp_signed(">=", left, _constant(2 * lanes)))
                with builder.if_else(inside) as kinds:
                    for vectors, branch in zip((2, 1), kinds, strict=True):
                        with branch:
                            Strip(builder, tile, kind, vectors, vectors == 1, sizes, j).emit(
                                (x, zeros, w, y, bias)
                            )
                            builder.store(builder.add(j, _constant(vectors * lanes)), column)


@contextmanager
def _while(builder, condition):
    """A loop that goes on as long as what `condition` emits is true."""
    test, body, end = (builder.append_basic_block(name) for name in ("test", "body", "end"))
    builder.branch(test)
    builder.position_at_end(test)
    builder.cbranch(condition(), body, end)
    builder.position_at_end(body)
    yield
    builder.branch(test)
    builder.position_at_end(end)


@intrinsic
def stream_windows(typingctx, x, zeros, w, y, bias, kind, sizes, finish):
    """y = bias + the sums of a window of `kind`, a number in STREAMED, for each output of some planes.

    x, zeros, w, y and bias are pointers to elements, x and y to where the first tap sees and the first output
    goes; `zeros` has as many elements as a strip reads of a row outside of the image. `sizes` are those of
    `StreamSizes`, and `finish` is a `Finish`.
    """
    numbers = types.UniTuple(types.int64, len(StreamSizes._fields) - 1)

    def emit(context, builder, sig, args):
        places, values = (
            args[:5],
            (*cgutils.unpack_tuple(builder, args[6]), *cgutils.unpack_tuple(builder, args[7])),
        )
        done = builder.append_basic_block("done")
        choice = builder.switch(args[5], done)
        for number, streamed in enumerate(STREAMED):
            choice.add_case(_constant(number), builder.append_basic_block("kind"))
            builder.position_at_end(choice.cases[-1][1])
            emit_call_noinline(
                builder, f"stream.{number}", partial(emit_stream, TILE, streamed), (*places, *values)
            )
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(x, zeros, w, y, bias, types.int64, numbers, finish), emit
