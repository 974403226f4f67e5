"""The workloads are the networks that they say they are: known totals, chaining shapes, exact layer lists."""

import numpy as np
import pytest

import gpuconv
from gpuconv.call import understand
from gpuconv.operators import OPERATORS
from gpuconv.spec import ConvSpec, PoolSpec, ScatterSpec
from profiling.workloads import (
    WORKLOADS,
    Workload,
    convolution,
    is_forward,
    label,
    networks,
    operands,
    operator,
    pool,
    public_call,
)
from profiling.workloads.deepbench import TRAINING
from tests.cuda.layers import RESNET50, UNET, VGG16, mobilenet_depthwise
from tests.profiling.workloads.backward import BACKWARD


def multiply_adds(workload: Workload) -> float:
    """Of one image, all convolutions together."""
    total = sum(layer.multiplicity * layer.spec.flops for layer in workload.layers)
    return total / 2 / workload.layers[0].spec.N


def planes(specs) -> set[tuple[int, int, int]]:
    """(channels, height, width) of each spec's output."""
    return {spec.out_shape[1:] for spec in specs}


@pytest.mark.parametrize(
    ("make", "published"),
    [
        (networks.resnet50, 4.09e9),
        (networks.vgg16, 15.35e9),
        (networks.mobilenet_v2, 0.300e9),
        (networks.lenet5, 117_600 + 240_000 + 48_000),
    ],
)
@pytest.mark.parametrize("batch", [1, 4])
def test_a_network_has_its_published_work(make, published, batch):
    assert multiply_adds(make(batch)) == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize(
    ("name", "distinct", "convolutions"),
    [
        ("resnet50", 23, 53),
        ("vgg16", 9, 13),
        ("mobilenet_v2", 30, 52),
        ("unet", 15, 19),
        ("lenet5", 3, 3),
        ("deepbench", 90, 94),
    ],
)
def test_a_network_has_its_number_of_layers(name, distinct, convolutions):
    layers = WORKLOADS[name]().layers
    assert len(layers) == distinct
    assert sum(layer.multiplicity for layer in layers) == convolutions


