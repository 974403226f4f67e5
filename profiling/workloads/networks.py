"""The distinct layers of well-known networks, image filters and pools.

A network's layer list is walked in the order of its publication, and equal layers are counted, so that the
sum over `multiplicity * spec.flops` is the work of one forward pass.
"""

from collections.abc import Callable
from dataclasses import replace

from gpuconv.spec import INPUT_GRADIENT, WEIGHT_GRADIENT, ConvSpec
from profiling.workloads.deepbench import TRAINING
from profiling.workloads.layers import (
    Workload,
    adaptive_pool,
    backward,
    bias_gradient,
    convolution,
    count,
    label,
    max_gradient,
    mean_gradient,
    norm_pool,
    patches,
    pool,
    unpool,
)


def resnet50(batch: int = 8) -> Workload:
    """ResNet-50 v1.5 at 224x224: the stride of a bottleneck lies in its 3x3 convolution.

    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.
    """
    specs = [convolution(batch, 3, 224, 64, 7, 2)]
    C, size = 64, 56  # after the 3x3 max pool of stride 2
    for width, blocks, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            specs.append(convolution(batch, C, size, width, 1))
            specs.append(convolution(batch, width, size, width, 3, stride))
            specs.append(convolution(batch, width, size // stride, 4 * width, 1))
            if block == 0:
                specs.append(convolution(batch, C, size, 4 * width, 1, stride))
            C, size = 4 * width, size // stride
    return Workload("resnet50", count(specs))


def vgg16(batch: int = 1) -> Workload:
    """VGG-16 at 224x224. Simonyan and Zisserman, ICLR 2015, configuration D."""
    specs = []
    C, size = 3, 224
    for width, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            specs.append(convolution(batch, C, size, width, 3))
            C = width
        size //= 2
    return Workload("vgg16", count(specs))


def mobilenet_v2(batch: int = 8) -> Workload:
    """MobileNetV2 at 224x224, width 1. Sandler et al., CVPR 2018, table 2."""
    specs = [convolution(batch, 3, 224, 32, 3, 2)]
    C, size = 32, 112
    stages = (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    )  # fmt: skip
    for expansion, width, blocks, first_stride in stages:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            hidden = expansion * C
            if expansion > 1:
                specs.append(convolution(batch, C, size, hidden, 1))
            specs.append(convolution(batch, hidden, size, hidden, 3, stride, groups=hidden))
            size //= stride
            specs.append(convolution(batch, hidden, size, width, 1))
            C = width
    specs.append(convolution(batch, C, size, 1280, 1))
    return Workload("mobilenet_v2", count(specs))


def unet(batch: int = 1) -> Workload:
    """U-Net on one-channel 512x512 images, with padded 3x3 convolutions; its 2x2 up-convolutions left out.

    Ronneberger et al., MICCAI 2015, figure 1; padding as in most implementations, so that extents halve
    exactly.
    """
    widths = (64, 128, 256, 512, 1024)
    specs = []
    C, size = 1, 512
    for width in widths:
        specs += [convolution(batch, C, size, width, 3), convolution(batch, width, size, width, 3)]
        C, size = width, size // 2
    size *= 2
    for width in reversed(widths[:-1]):
        size *= 2  # by the up-convolution, whose `width` channels are put beside the encoder's
        specs += [convolution(batch, 2 * width, size, width, 3), convolution(batch, width, size, width, 3)]
    return Workload("unet", count([*specs, convolution(batch, 64, 512, 2, 1)]))


def lenet5(batch: int = 64) -> Workload:
    """LeNet-5 on 28x28 digits, the border padded to 32x32. LeCun et al., Proc. IEEE 1998, figure 2."""
    specs = [
        convolution(batch, 1, 28, 6, 5),
        convolution(batch, 6, 14, 16, 5, pad=0),
        convolution(batch, 16, 5, 120, 5, pad=0),
    ]
    return Workload("lenet5", count(specs))


def deepbench() -> Workload:
    """The convolutions of DeepBench's training set, the equal ones counted (see `deepbench.py`)."""
    specs = (
        ConvSpec(N, C, H, W, K, R, S, ((pad, pad), (pad, pad)), (stride, stride))
        for H, W, C, K, R, S, pad, stride, batches in TRAINING
        for N in batches
    )
    return Workload("deepbench", count(specs, lambda spec: f"{label(spec)} N{spec.N}"))


def filters() -> Workload:
    """One-channel images: a 2048x2048 photograph under growing kernels, and four 3x3 kernels on 64 digits."""
    photographs = [convolution(1, 1, 2048, 1, extent) for extent in (3, 5, 7, 9, 11, 15)]
    return Workload("filters", count([*photographs, convolution(64, 1, 28, 4, 3)]))


def pools() -> Workload:
    """The pools of these networks, and 3x3 windows of stride 1 on feature maps and on one photograph."""
    specs = [
        pool("max", 8, 64, 112, 3, stride=2, pad=1),  # ResNet-50
        *(pool("max", 1, C, size, 2) for C, size in VGG_POOLS),
        *(pool("max", 1, C, size, 2) for C, size in UNET_POOLS),
        *(pool("mean", 64, C, size, 2) for C, size in ((6, 28), (16, 10))),  # LeNet-5
        pool("mean", 8, 2048, 7, 7),  # ResNet-50, global
        pool("mean", 8, 1280, 7, 7),  # MobileNetV2, global
        pool("mean", 8, 128, 56, 2),  # DenseNet-121's first transition
        pool("max", 8, 192, 28, 3, stride=1, pad=1),  # GoogLeNet's first inception module
        pool("mean", 8, 192, 35, 3, stride=1, pad=1),  # Inception-v3's first inception module
        pool("max", 1, 1, 2048, 3, stride=1, pad=1),
        pool("mean", 1, 1, 2048, 3, stride=1, pad=1),
    ]
    return Workload("pools", count(specs))


def reductions() -> Workload:
    """Pools of feature maps otherwise: minima, norms, adaptive windows, indices, channels that lie last."""
    specs = [
        pool("min", 8, 64, 112, 3, stride=2, pad=1),
        norm_pool(2.0, 8, 64, 112, 2),
        norm_pool(3.0, 8, 128, 56, 2),
        adaptive_pool("mean", 8, 256, 13, 6),  # AlexNet's and VGG's, on images of other sizes
        adaptive_pool("mean", 8, 512, 14, 6),  # PSPNet's pyramid
        adaptive_pool("mean", 8, 64, 56, 50),
        adaptive_pool("max", 8, 256, 13, 6),
        adaptive_pool("max", 8, 64, 112, 32),
        *(replace(pool("max", *each), return_indices=True) for each in ((8, 64, 112, 2), (8, 512, 14, 2))),
    ]
    last = [
        pool("max", 8, 64, 112, 3, stride=2, pad=1),
        pool("mean", 8, 128, 56, 2),
        pool("mean", 8, 2048, 7, 7),
        pool("max", 1, 32, 56, 13, stride=1, pad=6),  # SPP's largest window
        replace(pool("max", 8, 64, 56, 2), return_indices=True),
    ]
    layers = (replace(layer, channels_last=True) for layer in count(last, lambda spec: f"{label(spec)} last"))
    return Workload("reductions", (*count(specs), *layers))


def training() -> Workload:
    """What layers of ResNet-50 and MobileNetV2 take on the way back, of the heaviest kinds one each.

    The gradient by the input is `conv_transpose2d`'s problem.
    """
    layers = [
        convolution(8, 64, 56, 64, 3),
        convolution(8, 128, 56, 128, 3, 2),
        convolution(8, 256, 14, 1024, 1),
        convolution(8, 256, 56, 512, 1, 2),
        convolution(8, 144, 56, 144, 3, groups=144),
    ]
    stem = backward(convolution(8, 3, 224, 64, 7, 2), WEIGHT_GRADIENT)
    specs = [
        *(backward(layer, direction) for layer in layers for direction in (INPUT_GRADIENT, WEIGHT_GRADIENT)),
        stem,
        bias_gradient(8, 64, 112),
        max_gradient(pool("max", 8, 64, 112, 3, stride=2, pad=1)),
        mean_gradient(pool("mean", 8, 2048, 7, 7)),
        mean_gradient(pool("mean", 8, 128, 56, 2)),
    ]
    return Workload("training", count(specs))


def upsampling() -> Workload:
    """U-Net's up-convolutions, DCGAN's last layers, FCN-32s' one of 64x64 at stride 32, SegNet's unpooling.

    Radford et al., ICLR 2016, figure 1; Long et al., CVPR 2015; Badrinarayanan et al., TPAMI 2017.
    """
    specs = [
        *(backward(convolution(1, C // 2, size, C, 2, 2, 0)) for C, size in UNET_UPS),
        *(backward(convolution(64, C, size, K, 4, 2, 1)) for C, size, K in ((128, 32, 256), (3, 64, 128))),
        backward(convolution(1, 21, 544, 21, 64, 32, 0)),
        *(unpool(pool("max", 1, C, size, 2)) for C, size in ((64, 224), (512, 28))),
    ]
    return Workload("upsampling", count(specs))


def windows() -> Workload:
    """Windows as matrices, and back: of a feature map, of ResNet-50's stem, of a vision transformer."""
    layers = [
        convolution(8, 64, 56, 64, 3),
        convolution(8, 3, 224, 64, 7, 2),
        convolution(8, 3, 224, 768, 16, 16, 0),
    ]
    specs = [patches(direction, layer) for layer in layers for direction in ("unfold", "fold")]
    return Workload("windows", count(specs))


def call_cost() -> Workload:
    """Problems without work: what a call itself costs."""
    specs = [convolution(1, 8, 8, 8, 3), pool("max", 1, 8, 8, 2)]
    return Workload("call_cost", count(specs), host_clock=True)


VGG_POOLS = ((64, 224), (128, 112), (256, 56), (512, 28), (512, 14))
UNET_UPS = ((1024, 64), (512, 128), (256, 256), (128, 512))  # channels below, extent above
UNET_POOLS = ((64, 512), (128, 256), (256, 128), (512, 64))

WORKLOADS: dict[str, Callable[[], Workload]] = {
    make.__name__: make
    for make in (
        resnet50,
        vgg16,
        mobilenet_v2,
        unet,
        lenet5,
        deepbench,
        filters,
        pools,
        reductions,
        training,
        upsampling,
        windows,
        call_cost,
    )
}
