"""A few calls of each function of `gpuconv.torch`: tensors of random numbers, and what else it takes."""

import pytest

torch = pytest.importorskip("torch")


def numbers(*shape, dtype=torch.float64, seed=0):
    """Numbers of different magnitudes, none close to another or to 0, so that maxima stay where they are."""
    count = torch.Size(shape).numel()
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed + count))
    return ((order + 1.0) / count - 0.4511).mul(3).to(dtype).reshape(shape)


IMAGE, SINGLE = numbers(2, 4, 5, 6), numbers(4, 5, 6)
WEIGHT, GROUPED = numbers(6, 4, 3, 2), numbers(6, 2, 3, 3)
BIAS = numbers(6)
PLACES = torch.nn.functional.max_pool2d(IMAGE, 2, return_indices=True)
POSITIVE = IMAGE.abs() + 0.3

# function -> name -> (tensors, other arguments by name)
CALLS = {
    "conv2d": {
        "plain": ((IMAGE, WEIGHT), {}),
        "all": (
            (IMAGE, GROUPED, BIAS),
            {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2},
        ),
        "single": ((SINGLE, WEIGHT, BIAS), {"padding": 1}),
        "same": ((IMAGE, WEIGHT), {"padding": "same"}),
    },
    "conv_transpose2d": {
        "plain": ((IMAGE, numbers(4, 3, 3, 2)), {}),
        "all": (
            (IMAGE, numbers(4, 3, 3, 2), BIAS),
            {"stride": 2, "padding": 1, "output_padding": (1, 0), "groups": 2, "dilation": (2, 1)},
        ),
        "more": ((IMAGE, numbers(4, 3, 3, 2)), {"output_padding": (1, 2), "dilation": 3}),
        "single": ((SINGLE, numbers(4, 3, 3, 2), numbers(3)), {"stride": (1, 2)}),
    },
    "max_pool2d": {
        "plain": ((IMAGE,), {"kernel_size": 2}),
        "all": (
            (IMAGE,),
            {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": (1, 2), "ceil_mode": True},
        ),
        "single": ((SINGLE,), {"kernel_size": (2, 3), "stride": 1}),
    },
    "avg_pool2d": {
        "plain": ((IMAGE,), {"kernel_size": 2}),
        "all": (
            (IMAGE,),
            {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
        ),
        "single": ((SINGLE,), {"kernel_size": (2, 3), "stride": 1, "divisor_override": 5}),
    },
    "lp_pool2d": {
        "plain": ((POSITIVE,), {"norm_type": 2, "kernel_size": 2}),
        "all": ((POSITIVE,), {"norm_type": 3.0, "kernel_size": (2, 3), "stride": 2, "ceil_mode": True}),
        "infinite": ((IMAGE,), {"norm_type": float("inf"), "kernel_size": 2}),
    },
    "adaptive_avg_pool2d": {
        "plain": ((IMAGE,), {"output_size": 1}),
        "uneven": ((IMAGE,), {"output_size": (3, 4)}),
        "kept": ((SINGLE,), {"output_size": (None, 4)}),
    },
    "adaptive_max_pool2d": {
        "plain": ((IMAGE,), {"output_size": 1}),
        "uneven": ((IMAGE,), {"output_size": (3, 4)}),
        "kept": ((SINGLE,), {"output_size": (None, 4)}),
    },
    "max_unpool2d": {
        "plain": (PLACES, {"kernel_size": 2}),
        "sized": (PLACES, {"kernel_size": 2, "output_size": (5, 7)}),
    },
    "unfold": {
        "plain": ((IMAGE,), {"kernel_size": 2}),
        "all": ((IMAGE,), {"kernel_size": (2, 3), "dilation": (2, 1), "padding": 1, "stride": 2}),
        "single": ((SINGLE,), {"kernel_size": 2}),
    },
    "fold": {
        "plain": ((numbers(2, 8, 20),), {"output_size": (5, 6), "kernel_size": 2}),
        "all": (
            (numbers(2, 12, 9),),
            {"output_size": (5, 6), "kernel_size": (2, 3), "dilation": (2, 1), "padding": 1, "stride": 2},
        ),
    },
}
OURS = {  # that torch has not
    "conv2d": {
        "four sides": ((IMAGE, WEIGHT), {"padding": ((1, 0), (2, 1)), "stride": 2}),
        "strided same": ((IMAGE, WEIGHT, BIAS), {"padding": "same", "stride": (2, 3)}),
        "reflected": ((IMAGE, WEIGHT, BIAS), {"padding": (1, 2), "padding_mode": "reflect"}),
        "replicated": ((SINGLE, WEIGHT), {"padding": ((1, 0), (2, 1)), "padding_mode": "replicate"}),
        "around": ((IMAGE, WEIGHT), {"padding": "same", "padding_mode": "circular", "stride": 2}),
        **{
            f"{activation}": ((IMAGE, GROUPED, BIAS), {"groups": 2, "activation": activation})
            for activation in (
                "relu6", ("leaky_relu", 0.2), "sigmoid", "tanh", "gelu", ("gelu", "tanh"), "silu",
                "hardswish",
            )
        },
    },
    "conv_transpose2d": {
        "four sides": ((IMAGE, numbers(4, 3, 3, 2)), {"padding": ((1, 0), (0, 1)), "stride": 2}),
        "strided same": ((IMAGE, numbers(4, 3, 3, 2)), {"padding": "same", "stride": 2}),
        "full": ((IMAGE, numbers(4, 3, 3, 2)), {"padding": "full", "activation": "silu"}),
        "sized": ((IMAGE, numbers(4, 3, 3, 2)), {"stride": 2, "output_size": (12, 12)}),
    },
    "max_pool2d": {"same": ((IMAGE,), {"kernel_size": 3, "padding": "same", "stride": 2})},
    "min_pool2d": {
        "plain": ((IMAGE,), {"kernel_size": 2}),
        "all": ((IMAGE,), {"kernel_size": 3, "stride": 2, "padding": ((1, 0), (0, 1)), "ceil_mode": True}),
    },
    "avg_pool2d": {"four sides": ((IMAGE,), {"kernel_size": 3, "padding": ((1, 0), (0, 1))})},
    "lp_pool2d": {"least": ((IMAGE,), {"norm_type": -float("inf"), "kernel_size": 2})},
    "unfold": {"same": ((IMAGE,), {"kernel_size": 3, "padding": "same", "stride": 2})},
}  # fmt: skip


def listed(*tables):
    return [
        pytest.param(name, *call, id=f"{name}-{kind}")
        for table in tables
        for name, calls in table.items()
        for kind, call in calls.items()
    ]


over_calls = pytest.mark.parametrize(("name", "tensors", "others"), listed(CALLS, OURS))
over_calls_of_torch = pytest.mark.parametrize(("name", "tensors", "others"), listed(CALLS))
_FIRST = [
    next(iter(listed({name: calls}))) for name, calls in {**CALLS, "min_pool2d": OURS["min_pool2d"]}.items()
]
over_one_of_each = pytest.mark.parametrize(("name", "tensors", "others"), _FIRST)
over_some = pytest.mark.parametrize(  # what takes seconds
    ("name", "tensors", "others"),
    [
        each if each.id in ("conv2d-plain", "max_pool2d-plain") else each._replace(marks=[pytest.mark.wide])
        for each in _FIRST
    ],
)