@pytest.mark.parametrize(
    ("name", "image", "batch"),
    [("resnet50", 224, 8), ("vgg16", 224, 1), ("mobilenet_v2", 224, 8), ("unet", 512, 1), ("lenet5", 28, 64)],
)
def test_every_layer_reads_what_another_wrote(name, image, batch):
    specs = [layer.spec for layer in WORKLOADS[name]().layers]
    assert {spec.N for spec in specs} == {batch}
    assert specs[0].H == specs[0].W == image
    halved = {(C, H // 2, W // 2) for C, H, W in planes(specs)}  # by a pool of stride 2
    written = planes(specs) | halved
    doubled = {(2 * C, H, W) for C, H, W in written} if name == "unet" else set()  # beside the encoder's
    for spec in specs[1:]:
        assert (spec.C, spec.H, spec.W) in written | doubled, label(spec)


def test_the_pools_chain_with_their_networks():
    pools = [layer.spec for layer in networks.pools().layers]
    for name, count in (("resnet50", 2), ("vgg16", 5), ("unet", 4), ("lenet5", 2), ("mobilenet_v2", 1)):
        written = planes(layer.spec for layer in WORKLOADS[name]().layers)
        batches = {layer.spec.N for layer in WORKLOADS[name]().layers}
        read = [spec for spec in pools if (spec.C, spec.H, spec.W) in written and spec.N in batches]
        assert len(read) >= count, name


def test_mobilenet_has_all_its_depthwise_layers():
    depthwise = [layer for layer in networks.mobilenet_v2().layers if layer.spec.is_depthwise]
    assert sum(layer.multiplicity for layer in depthwise) == 17
    assert max(layer.spec.K for layer in depthwise) == 960


def test_resnet_strides_in_the_3x3_convolution():
    strided = [layer.spec for layer in networks.resnet50().layers if layer.spec.stride == (2, 2)]
    assert [(spec.R, spec.C) for spec in strided if spec.R == 3] == [(3, 128), (3, 256), (3, 512)]
    shortcuts = [(spec.C, spec.K) for spec in strided if spec.R == 1]
    assert shortcuts == [(256, 512), (512, 1024), (1024, 2048)]


def test_deepbench_groups_hold_the_published_list():
    assert sum(len(batches) for *_, batches in TRAINING) == 94
    first = WORKLOADS["deepbench"]().layers[0].spec
    assert first.out_shape == (4, 32, 79, 341)  # the next published layer reads 79 x 341
    assert {batch for *_, batches in TRAINING for batch in batches} == {4, 8, 16, 32}


REDUCTIONS = [layer.spec for layer in WORKLOADS["reductions"]().layers]


@pytest.mark.parametrize("spec", [*BACKWARD, *REDUCTIONS], ids=label)
def test_a_public_call_of_a_problem_is_of_that_problem(spec):
    public = public_call(spec, operands(spec))
    call = understand(public.func, *public.args, **public.keywords)
    assert call.spec == spec
    assert call.operator.name.removeprefix("grad.") == operator(spec).removeprefix("grad.")


@pytest.mark.parametrize("spec", [each for each in BACKWARD if isinstance(each, ScatterSpec)], ids=label)
def test_indices_are_of_their_windows(spec):
    """So a gradient by windows, and one that looks at every index, are the same; unpooled places differ."""
    values, indices = operands(spec)
    assert indices.dtype == np.int64 and indices.shape == values.shape
    assert indices.min() >= 0 and indices.max() < spec.H * spec.W
    if spec.combine == "last":
        assert all(len({*plane.ravel()}) == plane.size for image in indices for plane in image)
        return
    size = (spec.N, spec.C, spec.H, spec.W)
    everywhere = gpuconv.grad.max_pool2d(values, indices, size)
    np.testing.assert_allclose(public_call(spec, (values, indices))(), everywhere, atol=1e-5)


def test_every_pool_is_measured():
    measured = {operator(layer.spec) for make in WORKLOADS.values() for layer in make().layers}
    pools = {name for name in OPERATORS if name.endswith("_pool2d") and not name.startswith("grad.")}
    assert pools <= measured
    first = [layer.spec for layer in WORKLOADS["reductions"]().layers if not layer.channels_last]
    assert not any(is_forward(spec) for spec in first if operator(spec) != "max_pool2d")


def test_all_that_goes_back_is_measured():
    measured = {operator(layer.spec) for make in WORKLOADS.values() for layer in make().layers}
    assert {operator(spec) for spec in BACKWARD} <= measured


def test_a_precision_is_of_what_takes_it():
    workload = WORKLOADS["training"]().with_precision("ieee")
    precise = {operator(layer.spec) for layer in workload.layers if getattr(layer.spec, "precision", None)}
    assert precise == {"conv_transpose2d"}


@pytest.mark.parametrize("name", WORKLOADS)
def test_labels_and_specs_are_distinct(name):
    layers = WORKLOADS[name]().layers
    assert len({layer.label for layer in layers}) == len({layer.spec for layer in layers}) == len(layers)


def test_dtype_and_sample_keep_the_rest():
    workload = networks.resnet50()
    double = workload.with_dtype("float64")
    assert {layer.spec.dtype for layer in double.layers} == {"float64"}
    assert [layer.label for layer in double.layers] == [layer.label for layer in workload.layers]
    assert workload.sample(100) == workload


@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize("count", [1, 4, 8])
def test_a_sample_is_a_part_in_order(name, count):
    workload = WORKLOADS[name]()
    sample = workload.sample(count).layers
    assert min(count, len(workload.layers)) >= len(sample) > 0
    assert sample == tuple(layer for layer in workload.layers if layer in sample)


def test_a_sample_has_each_kind_of_layer():
    sample = [layer.spec for layer in networks.mobilenet_v2().sample(4).layers]
    kinds = {(spec.R, spec.stride[0], spec.is_depthwise) for spec in sample}
    assert kinds == {(1, 1, False), (3, 1, True), (3, 2, True), (3, 2, False)}


def test_the_layers_that_the_cuda_tests_choose_tiles_for_are_the_networks():
    for specs, make in ((RESNET50, networks.resnet50), (VGG16, networks.vgg16), (UNET, networks.unet)):
        assert [*specs] == [layer.spec for layer in make().layers]
    layers = [layer.spec for layer in networks.mobilenet_v2(3).layers if layer.spec.is_depthwise]
    assert [*mobilenet_depthwise(3)] == layers


def test_a_depthwise_spec_has_a_group_a_channel():
    spec = convolution(1, 8, (6, 10), 8, 3, groups=8)
    assert isinstance(spec, ConvSpec) and spec.is_depthwise
    assert spec.out_shape == (1, 8, 6, 10)
    assert label(spec) == "depthwise 3x3 8 @6x10"
    assert isinstance(pool("max", 1, 1, 4, 2), PoolSpec)
