"""How many nanoseconds one takes of each thing that a convolution counts, on two kinds of processors.

`python -m profiling.rates` fits them, for each algorithm by itself, to the times of convolutions drawn at
random: the logarithms of predicted and measured times differ by the least squares.

WIDE    vectors of 512 bits: AMD EPYC (Zen 5), one core, 500 problems, 30 November 2026; those of
        `conv_channels_last`, `conv_depthwise_pixels` and `conv_relaid` were set by hand after a few.
        Those of `conv_fft` are NARROW's, divided by 1.5.
NARROW  of 256 bits or less: AMD EPYC (Zen 3), one core beside other work, 470 problems, 30 November 2026;
        those of `conv_fft` to 70 with large windows.
"""

Rates = dict[str, dict[str, float]]

LEVELS_OF_WIDE = 40 << 10, 1 << 20, 12 << 20  # bytes of a core's caches
LEVELS_OF_NARROW = 28 << 10, 512 << 10, 12 << 20

WIDE: Rates = {  # nanoseconds
    "conv_batch": {
        "call": 6100, "tasks": 140, "tiles": 0.1, "near": 0.24, "second": 0.25, "far": 0.31, "beyond": 1.1,
        "turned": 28, "turned far": 3.2, "elements": 1.5, "weights": 0.017, "taps": 1.9, "memory": 0.0018,
    },
    "conv_channels_last": {
        "call": 7000, "weights": 0.15, "pixels": 3, "runs": 8, "copied": 0.5, "tiles": 15, "near": 0.26,
        "memory": 0.01,
    },
    "conv_depthwise, on bands": {
        "call": 6000, "tasks": 31, "windows": 8.6, "tiles": 3.2, "near": 0.29, "second": 0.29, "far": 0.33,
        "beyond": 0.5, "copied": 1.3, "elements": 1.6, "rows": 0.14, "stored": 1.5, "memory": 0.0055,
    },
    "conv_depthwise, on images": {
        "call": 5500, "planes": 7.4, "streamed": 0.35, "rows": 0.95, "memory": 0.0018,
    },
    "conv_depthwise_channels": {
        "call": 6300, "turned": 16, "turned far": 12, "elements": 12, "tiles": 12, "near": 0.25,
        "second": 0.28, "far": 0.29, "beyond": 0.5, "cleared": 0.57, "memory": 0.006,
    },
    "conv_depthwise_pixels": {
        "call": 6500, "tasks": 30, "turned": 16, "pixels": 1, "copied": 0.8, "tiles": 12, "near": 0.28,
        "memory": 0.01,
    },
    "conv_direct": {
        "call": 9200, "rows": 3.6, "products": 0.63, "copies": 12, "elements": 0.77, "memory": 0.11,
    },
    "conv_dots": {
        "call": 5300, "tasks": 780, "tiles": 7.2, "near": 0.12, "second": 0.3, "far": 0.83, "beyond": 0.5,
        "copied": 9.3, "elements": 1.5, "stored": 2.4, "weights": 0.0071, "memory": 0.0019,
    },
    "conv_fft": {
        "batches": 700_000, "rows": 1, "columns": 0.35, "products": 4, "loaded": 8, "stored": 7,
    },
    "conv_implicit_gemm": {
        "call": 6300, "tasks": 69, "tiles": 15, "near": 0.25, "copied": 0.78, "elements": 0.74, "cut": 14,
        "scattered": 3.3, "weights": 0.00059, "weights near": 0.00057, "memory": 0.01,
    },
    "conv_relaid": {"blocks": 12000, "squares": 50},
    "conv_small": {
        "call": 6700, "tasks": 42, "tiles": 3.7, "near": 0.3, "second": 0.3, "far": 0.37, "beyond": 0.5,
        "copied": 0.99, "elements": 1, "rows": 3.3, "stored": 1.5, "taps": 7.9, "memory": 0.013,
    },
    "conv_winograd": {
        "call": 16000, "products": 0.23, "inputs": 33, "outputs": 61, "kernels": 3, "memory": 0.012,
    },
}  # fmt: skip

NARROW: Rates = {  # nanoseconds
    "conv_batch": {
        "call": 7700, "tasks": 240, "tiles": 0.1, "near": 0.54, "second": 0.41, "far": 0.46, "beyond": 1.1,
        "turned": 27, "turned far": 2.6, "elements": 1.8, "weights": 0.02, "taps": 1.9, "memory": 0.0018,
    },
    "conv_channels_last": {
        "call": 18000, "weights": 1.7, "pixels": 44, "runs": 3, "copied": 1.4, "tiles": 17, "near": 0.42,
        "memory": 0.015,
    },
    "conv_depthwise, on bands": {
        "call": 7000, "tasks": 110, "windows": 13, "tiles": 12, "near": 0.36, "second": 0.4, "far": 0.33,
        "beyond": 0.5, "copied": 2.9, "elements": 0.75, "rows": 0.15, "stored": 1.8, "memory": 0.0055,
    },
    "conv_depthwise, on images": {
        "call": 6800, "planes": 7.7, "streamed": 1.1, "rows": 0.97, "memory": 0.0018,
    },
    "conv_depthwise_channels": {
        "call": 5300, "turned": 13, "turned far": 7.2, "elements": 13, "tiles": 53, "near": 0.55,
        "second": 0.3, "far": 0.31, "beyond": 1, "cleared": 0.6, "memory": 0.0039,
    },
    "conv_depthwise_pixels": {
        "call": 4800, "tasks": 84, "turned": 7.6, "pixels": 0.91, "copied": 0.49, "tiles": 58, "near": 0.36,
        "memory": 0.034,
    },
    "conv_direct": {
        "call": 16000, "rows": 12, "products": 0.71, "copies": 18, "elements": 1.1, "memory": 0.2,
    },
    "conv_dots": {
        "call": 6500, "tasks": 3300, "tiles": 8.6, "near": 0.19, "second": 0.49, "far": 0.88,
        "beyond": 0.5, "copied": 7.7, "elements": 2.7, "stored": 4.5, "weights": 0.0077, "memory": 0.0019,
    },
    "conv_fft": {
        "batches": 1_050_000, "rows": 1.5, "columns": 0.53, "products": 6, "loaded": 12, "stored": 10.5,
    },
    "conv_implicit_gemm": {
        "call": 7500, "tasks": 86, "tiles": 29, "near": 0.38, "copied": 1.6, "elements": 1.6, "cut": 28,
        "scattered": 18, "weights": 0.00059, "weights near": 0.00057, "memory": 0.013,
    },
    "conv_relaid": {
        "blocks": 85000, "squares": 47,
    },
    "conv_small": {
        "call": 12000, "tasks": 85, "tiles": 20, "near": 0.43, "second": 0.43, "far": 0.57, "beyond": 0.5,
        "copied": 0.98, "elements": 0.79, "rows": 9.2, "stored": 1.6, "taps": 9, "memory": 0.02,
    },
    "conv_winograd": {
        "call": 92000, "products": 0.54, "inputs": 39, "outputs": 51, "kernels": 5.5, "memory": 0.012,
    },
}  # fmt: skip
