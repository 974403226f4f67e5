"""Where arrays let a pool load and store whole vectors, and not element by element."""

from gpuconv.spec.layouts import Layout


def in_vectors(layout: Layout, count: int) -> bool:
    """Whether each `count` elements of a row, from a multiple of `count` on, are one aligned vector."""
    itemsize = layout.dtype.itemsize
    parts = *layout.strides[:3], layout.offset
    return layout.strides[3] == itemsize and not any(part % (count * itemsize) for part in parts)
