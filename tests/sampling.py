"""Which tests of a large product a bare `pytest` runs; `.ci/run` runs the others too, marked `wide`.

A kernel takes seconds to compile, and there are hundreds: what differs from a kernel that is tested in its
dtype, its tile or its architecture alone is tested on a sample. It is the same in every run, and holds

- every test that is no product, and every function that is one;
- of tests of each kernel: one of each family, compiled for sm_90a; and one for each other architecture;
- of an algorithm's tests: it with each value of every other parameter, in the first dtype that the test has
  (most often float32); one test with each of the other dtypes;
- of any other product, be it of many tests: each value of each parameter, and dtypes likewise;
- of the CPU engine's rooms, which test one algorithm each, no float64: its kernels are compiled anew, and are
  those of float32 with wider elements. Tests of the operators, and the examples, have it;
- of the tests of a CUDA kernel, which the executor runs, the first, for sm_90a; of those of `test_execution`
  one for each algorithm, and one in 32 of the others;
- one in 64 of the faults planted in kernels, but none of the kernels left unharmed for comparison, which
  other tests run: the first of each function is in the wide set, the others are slow.

Slow are also three in four of the faults that are left, each of which compiles a kernel of its own; two in
three of a function with 150 tests that the executor runs; and, of the kernels that it runs, three in four
tests of a dtype whose kernels are those of another one: bfloat16's of float16 but for a conversion, float64's
and complex128's with wider registers. Each algorithm keeps one.

Where each test of a few takes long, it is marked by hand, or its parameter is given by `few`.
"""

import zlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import pytest

# of the tests that compile kernels, or are many
ROOMS = (
    "cuda/", "cpu/", "test_conv2d", "test_pool2d", "test_compiled", "test_conv_weight", "test_lp_pool2d",
    "test_adaptive_pool2d", "test_extremes",
)  # fmt: skip
LEAST = 8  # tests of a function: fewer are no product, unless each compiles a kernel of its own
MANY = 64  # in other files
FAULTS = 64
EXECUTED = 32
VARIANTS = ("dtype", "arch")
DOUBLE = "float64", "complex128"
ALIKE = "bfloat16", "float64", "complex128"
KEPT = 4
PLANTED = 4
CROWD, THINNED = 150, 3
CPU_ROOMS = "tests/cpu/", "tests/test_compiled"
DEFAULT_ARCH = "sm_90a"


def few(values: Sequence[Any], count: int) -> list[Any]:
    """Values of one parameter, or of several at once: a bare `pytest` runs the first few of them."""
    marked = [pytest.param(*each) if type(each) is tuple else pytest.param(each) for each in values[count:]]
    return [*values[:count], *(each._replace(marks=[pytest.mark.wide]) for each in marked)]


def mark_wide(items: Iterable[pytest.Item]) -> None:
    """Mark every item that is not in the sample; what is slow anyway is left as it is."""
    products, unharmed = defaultdict(list), set()
    for item in items:
        function = item.nodeid.split("[")[0]
        if item.get_closest_marker("slow") or item.get_closest_marker("wide"):
            continue
        if "unharmed" in function and _compiles(item):
            item.add_marker(pytest.mark.slow if function in unharmed else pytest.mark.wide)
            unharmed.add(function)
        elif hasattr(item, "callspec"):
            products["faults" if _plants_faults(item) else function].append(item)
    for tests in products.values():
        if len(tests) >= _least(tests[0]):
            left = set(tests) - set(_sample(tests))
            seldom = set(_seldom(left))
            for item in left:
                item.add_marker(pytest.mark.slow if item in seldom else pytest.mark.wide)


def _least(test: pytest.Function) -> int:
    """How many tests its function has at least, if it is a product."""
    if not _compiles(test):
        return MANY
    if _plants_faults(test) or "arch" in test.callspec.params:
        return 1
    return 2 if test.nodeid.startswith("tests/cuda/") else LEAST


def _compiles(test: pytest.Item) -> bool:
    return test.nodeid.removeprefix("tests/").startswith(ROOMS)


