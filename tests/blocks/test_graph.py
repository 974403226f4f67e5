"""What a lazy call does: it computes nothing, reads what it needs, holds little, and says what is wrong."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import gpuconv
from tests.cases import integers

da = pytest.importorskip("dask.array")

OUT = np.empty((2, 6, 28, 38), "float32")
X, W = integers((2, 4, 30, 40), "float32"), integers((6, 4, 3, 3), "float32", 1)
CHUNKS = da.from_array(X, chunks=(1, 2, 10, 10))
CALLS = {
    "conv2d": lambda x: gpuconv.conv2d(x, W, padding=1, stride=2),
    "conv_transpose2d": lambda x: gpuconv.conv_transpose2d(x, W.transpose(1, 0, 2, 3), stride=2),
    "max_pool2d": lambda x: gpuconv.max_pool2d(x, 3, 2, 1),
    "adaptive_avg_pool2d": lambda x: gpuconv.adaptive_avg_pool2d(x, (7, 9)),
}
over_calls = pytest.mark.parametrize("name", CALLS)


def source(read=lambda place: None, shape=(1, 1, 400, 400), chunks=(1, 1, 100, 100)):
    """Zeros that tell `read` of each chunk that is computed."""

    def make(block, block_info=None):
        read(tuple(block_info[None]["chunk-location"][2:]))
        return block + 0

    zeros = da.zeros(shape, chunks=chunks, dtype="float32")
    return zeros.map_blocks(make, dtype="float32", meta=np.empty((0,) * 4, "float32"))


@over_calls
def test_nothing_is_computed_before_it_is_asked_for(name):
    chunks = []
    result = CALLS[name](da.concatenate([source(chunks.append)] * 4, axis=1))
    assert isinstance(result, da.Array) and not chunks
    result.compute(scheduler="sync")
    assert len(chunks) == 16


def test_a_block_reads_its_own_chunk_and_those_that_its_windows_reach():
    chunks = []
    y = gpuconv.conv2d(source(chunks.append), np.ones((1, 1, 3, 3), "f4"), padding=1)
    y.blocks[0, 0, 1, 2].compute(scheduler="sync")
    assert {*chunks} == {(row, column) for row in (0, 1, 2) for column in (1, 2, 3)}
    chunks.clear()
    gpuconv.max_pool2d(source(chunks.append), 2).blocks[0, 0, 1, 2].compute(scheduler="sync")
    assert chunks == [(1, 2)]


def test_blocks_follow_the_chunks_of_the_input():
    x = source()
    assert gpuconv.conv2d(x, np.ones((1, 1, 5, 5), "f4"), padding=2).chunks == x.chunks
    assert gpuconv.max_pool2d(x, 2).chunks[2:] == ((50,) * 4, (50,) * 4)
    assert gpuconv.conv2d(x, np.ones((1, 1, 5, 5), "f4")).chunks[2] == (98, 100, 100, 98)
    assert gpuconv.conv_transpose2d(x, np.ones((1, 1, 2, 2), "f4"), stride=2).chunks[2] == (200,) * 4
    small = da.zeros((1, 1, 9, 9), chunks=1, dtype="float32")
    assert gpuconv.max_pool2d(small, 3).chunks[2] == (1, 1, 1)


def test_a_piece_of_a_neighbour_is_a_copy_which_does_not_hold_it():
    """Of a chunk of 100 rows and columns its neighbours need two: a view would hold all 100."""
    y = gpuconv.conv2d(source(), np.ones((1, 1, 5, 5), "f4"), padding=2)
    graph = dict(y.__dask_graph__())
    cuts = [task for key, task in graph.items() if isinstance(key, tuple) and key[0].startswith("input-of-")]
    assert len(cuts) == 2 * 24 + 4 * 9  # two at each inner side of a chunk, four at each corner
    chunk = np.zeros((1, 1, 100, 100), "float32")
    for task in cuts:
        function, _, window = task if isinstance(task, tuple) else (task.func, *(each for each in task.args))
        piece = function(chunk, window)
        assert piece.size <= 200 and not np.may_share_memory(piece, chunk)


def test_names_tell_calls_apart_and_equal_ones_are_one():
    assert CALLS["conv2d"](CHUNKS).name == CALLS["conv2d"](CHUNKS).name
    others = [
        gpuconv.conv2d(CHUNKS, W), gpuconv.conv2d(CHUNKS, W + 1), gpuconv.conv2d(CHUNKS + 1, W),
        gpuconv.conv2d(CHUNKS, W, padding=1), gpuconv.conv2d(CHUNKS, W, precision="ieee"),
        gpuconv.conv2d(CHUNKS, W, activation="relu"), gpuconv.conv2d(CHUNKS, W, algorithm="conv_direct"),
        gpuconv.max_pool2d(CHUNKS, 3), gpuconv.min_pool2d(CHUNKS, 3),
    ]  # fmt: skip
    assert len({each.name for each in others}) == len(others)


@over_calls
def test_a_graph_can_be_sent(name):
    result = CALLS[name](CHUNKS)
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.compute(scheduler="sync"), result.compute(scheduler="threads"))


@over_calls
def test_calls_in_a_row_give_what_they_give_of_whole_arrays(name):
    first = gpuconv.conv2d(CHUNKS, integers((4, 4, 5, 5), "float32", 2), padding=2)
    result = CALLS[name](first)
    whole = CALLS[name](gpuconv.conv2d(X, integers((4, 4, 5, 5), "float32", 2), padding=2))
    np.testing.assert_allclose(result.compute(scheduler="sync"), whole, rtol=1e-6)


def test_values_and_indices_are_computed_together():
    chunks = []
    values, indices = gpuconv.max_pool2d(source(chunks.append), 2, return_indices=True)
    da.compute(values, indices, scheduler="sync")
    assert len(chunks) == 16
    assert indices.dtype == np.int64 == indices._meta.dtype


def test_the_program_s_precision_is_that_of_the_call():
    gpuconv.set_precision("ieee")
    try:
        lazy = gpuconv.conv2d(CHUNKS, W)
    finally:
        gpuconv.set_precision(None)
    assert lazy.name == gpuconv.conv2d(CHUNKS, W, precision="ieee").name != gpuconv.conv2d(CHUNKS, W).name


def test_functions_mapped_over_blocks_are_tried_on_what_dask_tries_them_on():
    """It infers the dtype of the result from blocks of no or of one element."""
    pooled = CHUNKS.map_blocks(gpuconv.max_pool2d, 2, chunks=(1, 2, 5, 5), meta=CHUNKS._meta)
    np.testing.assert_array_equal(pooled.compute(scheduler="sync"), gpuconv.max_pool2d(X, 2))
    pooled = CHUNKS.map_blocks(gpuconv.max_pool2d, 1, chunks=CHUNKS.chunks)
    assert pooled.dtype == np.float32


def test_a_weight_of_dask_or_none_of_the_arrays_but_it():
    chunked = da.from_array(W, chunks=(2, 3, 2, 2))
    expected = gpuconv.conv2d(X, W)
    for x, w in ((X, chunked), (CHUNKS, W), (CHUNKS, chunked)):
        result = gpuconv.conv2d(x, w)
        assert isinstance(result, da.Array)
        np.testing.assert_array_equal(result.compute(scheduler="sync"), expected)


def unknown(axis):
    chunks = [tuple(each) for each in CHUNKS.chunks]
    chunks[axis] = (np.nan,) * len(chunks[axis])
    return da.Array(CHUNKS.dask, CHUNKS.name, tuple(chunks), meta=CHUNKS._meta)


@pytest.mark.parametrize("axis", range(4))
def test_chunks_of_unknown_size_are_refused(axis):
    said = (
        rf"input has chunks of unknown size along axis {axis}, .*: call input.compute_chunk_sizes\(\) first"
    )
    with pytest.raises(ValueError, match=said):
        gpuconv.conv2d(unknown(axis), W)
    with pytest.raises(ValueError, match="weight has chunks of unknown size"):
        gpuconv.conv2d(X, unknown(axis))


def masked():
    return da.ma.masked_array(CHUNKS, CHUNKS > 2)


def of_torch(array):
    return pytest.importorskip("torch").from_numpy(array)


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (
            lambda: gpuconv.conv2d(CHUNKS, W, out=OUT),
            ValueError,
            "out must be None",
        ),
        (lambda: gpuconv.conv2d(X, W, out=CHUNKS), ValueError, "out must be None"),
        (lambda: gpuconv.max_pool2d(masked(), 2), TypeError, "input must not be a masked array"),
        (lambda: gpuconv.conv2d(CHUNKS, W.tolist()), TypeError, "weight must be an array"),
        (lambda: gpuconv.conv2d(CHUNKS, of_torch(W)), TypeError, "weight is of torch and input of NumPy"),
        (lambda: gpuconv.conv2d(CHUNKS.astype("int64"), W), TypeError, "input must be float32"),
        (lambda: gpuconv.conv2d(CHUNKS, W.astype("f8")), TypeError, "weight must have the input's dtype"),
        (lambda: gpuconv.conv2d(CHUNKS, W[:, :3]), ValueError, "weight must have C / groups"),
        (lambda: gpuconv.conv2d(CHUNKS[0, 0], W), ValueError, "input must have shape"),
        (lambda: gpuconv.conv2d(CHUNKS, W, padding=-1), ValueError, "padding must be"),
        (
            lambda: gpuconv.conv2d(CHUNKS, W, algorithm="conv_magic"),
            ValueError,
            "algorithm must be None or one",
        ),
        (lambda: gpuconv.max_pool2d(CHUNKS, 50), ValueError, "input is too small"),
        (lambda: gpuconv.unfold(CHUNKS, 2), TypeError, "unfold takes no dask arrays"),
        (lambda: gpuconv.grad.conv2d_bias(CHUNKS), TypeError, "conv2d_bias takes no dask arrays"),
    ],
)
def test_errors_come_at_once_and_name_the_argument(make, kind, said):
    with pytest.raises(kind, match=said):
        make()


def test_how_a_call_is_computed_is_asked_of_a_block():
    with pytest.raises(
        TypeError, match=r"input is a dask Array, .*: pass .* input.partitions\[0\].compute\(\)"
    ):
        gpuconv.explain(gpuconv.max_pool2d, CHUNKS, 2)
    with pytest.raises(TypeError, match="weight is a dask Array"):
        gpuconv.plan_conv2d(X, da.from_array(W))
    block = CHUNKS.partitions[0, 0, 0, 0].compute()
    assert gpuconv.explain(gpuconv.max_pool2d, block, 2)


def test_an_empty_batch_gives_an_empty_result():
    x = da.zeros((0, 4, 30, 40), chunks=(1, 2, 10, 10), dtype="float32")
    assert gpuconv.conv2d(x, W).compute().shape == (0, 6, 28, 38)
    values, indices = gpuconv.max_pool2d(x, 2, return_indices=True)
    assert values.compute().shape == indices.compute().shape == (0, 4, 15, 20)
    assert indices.compute().dtype == np.int64


def test_chunks_of_no_extent_are_passed_over():
    x = da.from_array(X, chunks=((0, 1, 0, 1), (4, 0), (0, 10, 0, 20), (40, 0)))
    np.testing.assert_array_equal(gpuconv.conv2d(x, W).compute(scheduler="sync"), gpuconv.conv2d(X, W))


def test_arrays_of_query_planning_are_refused():
    program = (
        "import dask; dask.config.set({'array.query-planning': True}); import dask.array, gpuconv; "
        "gpuconv.max_pool2d(dask.array.ones((1, 4, 4), chunks=2), 2)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert "TypeError: input is a dask array of query planning" in ended.stderr


def test_dask_and_xarray_are_not_imported_by_calls_of_other_arrays():
    program = (
        "import sys, numpy as np, gpuconv; gpuconv.max_pool2d(np.ones((1, 1, 4, 4)), 2); "
        "assert not {'dask', 'xarray', 'gpuconv.blocks', 'gpuconv.labels'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
