"""A convolution and a pool that are each worth several threads, as code for a fresh interpreter.

`right()` says whether both have the results that one thread found.
"""

PROBLEM = """
import os, sys, threading, numpy as np, gpuconv
from concurrent.futures import ThreadPoolExecutor
rng = np.random.default_rng(0)
x = rng.integers(-4, 5, (4, 8, 60, 61)).astype(np.float32)
w = rng.integers(-4, 5, (12, 8, 3, 3)).astype(np.float32)
def convolve(): return gpuconv.conv2d(x, w, padding=1)
def pool(): return gpuconv.max_pool2d(x, 9, stride=1)
gpuconv.set_num_threads(1)
expected = convolve(), pool()
gpuconv.set_num_threads(4)
def right():
    return all((f() == e).all() for f, e in zip((convolve, pool), expected))
"""
