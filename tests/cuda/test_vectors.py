"""Loads, stores and asynchronous copies of several elements: what reaches memory, by which instruction."""

import numpy as np
import pytest
from numba import cuda, float32, float64, int32, int64, types, uint16, uint32

from gpuconv.cuda.ptx.copies import commit_group, copy_async, element_pointer, shared_address, wait_group
from gpuconv.cuda.ptx.fragments import make_slab_product
from gpuconv.cuda.ptx.memory import load2, load4, store2, store4
from tests import ptx
from tests.cases import integers
from tests.cuda.execution import kernel_of

THREADS = 32


def run(function, element, *arrays, arch="sm_90a", shared_bytes=4096):
    """Execute a kernel of 32 threads whose arguments are pointers; the last array is its output."""
    kernel = kernel_of(function, [types.CPointer(element)] * len(arrays), THREADS)
    text = kernel.ptx(arch)
    *inputs, output = arrays
    pointers = *map(ptx.pointer, inputs), ptx.out(output)
    ptx.Kernel(text).launch(1, THREADS, *pointers, shared_bytes=shared_bytes)
    return text


def reversed_by_fours(element):
    def kernel(x, y):
        shared = cuda.shared.array(0, element, alignment=32)
        t = uint32(cuda.threadIdx.x)
        a, b, c, d = load4(x, int32(4) * int32(t))
        store2(shared, t * uint32(4), a, b)
        store2(shared, t * uint32(4) + uint32(2), c, d)
        cuda.syncthreads()
        other = int64(31 - t) * 4
        e, f = load2(shared, other)
        _, _, g, h = load4(shared, other)
        store4(y, t * uint32(4), e, f, g, h)

    return kernel


@pytest.mark.parametrize(("element", "global_load"), [
    (float32, "ld.global.v4.f32"), (float64, "ld.global.v2.f64"), (uint16, "ld.global.v4.u16"),
])  # fmt: skip
@pytest.mark.parametrize("arch", ["sm_75", "sm_90a"])
def test_vectors_of_every_element(element, global_load, arch):
    x = np.arange(1, 129).astype(str(element))
    y = np.zeros_like(x)
    text = run(reversed_by_fours(element), element, x, y, arch=arch)
    np.testing.assert_array_equal(y.reshape(32, 4), x.reshape(32, 4)[::-1])
    assert global_load in text and "st.shared.v" in text and "ld.shared.v" in text


def test_a_vector_that_is_not_aligned_is_reported():
    def kernel(x, y):
        a, b, c, d = load4(x, uint32(cuda.threadIdx.x) * uint32(4) + uint32(1))
        store4(y, uint32(cuda.threadIdx.x) * uint32(4), a, b, c, d)

    with pytest.raises(ptx.MisalignedError):
        run(kernel, float32, np.zeros(132, "float32"), np.zeros(128, "float32"))


def copying(count, step):
    """y[4 t ...] = x[200 - 4 t ...], of which thread t copies `t % 5` elements and fills up with zeros."""

    def kernel(x, y):
        shared = cuda.shared.array(0, float32, alignment=16)
        t = uint32(cuda.threadIdx.x)
        source = element_pointer(x, int64(200))
        to = shared_address(shared, uint32(t * uint32(4)))
        for i in range(0, 4, step):
            wanted = uint32(4) * min(uint32(count), uint32(max(int32(t % uint32(5)) - i, 0)))
            copy_async(count, uint32(to + uint32(4 * i)), source, -4 * int64(t) + i, uint32(wanted))
        commit_group()
        wait_group(0)
        cuda.syncthreads()
        other = uint32(31 - t)
        a, b, c, d = load4(shared, uint32(other * uint32(4)))
        store4(y, uint32(other * uint32(4)), a, b, c, d)

    return kernel


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90a"])
def test_copies_fill_up_with_zeros(count, arch):
    x, y = integers((204,), "float32") + 100, np.zeros(128, "float32")
    text = run(copying(count, count), float32, x, y, arch=arch)
    for t, row in enumerate(y.reshape(32, 4)):
        source = x[200 - 4 * t :][:4]
        np.testing.assert_array_equal(row, np.where(np.arange(4) < t % 5, source, 0))
    instruction = f"cp.async.{'cg' if count == 4 else 'ca'}.shared.global"
    assert (instruction in text) == (arch != "sm_75")


def test_a_copy_of_no_bytes_reads_nothing():
    def kernel(x, y):
        shared = cuda.shared.array(0, float32, alignment=16)
        t = uint32(cuda.threadIdx.x)
        copy_async(1, shared_address(shared, t), x, int64(2**40), uint32(0))
        commit_group()
        wait_group(0)
        y[t] = shared[t]

    y = np.ones(32, "float32")
    run(kernel, float32, np.ones(1, "float32"), y)
    assert not y.any()


@pytest.mark.parametrize("columns", [(0,), (0, 8)])
def test_a_slab_product_adds_to_its_sums(columns):
    rows, sums = 3, 16 * len(columns)
    product = make_slab_product(rows, 20, 16, (4,), columns)

    def kernel(a, b, y):
        shared = cuda.shared.array(0, float32, alignment=16)
        t = uint32(cuda.threadIdx.x)
        for i in range(t, 60, 32):
            shared[uint32(i)] = a[uint32(i)]
        for i in range(t, 48, 32):
            shared[uint32(60 + i)] = b[uint32(i)]
        cuda.syncthreads()
        total = cuda.local.array(sums, float32)
        for i in range(sums):
            total[i] = float32(i)
        product(total, shared_address(shared, uint32(0)), shared_address(shared, uint32(60)))
        for i in range(sums):
            y[uint32(t * uint32(sums) + uint32(i))] = total[i]

    a, b = integers((3, 20), "float32"), integers((3, 16), "float32", 1)
    y = np.zeros((32, 4, sums // 4), "float32")
    run(kernel, float32, a, b, y)
    right = np.concatenate([b[:, column : column + 4] for column in columns], axis=1)
    expected = a[:, 4:8].T @ right + np.arange(sums, dtype="float32").reshape(4, -1)
    np.testing.assert_array_equal(y, np.broadcast_to(expected, y.shape))
