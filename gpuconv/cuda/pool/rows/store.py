"""How a thread of `pool_rows` stores a row of its outputs."""

from gpuconv.cuda.device.elements import Element, Function, inlined, make_storer
from gpuconv.cuda.language import uint32


def make_row_storer(element: Element, outputs: int) -> Function:
    """store(row, target, place, step, whole, count): the first `count` outputs, at once if `whole`."""
    narrow, store_all = element.narrow, make_storer(element, outputs)

    def one_by_one(row, target, place, step, whole, count):
        for j in range(outputs):
            if uint32(j) < count:
                target[place + j * step] = narrow(row[j])

    def at_once(row, target, place, step, whole, count):
        if whole:
            store_all(target, place, row)
        else:
            store_each(row, target, place, step, whole, count)

    store_each = inlined(one_by_one)
    return store_each if outputs == 1 else inlined(at_once)
