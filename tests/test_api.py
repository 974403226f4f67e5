"""The public names, their signatures beside PyTorch's and their documentation."""

import ast
import doctest
import inspect
import re
from typing import Any

import numpy as np
import pytest

import gpuconv

X, W = np.ones((1, 2, 6, 6), np.float32), np.ones((3, 2, 3, 3), np.float32)
REQUIRED = inspect.Parameter.empty

# torch.nn.functional's parameters and defaults, in order
POSITIONAL = {
    "conv2d": {
        "input": REQUIRED, "weight": REQUIRED, "bias": None, "stride": 1, "padding": 0, "dilation": 1,
        "groups": 1,
    },
    "conv_transpose2d": {
        "input": REQUIRED, "weight": REQUIRED, "bias": None, "stride": 1, "padding": 0, "output_padding": 0,
        "groups": 1, "dilation": 1,
    },
    "max_pool2d": {
        "input": REQUIRED, "kernel_size": REQUIRED, "stride": None, "padding": 0, "dilation": 1,
        "ceil_mode": False, "return_indices": False,
    },
    "avg_pool2d": {
        "input": REQUIRED, "kernel_size": REQUIRED, "stride": None, "padding": 0, "ceil_mode": False,
        "count_include_pad": True, "divisor_override": None,
    },
    "min_pool2d": {
        "input": REQUIRED, "kernel_size": REQUIRED, "stride": None, "padding": 0, "dilation": 1,
        "ceil_mode": False,
    },
}  # fmt: skip
KEYWORDS = {
    "conv2d": {
        "padding_mode": "zeros", "activation": None, "residual": None, "precision": None, "algorithm": None,
        "out": None,
    },
    "conv_transpose2d": {
        "output_size": None, "activation": None, "residual": None, "precision": None, "algorithm": None,
        "out": None,
    },
    "max_pool2d": {"algorithm": None, "out": None},
    "avg_pool2d": {"algorithm": None, "out": None},
    "min_pool2d": {"algorithm": None, "out": None},
}  # fmt: skip
# of those that take no algorithm
PLAIN = {
    "lp_pool2d": {
        "input": REQUIRED, "norm_type": REQUIRED, "kernel_size": REQUIRED, "stride": None, "ceil_mode": False,
    },
    "adaptive_avg_pool2d": {"input": REQUIRED, "output_size": REQUIRED},
    "adaptive_max_pool2d": {"input": REQUIRED, "output_size": REQUIRED, "return_indices": False},
    "max_unpool2d": {
        "input": REQUIRED, "indices": REQUIRED, "kernel_size": REQUIRED, "stride": None, "padding": 0,
        "output_size": None,
    },
    "unfold": {"input": REQUIRED, "kernel_size": REQUIRED, "dilation": 1, "padding": 0, "stride": 1},
    "fold": {
        "input": REQUIRED, "output_size": REQUIRED, "kernel_size": REQUIRED, "dilation": 1, "padding": 0,
        "stride": 1,
    },
}  # fmt: skip
CALLS = {"conv2d": (X, W), "conv_transpose2d": (X, W[:2]), "max_pool2d": (X, 2), "avg_pool2d": (X, 2)}
CALLS["min_pool2d"] = X, 2

over_operators = pytest.mark.parametrize("name", POSITIONAL)


def parameters(name, kind):
    signature = inspect.signature(getattr(gpuconv, name))
    return {p.name: p.default for p in signature.parameters.values() if p.kind == kind}


PUBLIC = {name: getattr(gpuconv, name) for name in gpuconv.__all__ if name != "grad"}
PUBLIC |= {f"grad.{name}": getattr(gpuconv.grad, name) for name in gpuconv.grad.__all__}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_examples_of_a_docstring_import_what_they_use(name):
    (examples,) = doctest.DocTestFinder(recurse=False).find(PUBLIC[name], name, globs={})
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples)
    assert results.failed == 0 and (results.attempted or name == "get_num_threads")


