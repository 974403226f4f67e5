"""``cp.async.bulk.tensor`` and ``cp.reduce.async.bulk.tensor``: tiles and im2col of a tensor map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..asynchronous import CHUNK, Stretch, only, place
from ..boxes import Box, im2col, nan_bytes, swizzled, tile
from ..bulk_copies import BulkLoad, BulkStore, BulkStores
from ..faults import LaunchError, PtxError
from ..lanes import Active
from ..registry import Binder, Step, operation
from ..syntax import DTYPES
from ..tensor_maps import ALIGNMENT, BYTES, Layout, decode
from .atomic import update_of
from .bulk import COMPLETES, Completion, check_operands, check_source, take_spaces
from .loads import Addresses

# Shared memory that a tensor copy uses must begin at a multiple of this.
SHARED_ALIGNMENT = 128
REDUCTIONS = ("add", "min", "max", "inc", "dec", "and", "or", "xor")
_MODES = ("tile", "im2col", "im2col_no_offs")


class TensorAccess:
    """The tensor map, the coordinates and the offsets of an instruction."""

    def __init__(self, op: Binder, index: int, offsets: int | None) -> None:
        self.op = op
        self.mode = op.take(*_MODES, default="tile")
        self.rank = int(op.take("1d", "2d", "3d", "4d", "5d", default="0d")[0])
        items = op.operands[index].coordinates
        if len(items) != self.rank:
            raise op.unknown(f"number of coordinates of {op.opcode}")
        self.addresses = Addresses(op, index)
        self.coordinates = [op.source(item, "s32") for item in items]
        self.offsets: list[np.ndarray] = []
        if self.mode == "im2col":
            given = op.items(offsets)
            if len(given) != self.rank - 2:
                raise op.unknown(f"number of im2col offsets of {op.opcode}")
            self.offsets = [op.source(item, "u16") for item in given]

    def __call__(self, active: Active) -> list[Piece]:
        """What each active lane copies."""
        pieces = []
        for lane, address in zip(active.indices.tolist(), self.addresses(active).tolist(), strict=True):
            try:
                pieces.append(self._piece(lane, address))
            except PtxError as fault:
                fault.lane = lane
                raise
        return pieces

    def _piece(self, lane: int, address: int) -> Piece:
        machine = self.op.machine
        region, position = place(machine, "generic", address, lane, BYTES, ALIGNMENT)
        layout = decode(region.data[position : position + BYTES].tobytes())
        if layout.rank != self.rank or layout.im2col != (self.mode != "tile"):
            form = "im2col" if layout.im2col else "tiled"
            text = self.op.instruction.text
            raise LaunchError(f"a {form} tensor map of {layout.rank} dimensions for {text}")
        coordinates = [int(values[lane]) for values in self.coordinates]
        offsets = [int(values[lane]) for values in self.offsets] or [0] * (self.rank - 2)
        box = im2col(layout, coordinates, offsets) if layout.im2col else tile(layout, coordinates)
        return Piece(self.op, lane, layout, box)


@dataclass(eq=False)
class Piece:
    """The part of a tensor that one lane copies."""

    op: Binder
    lane: int
    layout: Layout
    box: Box

    @property
    def bytes(self) -> int:
        return self.box.inside.size * self.layout.itemsize

    def in_tensor(self) -> Stretch:
        """The elements inside of the tensor."""
        machine, size = self.op.machine, self.layout.itemsize
        address = np.array([self.layout.address])
        _, _, region, first = next(machine.memory.parts("global", address, only(machine, self.lane), size))
        positions = first[0] + self.box.addresses[self.box.inside] - address[0]
        return Stretch(machine, self.op.instruction, self.lane, region, positions, size)

    def in_shared(self, address: int) -> Stretch:
        """All elements, in chunks, in shared memory."""
        machine = self.op.machine
        region, first = place(machine, "shared", address, self.lane, self.bytes, SHARED_ALIGNMENT)
        chunks = swizzled(address + CHUNK * np.arange(self.bytes // CHUNK), self.layout.swizzle)
        return Stretch(machine, self.op.instruction, self.lane, region, first + chunks - address)

    def filled(self, values: np.ndarray, fill: np.ndarray | int) -> np.ndarray:
        """Bytes of the elements inside and, where there are none, the fill; shape (chunks, 16)."""
        result = np.empty((self.box.inside.size, self.layout.itemsize), values.dtype)
        result[...] = fill
        result[self.box.inside.reshape(-1)] = values
        return result.reshape(-1, CHUNK)


@operation("cp.async.bulk.tensor", writes=0)
def bulk_tensor(op: Binder) -> Step:
    completes = op.flag(COMPLETES)
    gathers = completes and "im2col" in op.modifiers
    check_operands(op, 3 + gathers, 2, completes)
    spaces = take_spaces(op)
    if completes and spaces == ("shared", "global"):
        return _load(op, gathers)
    if not op.flag("bulk_group") or spaces != ("global", "shared"):
        raise op.unknown(f"form of {op.opcode}")
    return _store(op, None)


@operation("cp.reduce.async.bulk.tensor", writes=0)
def reduce_tensor(op: Binder) -> Step:
    check_operands(op, 3, 2, completes=False)
    if take_spaces(op) != ("global", "shared") or not op.flag("bulk_group"):
        raise op.unknown(f"form of {op.opcode}")
    name = op.take(*REDUCTIONS)
    if name is None:
        raise op.unknown("reduction")
    return _store(op, name)


def _load(op: Binder, gathers: bool) -> Step:
    to, access = Addresses(op, 0), TensorAccess(op, 1, 3 if gathers else None)
    completion = Completion(op, 2, 4 if gathers else 3)

    def step(active: Active) -> None:
        barriers = completion(active)
        for piece, address in zip(access(active), to(active), strict=True):
            reads, writes = piece.in_tensor(), piece.in_shared(int(address))
            check_source(reads)
            fill = nan_bytes(piece.layout.itemsize) if piece.layout.nan else 0
            data, known = piece.filled(reads.read(), fill), piece.filled(reads.written(), True)
            barriers[piece.lane].queue.append(BulkLoad.issue(writes, reads, data, known))

    return step


def _store(op: Binder, name: str | None) -> Step:
    access, source, stores = TensorAccess(op, 0, None), Addresses(op, 1), op.machine.extension(BulkStores)

    def step(active: Active) -> None:
        for piece, address in zip(access(active), source(active), strict=True):
            reads, writes = piece.in_shared(int(address)), piece.in_tensor()
            check_source(reads)
            inside = piece.box.inside.reshape(-1)
            size = piece.layout.itemsize
            data, known = (values.reshape(-1, size)[inside] for values in (reads.read(), reads.written()))
            group = int(stores.committed[piece.lane])
            update = None if name is None else update_of(name, piece.layout.kind)
            kind = DTYPES[piece.layout.kind]
            stores.issue(BulkStore(group, reads, writes, data, known, update, kind))

    return step
