"""Graphs on the processes of dask.distributed, of which one may be killed."""

import os
import signal

import numpy as np
import pytest

import gpuconv
from tests.cases import integers

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

X, W = integers((1, 2, 60, 80), "float32"), integers((3, 2, 5, 5), "float32", 1)


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def layers(x):
    """Two convolutions and a pool, whose blocks need those of neighbours of all of them."""
    y = gpuconv.conv2d(x, W, padding=2, activation="relu")
    y = gpuconv.conv_transpose2d(y, W, stride=2)
    return gpuconv.max_pool2d(y, 3, 2, 1, return_indices=True)


def test_results_of_processes_are_those_of_this_one(client):
    assert os.getpid() not in client.run(os.getpid).values()
    found = client.gather(client.compute(layers(da.from_array(X, chunks=(1, 1, 20, 30)))))
    for block, whole in zip(found, layers(X), strict=True):
        np.testing.assert_array_equal(block, whole)


def killing(block, flag):
    """Once, whoever computes a block beyond the first dies, with all that it holds."""
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return block
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_the_end(block, flag, block_info=None):
    return killing(block, flag) if block_info[None]["chunk-location"][-2:] == (2, 2) else block


def test_a_worker_that_is_killed_in_the_middle_loses_nothing(client, tmp_path):
    flag = tmp_path / "killed"
    chunks = da.from_array(X, chunks=(1, 1, 20, 30))
    x = chunks.map_blocks(kill_at_the_end, str(flag), dtype=X.dtype, meta=chunks._meta)
    before = {*client.run(os.getpid).values()}
    found = client.gather(client.compute(layers(x)))
    assert flag.exists() and {*client.run(os.getpid).values()} != before
    for block, whole in zip(found, layers(X), strict=True):
        np.testing.assert_array_equal(block, whole)
