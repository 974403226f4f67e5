"""Every kernel of the CUDA engine is launched by `gpuconv verify`, and by the test here that needs a GPU."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

pytest.importorskip("gpuconv.cuda", reason="the GPU engine is not installed")

from gpuconv import cuda
from gpuconv.commands import environment, verify
from gpuconv.commands.covering import call_of, covering, kernels
from gpuconv.commands.problems import conv
from gpuconv.cuda.conv import packed_gemm, split
from gpuconv.cuda.runtime import launch as launching
from gpuconv.cuda.runtime.gpu import GPUS, H200, MULTIPROCESSORS, Gpu
from gpuconv.spec.dtypes import FLOAT32

# One of each compute capability, and of one several: the tiles of a problem depend on the multiprocessors.
CARDS = (
    *GPUS.values(),
    Gpu("T4", (7, 5), 40, 1.59, 320, 4),
    Gpu("A10", (8, 6), 72, 1.7, 600, 6),
    Gpu("B200", (10, 0), 148, 1.97, 8000, 126),
    Gpu("RTX 5060 Ti", (12, 0), 36, 2.57, 448, 32),
    Gpu("RTX 5090", (12, 0), 170, 2.41, 1792, 96),
)
WINOGRAD = {"conv_winograd", "winograd_weights"}  # more shared memory than a block has before sm_80
OF_SM_80 = WINOGRAD | {
    *(kernel.name for kernel in cuda.KERNELS if not kernel.runs_on("sm_75")),
    *(kernel.name for kernel in (*packed_gemm.KERNELS, *split.KERNELS[1:])),
}  # fmt: skip


@pytest.mark.wide  # seconds
@pytest.mark.parametrize("gpu", CARDS, ids=lambda gpu: gpu.name)
def test_every_kernel_is_launched(gpu):
    launched = {name for each in covering_here(gpu) for name in each.kernels}
    assert launched == {kernel.name for kernel in cuda.KERNELS} - (OF_SM_80 if gpu.name == "T4" else set())


def test_there_is_a_card_of_each_capability_that_is_known():
    assert {card.capability for card in CARDS} == MULTIPROCESSORS.keys()


@pytest.mark.wide  # seconds
def test_no_problem_is_there_twice_for_a_kernel():
    chosen = covering_here(H200)
    names = [name for each in chosen for name in each.kernels]
    assert len(names) == len(set(names))


def test_what_does_not_run_launches_nothing():
    (winograd,) = (each for each in cuda.ALGORITHMS["conv"] if each.name == "conv_winograd")
    square = call_of(conv((1, 8, 16, 16), (8, 8, 3, 3)), FLOAT32)
    assert kernels(winograd, square, H200) >= WINOGRAD
    assert kernels(winograd, square, replace(H200, capability=(7, 5))) == set()
    assert kernels(winograd, call_of(conv((1, 8, 16, 16), (8, 8, 5, 5)), FLOAT32), H200) == set()
    (tiled,) = (each for each in cuda.ALGORITHMS["conv"] if each.name == "conv_tiled")
    assert kernels(tiled, call_of(conv((0, 3, 7, 9), (4, 3, 3, 3)), FLOAT32), H200) == set()


def launched(monkeypatch):
    """The names of the kernels that are launched from here on, by themselves or as a pass of several."""
    names = []

    def noting(method):
        def noted(launch, *arguments):
            names.append(launch.kernel.name)
            return method(launch, *arguments)

        return noted

    for name in {"queue", "start"} & vars(launching.Launch).keys():
        monkeypatch.setattr(launching.Launch, name, noting(vars(launching.Launch)[name]))
    return names


def test_launches_are_noted_pass_by_pass(monkeypatch):
    (winograd,) = (each for each in cuda.ALGORITHMS["conv"] if each.name == "conv_winograd")
    call = call_of(conv((1, 8, 16, 16), (8, 8, 3, 3)), FLOAT32)
    for name in {"queue", "start"} & vars(launching.Launch).keys():
        monkeypatch.setattr(launching.Launch, name, lambda launch, *arguments: None)
    monkeypatch.setattr("gpuconv.cuda.runtime.passes.refuse_forked_child", lambda: None, raising=False)
    monkeypatch.setattr("gpuconv.cuda.runtime.passes.current", lambda ordinal: nullcontext(), raising=False)
    names = launched(monkeypatch)
    winograd.plan(call.spec, call.layouts, H200).queue(0, 0, [0] * 5)
    assert names == ["winograd_weights", "conv_winograd"]


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", cuda.KERNELS, ids=lambda kernel: kernel.name)
def test_a_kernel_computes_exactly_on_a_gpu(kernel, monkeypatch):
    device = environment.Cuda()
    chosen = [each for each in covering_here(device.gpu) if kernel.name in each.kernels]
    if not chosen:
        pytest.skip(f"no problem launches it on {device.gpu.name}")
    (found,), names = chosen, launched(monkeypatch)
    (algorithm,) = (
        each for listed in cuda.ALGORITHMS.values() for each in listed if each.name == found.algorithm
    )
    results = [*verify.results(device, verify.Check(algorithm, found.dtype, (found.problem,)))]
    assert results == [(found.problem, None)]
    assert kernel.name in names


_COVERING: dict[Gpu, list] = {}


def covering_here(gpu):
    """The problems of one GPU, chosen once."""
    if gpu not in _COVERING:
        _COVERING[gpu] = covering(cuda.ALGORITHMS, gpu)
    return _COVERING[gpu]