def _sample(tests: list[pytest.Function]) -> Iterator[pytest.Function]:
    parameters = tests[0].callspec.params
    if _plants_faults(tests[0]):
        yield from sorted(tests, key=lambda test: test.nodeid)[::FAULTS]
        return
    if DEFAULT_ARCH not in {_value(test, "arch") or DEFAULT_ARCH for test in tests}:
        return
    names = {test: _kernel_name(test) for test in tests}
    default = {name: _default(name, tests) for name in VARIANTS if name in parameters}
    plain = [test for test in tests if all(_value(test, name) == default[name] for name in default)]
    others = sorted(set(tests) - set(plain), key=_mixed)
    if all(names.values()):
        yield from first_of_each(plain, lambda test: {names[test].split()[0]})
        yield from first_of_each(others, lambda test: {_value(test, "arch")})
        return
    if tests[0].nodeid.startswith("tests/cuda/"):  # each takes a kernel of its own
        if "test_execution" in tests[0].nodeid:
            yield from plain[::EXECUTED]
            yield from first_of_each(plain, lambda test: {_value(test, "algorithm")})
        else:
            yield from plain[:1]
        return
    if "algorithm" in parameters:
        yield from first_of_each(plain, _pairs_with_the_algorithm)
    else:
        yield from first_of_each(plain, _values)
    here = [test for test in others if "arch" not in default or _value(test, "arch") == default["arch"]]
    if tests[0].nodeid.startswith(CPU_ROOMS):
        here = [test for test in here if _value(test, "dtype") not in DOUBLE]
    yield from first_of_each(here, lambda test: _variants(test, default))


def _seldom(left: Iterable[pytest.Function]) -> Iterator[pytest.Function]:
    """Of the tests that are not in the sample those that are slow, and not in the wide set either."""
    mixed = sorted(left, key=_mixed)
    yield from _but_one_in(PLANTED, [test for test in mixed if _plants_faults(test)])
    executed = [test for test in mixed if test.nodeid.startswith("tests/cuda/") and not _kernel_name(test)]
    if len(executed) >= CROWD:
        kept = {*first_of_each(executed, _algorithm_and_dtype), *executed[::THINNED]}
        yield from (test for test in executed if test not in kept)
    alike = [
        test for test in mixed if test.nodeid.startswith("tests/cuda/") and _value(test, "dtype") in ALIKE
    ]
    kept = {*first_of_each(alike, _algorithm_and_dtype), *alike[::KEPT]}
    yield from (test for test in alike if test not in kept)


def _but_one_in(count: int, tests: Sequence[pytest.Function]) -> Iterator[pytest.Function]:
    return (test for i, test in enumerate(tests) if i % count)


def _algorithm_and_dtype(test: pytest.Function) -> set[Hashable]:
    return {(_value(test, "algorithm"), _value(test, "dtype"))}


def _mixed(test: pytest.Function) -> int:
    """A number to sort by, the same in every process."""
    return zlib.crc32(test.nodeid.encode())


def first_of_each(items: Iterable[Any], features: Callable[[Any], set[Hashable]]) -> Iterator[Any]:
    """In their order, those with a feature that none before them has."""
    seen: set[Hashable] = set()
    for item in items:
        if not (found := features(item)) <= seen:
            seen |= found
            yield item


def _plants_faults(test: pytest.Function) -> bool:
    """Whether it compiles a kernel of its own, be it one without a fault for comparison."""
    if not _compiles(test):
        return False
    module = test.nodeid.split("::")[0]
    return "fault" in test.callspec.params or module.endswith("faults.py")


def _kernel_name(test: pytest.Function) -> str:
    """The name of the CUDA kernel that a test is about; empty if there is none."""
    parameters = test.callspec.params
    kernel = parameters.get("kernel")
    if kernel is not None and type(kernel).__module__.startswith("gpuconv.cuda"):
        return kernel.name
    return parameters["name"] if set(parameters) == {"name"} and "cuda/" in test.nodeid else ""


def _pairs_with_the_algorithm(test: pytest.Function) -> set[Hashable]:
    algorithm = _value(test, "algorithm")
    others = [name for name in test.callspec.params if name not in ("algorithm", *VARIANTS)]
    return {(algorithm, name, _value(test, name)) for name in others}


def _values(test: pytest.Function) -> set[Hashable]:
    """Each value of a parameter, which all its tests share."""
    return {(name, id(value)) for name, value in test.callspec.params.items()}


def _variants(test: pytest.Function, default: dict[str, str]) -> set[Hashable]:
    """What a test has that is not the default, beside the operator that it is to compute."""
    found = {(name, _value(test, name)) for name in default if _value(test, name) != default[name]}
    return {(*pair, _operator(test)) for pair in found}


def _operator(test: pytest.Function) -> str:
    """The reduction that a pool is tested with, if it is one."""
    parameters = test.callspec.params
    case = parameters.get("case")
    return str(parameters.get("op") or getattr(case, "op", None) or getattr(case, "reduction", ""))


def _default(name: str, tests: list[pytest.Function]) -> str:
    values = [_value(test, name) for test in tests]
    return DEFAULT_ARCH if name == "arch" else values[0]


def _value(test: pytest.Function, name: str) -> str:
    value = test.callspec.params.get(name, "")
    if name == "algorithm":  # or its name
        return getattr(value, "name", value)
    return getattr(value, "__name__", None) or str(value)
