"""Convolutions of well-known networks, for the choices of tiles and algorithms.

`tests/profiling` holds them against the networks of `profiling.workloads`, which no other test may import.
"""

from gpuconv.spec import ConvSpec


def convolution(N, C, size, K, kernel, stride=1, pad=None, groups=1):
    """A square kernel on a square; `pad` keeps the extent of an odd kernel at stride 1 unless it is given."""
    p = kernel // 2 if pad is None else pad
    return ConvSpec(N, C, size, size, K, kernel, kernel, ((p, p), (p, p)), (stride, stride), groups=groups)


# C, size, K, kernel, and the stride unless it is 1
_RESNET50 = (
    (3, 224, 64, 7, 2), (64, 56, 64, 1), (64, 56, 64, 3), (64, 56, 256, 1), (256, 56, 64, 1),
    (256, 56, 128, 1), (128, 56, 128, 3, 2), (128, 28, 512, 1), (256, 56, 512, 1, 2), (512, 28, 128, 1),
    (128, 28, 128, 3), (512, 28, 256, 1), (256, 28, 256, 3, 2), (256, 14, 1024, 1), (512, 28, 1024, 1, 2),
    (1024, 14, 256, 1), (256, 14, 256, 3), (1024, 14, 512, 1), (512, 14, 512, 3, 2), (512, 7, 2048, 1),
    (1024, 14, 2048, 1, 2), (2048, 7, 512, 1), (512, 7, 512, 3),
)  # fmt: skip
_VGG16 = (
    (3, 224, 64, 3), (64, 224, 64, 3), (64, 112, 128, 3), (128, 112, 128, 3), (128, 56, 256, 3),
    (256, 56, 256, 3), (256, 28, 512, 3), (512, 28, 512, 3), (512, 14, 512, 3),
)  # fmt: skip
_UNET = (
    (1, 512, 64, 3), (64, 512, 64, 3), (64, 256, 128, 3), (128, 256, 128, 3), (128, 128, 256, 3),
    (256, 128, 256, 3), (256, 64, 512, 3), (512, 64, 512, 3), (512, 32, 1024, 3), (1024, 32, 1024, 3),
    (1024, 64, 512, 3), (512, 128, 256, 3), (256, 256, 128, 3), (128, 512, 64, 3), (64, 512, 2, 1),
)  # fmt: skip
_MOBILENET_V2 = (
    (32, 112, 1), (96, 112, 2), (144, 56, 1), (144, 56, 2), (192, 28, 1), (192, 28, 2), (384, 14, 1),
    (576, 14, 1), (576, 14, 2), (960, 7, 1),
)  # fmt: skip

RESNET50 = tuple(convolution(8, *layer) for layer in _RESNET50)
VGG16 = tuple(convolution(1, *layer) for layer in _VGG16)
UNET = tuple(convolution(1, *layer) for layer in _UNET)


def mobilenet_depthwise(N):
    """The depthwise layers of MobileNetV2."""
    return tuple(convolution(N, C, size, C, 3, stride, groups=C) for C, size, stride in _MOBILENET_V2)