@over_operators
def test_signatures(name):
    positional = parameters(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert list(positional.items()) == list(POSITIONAL[name].items())
    assert parameters(name, inspect.Parameter.KEYWORD_ONLY) == KEYWORDS[name]


@pytest.mark.parametrize("name", PLAIN)
def test_signatures_of_plain_functions_are_those_of_torch(name):
    assert parameters(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) == PLAIN[name]
    assert parameters(name, inspect.Parameter.KEYWORD_ONLY) == ({"out": None} if "_pool2d" in name else {})
    functional = pytest.importorskip("torch").nn.functional
    theirs = inspect.signature(
        getattr(functional, {"adaptive_max_pool2d": "adaptive_max_pool2d_with_indices"}.get(name, name))
    ).parameters.values()
    assert list(PLAIN[name].items()) == [(each.name, each.default) for each in theirs]


@over_operators
def test_the_positional_parameters_are_those_of_torch(name):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    if name == "min_pool2d":  # which it has not
        assert POSITIONAL[name].items() <= POSITIONAL["max_pool2d"].items()
        return
    if name == "max_pool2d":
        theirs = inspect.signature(functional.max_pool2d_with_indices).parameters
        theirs = {p.name: p.default for p in theirs.values()}
    else:  # a built-in function: its signature is the first line of its documentation
        line = re.match(r"\w+\(.*\)", getattr(functional, name).__doc__.strip())[0]
        arguments = ast.parse(f"def {line}: pass").body[0].args
        defaults = [ast.literal_eval(default) for default in arguments.defaults]
        names = [argument.arg for argument in arguments.args]
        theirs = dict(zip(names, [REQUIRED] * (len(names) - len(defaults)) + defaults, strict=True))
    assert list(POSITIONAL[name].items()) == list(theirs.items())


@over_operators
def test_positional_and_keyword_arguments_mean_the_same(name):
    function, arguments = getattr(gpuconv, name), CALLS[name]
    values = {**POSITIONAL[name], **dict(zip(POSITIONAL[name], arguments, strict=False))}
    np.testing.assert_array_equal(function(*values.values()), function(*arguments), strict=True)
    np.testing.assert_array_equal(function(**values, **KEYWORDS[name]), function(*arguments), strict=True)
    with pytest.raises(TypeError, match="positional argument"):
        function(*values.values(), None)


GRADIENTS = [f"grad.{name}" for name in gpuconv.grad.__all__]


@pytest.mark.parametrize("name", [*POSITIONAL, *PLAIN, *GRADIENTS])
def test_documentation(name):
    function = PUBLIC[name]
    lines = inspect.getdoc(function).splitlines()
    assert lines[0].endswith(".")
    assert lines[1] == ""
    sections = [lines[i - 1] for i, line in enumerate(lines) if line and set(line) == {"-"}]
    assert sections == ["Parameters", "Returns", "Raises", "Examples"]
    text = "\n".join(lines[lines.index("Parameters") : lines.index("Returns")])
    for parameter in inspect.signature(function).parameters:
        assert re.search(rf"\b{parameter}\b", text), f"{parameter} is not documented"
    assert ">>> " in lines[-2] or ">>> " in "\n".join(lines[lines.index("Examples") :])


def test_every_public_name_exists_and_is_documented():
    assert sorted(gpuconv.__all__) == gpuconv.__all__
    for name in gpuconv.__all__:
        assert inspect.getdoc(getattr(gpuconv, name))
    assert re.fullmatch(r"\d+\.\d+\.\d+\w*", gpuconv.__version__)


@over_operators
@pytest.mark.parametrize("algorithm", ["winograd_of_tomorrow", ""])
def test_an_unknown_algorithm(name, algorithm):
    with pytest.raises(ValueError, match=rf"algorithm must be None or one of .*; got {algorithm!r}"):
        getattr(gpuconv, name)(*CALLS[name], algorithm=algorithm)


@over_operators
@pytest.mark.parametrize("algorithm", [5, True, ("a",), np.array([1, 2])], ids=repr)
def test_an_algorithm_that_is_no_name(name, algorithm):
    with pytest.raises(TypeError, match="algorithm must be None or a name; got"):
        getattr(gpuconv, name)(*CALLS[name], algorithm=algorithm)


@pytest.mark.parametrize("precision", ["fp32", "TF32", 32, True, np.float32(1), ("tf32",)])
def test_an_unknown_precision_is_refused(precision):
    with pytest.raises(ValueError, match="precision must be None or one of ieee, tf32; got"):
        gpuconv.conv2d(X, W, precision=precision)


def test_a_precision_is_a_permission_that_need_not_be_used():
    expected = gpuconv.conv2d(X, W)
    np.testing.assert_allclose(gpuconv.conv2d(X, W, precision="tf32"), expected, rtol=0, atol=1e-4)
    assert gpuconv.conv2d(X.astype("f8"), W.astype("f8"), precision="tf32").dtype == np.float64


@pytest.mark.parametrize("dtype", ["uint16", "int32", "int64", "bool"])
@pytest.mark.parametrize("function", [gpuconv.conv2d, gpuconv.max_pool2d, gpuconv.avg_pool2d])
def test_integers_are_told_how_to_become_floats(function, dtype):
    if function is gpuconv.max_pool2d and dtype != "bool":
        return  # of which there is a greatest
    with pytest.raises(TypeError, match=re.escape("input.astype(np.float32)")):
        function(X.astype(dtype), W.astype(dtype) if function is gpuconv.conv2d else 2)


def test_a_plane_is_told_how_to_become_an_image():
    with pytest.raises(ValueError, match=re.escape("got (5, 6): one channel of one image is input[None]")):
        gpuconv.max_pool2d(np.zeros((5, 6)), 2)


@pytest.mark.parametrize(
    ("shape", "axes"), [((2, 9, 8, 3), "(0, 3, 1, 2)"), ((9, 8, 3), "(2, 0, 1)"), ((9, 9, 3), "(2, 0, 1)")]
)
@pytest.mark.parametrize("groups", [1, 3])
def test_channels_that_are_last_are_noticed(shape, axes, groups):
    x, w = np.zeros(shape, np.float32), np.zeros((6, 3 // groups, 3, 3), np.float32)
    with pytest.raises(ValueError, match=re.escape(f"pass input.transpose{axes}")):
        gpuconv.conv2d(x, w, groups=groups)
    right = x.transpose((0, 3, 1, 2) if x.ndim == 4 else (2, 0, 1))
    assert gpuconv.conv2d(right, w, groups=groups).shape[-3] == 6


def test_wrong_input_is_refused_before_out_is_touched():
    out = np.full((1, 3, 4, 4), 7, np.float32)
    for wrong in ({"stride": 0}, {"padding": "mirror"}, {"groups": 5}, {"algorithm": "none"}, {"bias": X}):
        with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
            gpuconv.conv2d(X, W, **wrong, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("function", [np.sum, gpuconv.set_num_threads, None, "conv2d"])
def test_explain_knows_the_operators_alone(function):
    with pytest.raises(TypeError, match=r"function must be one of gpuconv's conv2d, .*; got"):
        gpuconv.explain(function, X, W)


@over_operators
def test_explain_refuses_what_the_call_would_refuse(name):
    with pytest.raises(ValueError, match=r"padding must be from 0 .*got -1"):
        gpuconv.explain(getattr(gpuconv, name), *CALLS[name], padding=-1)
    with pytest.raises(TypeError, match="input must be an array"):
        gpuconv.explain(getattr(gpuconv, name), [[1.0]], *CALLS[name][1:])


@pytest.mark.parametrize("wrong", [{"algorithm": "none"}, {"out": np.zeros(3, np.float32)}])
@over_operators
def test_explain_looks_at_algorithm_and_out(name, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        gpuconv.explain(getattr(gpuconv, name), *CALLS[name], **wrong)


@over_operators
def test_explain_computes_nothing(name):
    verdicts = gpuconv.explain(getattr(gpuconv, name), *CALLS[name])
    assert all(isinstance(text, str) for pair in verdicts for text in pair)
    out = np.full_like(getattr(gpuconv, name)(*CALLS[name]), 7)
    assert gpuconv.explain(getattr(gpuconv, name), *CALLS[name], out=out) == verdicts
    assert (out == 7).all()


# What a user reads when something is wrong, and when nothing is


def frames_of(call):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    return [
        each for each in caught.traceback if "gpuconv" in str(each.path) and "tests" not in str(each.path)
    ]


WRONG = {
    "a parameter": lambda: gpuconv.conv2d(X, W, stride=0),
    "a pool's parameter": lambda: gpuconv.max_pool2d(X, (2, 2, 2)),
    "no array": lambda: gpuconv.conv2d([[1]], W),
    "shapes": lambda: gpuconv.conv2d(X, W[:, :1]),
    "a list among the parameters": lambda: gpuconv.conv2d(X, W, padding=[[1, 2], [3]]),
    "an algorithm": lambda: gpuconv.conv2d(X, W, algorithm="conv_depthwise"),
    "a shape of out": lambda: gpuconv.conv2d(X, W, out=X),
    "an out that is an input": lambda: gpuconv.max_pool2d(X, 1, out=X),
    "explain": lambda: gpuconv.explain(gpuconv.conv2d, X, W, stride=0),
    "a plan": lambda: gpuconv.plan_conv2d(X, W, stride=0),
    "arrays of a plan": lambda: gpuconv.plan_conv2d(X, W)(X, X),
    "out of a plan": lambda: gpuconv.plan_conv2d(X, W[:2], padding=1)(X, W[:2], out=X),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_error_shows_at_most_three_frames_of_the_package(what):
    assert 1 <= len(frames_of(WRONG[what])) <= 3


def test_the_development_mode_shows_all_frames(fresh_python):
    code = """
import traceback, numpy as np, gpuconv
try:
    gpuconv.max_pool2d(np.ones((1, 1, 4, 4)), 0)
except ValueError as error:
    print(len(traceback.extract_tb(error.__traceback__)))
"""
    assert int(fresh_python(code, PYTHONDEVMODE="1")) > 4 > int(fresh_python(code))


@pytest.mark.parametrize("name", [each for each in gpuconv.__all__ if each.endswith("2d")])
def test_signatures_say_what_is_an_array(name):
    parameters = inspect.signature(getattr(gpuconv, name)).parameters
    for argument in {"input", "weight", "bias", "residual", "out"} & set(parameters):
        assert "Array" in str(parameters[argument].annotation)
    assert not [each for each in parameters.values() if each.annotation in (Any, inspect.Parameter.empty)]
