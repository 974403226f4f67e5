"""How work is cut for more threads than there are here: tasks for each, and no long wait for the last."""

import numpy as np
import pytest

import gpuconv
from gpuconv import threads as sharing
from gpuconv.cpu.conv import winograd
from gpuconv.cpu.engine import launch, planes

WORTH_A_THREAD = 5 * sharing.MIN_WORK  # of each; with less, where the last task ends hardly matters
LAYERS = {  # x, w, padding, stride, groups
    "stem": ((8, 3, 224, 224), (64, 3, 7, 7), 3, 2, 1),
    "3x3 64 @56": ((8, 64, 56, 56), (64, 64, 3, 3), 1, 1, 1),
    "3x3 64 @56, one image": ((1, 64, 56, 56), (64, 64, 3, 3), 1, 1, 1),
    "3x3 128 @56 /2": ((8, 128, 56, 56), (128, 128, 3, 3), 1, 2, 1),
    "3x3 512 @7": ((8, 512, 7, 7), (512, 512, 3, 3), 1, 1, 1),
    "1x1 64 -> 256 @56": ((1, 64, 56, 56), (256, 64, 1, 1), 0, 1, 1),
    "1x1 2048 -> 512 @7": ((8, 2048, 7, 7), (512, 2048, 1, 1), 0, 1, 1),
    "depthwise 144 @56": ((8, 144, 56, 56), (144, 1, 3, 3), 1, 1, 144),
    "depthwise 960 @7": ((32, 960, 7, 7), (960, 1, 3, 3), 1, 1, 960),
    "one channel": ((1, 1, 2048, 2048), (1, 1, 3, 3), 1, 1, 1),
}
POOLS = {  # x, window, stride, indices
    "max 3x3 /2": ((8, 64, 112, 112), 3, 2, False),
    "max 3x3 /2, indices": ((8, 64, 112, 112), 3, 2, True),
    "max 2x2": ((8, 64, 112, 112), 2, 2, False),
}
# A processor fetches what lies behind what it works on, which another should not be writing to meanwhile.
SIDE_BY_SIDE = ("depthwise 144 @56", "max 3x3 /2", "max 2x2")


@pytest.fixture
def shared(monkeypatch):
    """(tasks, work) of what is shared out from here on, which is not computed."""
    found = []
    for module in (launch, planes, winograd):
        monkeypatch.setattr(module, "share", lambda compute, tasks, work: found.append((tasks, work)))
    return found


@pytest.mark.parametrize("count", [2, 4, 8, 16, 32, 64])
def test_the_longest_share_is_at_most_one_and_a_half_times_the_mean(count, shared, threads):
    threads(count)
    for name, (x, w, padding, stride, groups) in LAYERS.items():
        arrays = (np.zeros(shape, np.float32) for shape in (x, w))
        gpuconv.conv2d(*arrays, padding=padding, stride=stride, groups=groups)
        check(name, count, shared)
    for name, (x, window, stride, indices) in POOLS.items():
        gpuconv.max_pool2d(np.zeros(x, np.float32), window, stride, return_indices=indices)
        check(name, count, shared)


def check(name, count, shared):
    assert shared, name
    for tasks, work in shared:
        if work >= count * WORTH_A_THREAD:
            longest = -(-tasks // min(count, tasks))
            assert longest * count <= 1.5 * tasks, f"{name}: {tasks} tasks for {count} threads"
        if name in SIDE_BY_SIDE:
            assert tasks <= 10 * count, f"{name}: {tasks} tasks for {count} threads"
    shared.clear()
