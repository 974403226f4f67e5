"""The sample of a large product that a bare pytest runs."""

import itertools
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from tests import sampling


@dataclass(eq=False)
class Test:
    """As much of a test as the sampling looks at."""

    __test__ = False
    nodeid: str
    params: dict
    marks: list = field(default_factory=list)

    @property
    def callspec(self):
        return SimpleNamespace(params=self.params)

    def add_marker(self, mark):
        self.marks.append(mark.name)

    def get_closest_marker(self, name):
        return name in self.marks or None


def product(function, **values):
    combinations = itertools.product(*values.values())
    parameters = [dict(zip(values, each, strict=True)) for each in combinations]
    return [Test(f"{function}[{i}]", each) for i, each in enumerate(parameters)]


def sample(tests):
    sampling.mark_wide(tests)
    return [test.params for test in tests if not test.marks]


def values(found, *names):
    return {tuple(each[name] for name in names) for each in found}


def test_an_algorithm_meets_every_value_in_one_dtype_and_some_in_others():
    algorithms, cases, dtypes = ("a", "b"), tuple("123456"), ("float32", "float64", "float16")
    axes = {"case": cases, "algorithm": algorithms, "dtype": dtypes, "make": ("normal", "wild")}
    found = sample(product("tests/test_conv2d.py::test", **axes))
    assert values(found, "algorithm", "case") == set(itertools.product(algorithms, cases))
    assert values(found, "algorithm", "make") == set(itertools.product(algorithms, axes["make"]))
    assert values(found, "dtype") == {(dtype,) for dtype in dtypes}
    assert sum(each["dtype"] != "float32" for each in found) <= 4


def test_a_kernel_of_every_family_and_every_architecture():
    engine = pytest.importorskip("gpuconv.cuda")
    archs = ("sm_80", "sm_90a", "sm_120")
    found = sample(product("tests/cuda/test_kernels.py::test", kernel=engine.KERNELS, arch=archs))
    plain = [each["kernel"].name.split()[0] for each in found if each["arch"] == "sm_90a"]
    assert sorted(plain) == sorted({kernel.name.split()[0] for kernel in engine.KERNELS})
    assert values(found, "arch") == {(arch,) for arch in archs}


def test_each_algorithm_that_the_executor_runs():
    axes = {"algorithm": ("a", "b"), "case": range(6), "dtype": ("float32", "float64")}
    found = sample(product("tests/cuda/test_execution.py::test", **axes))
    assert values(found, "algorithm", "dtype") == {("a", "float32"), ("b", "float32")} and len(found) == 2


def test_each_value_of_what_has_no_algorithm():
    axes = {"case": range(12), "size": range(5), "dtype": ("float32", "float64")}
    for path in ("tests/cpu/conv/test_small.py", "tests/test_pool2d.py", "tests/spec/test_spec.py"):
        found = sample(product(f"{path}::test", **axes))
        assert values(found, "case") == {(i,) for i in range(12)}
        assert values(found, "size") == {(i,) for i in range(5)} and len(found) < 20


def test_rooms_of_the_cpu_engine_leave_float64_to_tests_of_the_operators():
    axes = {"case": range(9), "dtype": ("float32", "float64", "float16")}
    found = sample(product("tests/cpu/pool/test_small.py::test", **axes))
    assert values(found, "dtype") == {("float32",), ("float16",)}
    found = sample(product("tests/test_pool2d.py::test", **axes))
    assert values(found, "dtype") == {(dtype,) for dtype in axes["dtype"]}


def test_one_of_a_function_that_compiles_a_kernel_for_each():
    found = sample(product("tests/cuda/conv/test_stem.py::test", tile=range(4), case=range(6)))
    assert found == [{"tile": 0, "case": 0}]


def test_one_of_64_faults_and_no_kernel_without():
    faults = [product(f"tests/cuda/test_faults.py::test{i}", fault=range(13)) for i in range(5)]
    assert len(sample([fault for function in faults for fault in function])) == 2
    unharmed = product("tests/cuda/test_faults.py::test_unharmed", case=range(3))
    sampling.mark_wide(unharmed)
    assert [test.marks for test in unharmed] == [["wide"], ["slow"], ["slow"]]


def test_three_in_four_faults_are_slow():
    faults = product("tests/cuda/test_faults.py::test", fault=range(17))
    sampling.mark_wide(faults)
    marks = [test.marks for test in faults]
    assert [marks.count(each) for each in ([], ["wide"], ["slow"])] == [1, 4, 12]


def test_of_a_crowd_that_the_executor_runs_one_in_three_is_in_the_wide_set():
    tests = product("tests/cuda/test_execution.py::test", algorithm=("a", "b"), case=range(90))
    sampling.mark_wide(tests)
    slow, wide = (sum(mark in test.marks for test in tests) for mark in ("slow", "wide"))
    assert 113 <= slow <= 116 and slow + wide in (173, 174)
    assert not any("slow" in test.marks for test in product("tests/test_x.py::test", case=range(300)))


def test_one_in_four_of_a_dtype_that_is_like_another_is_in_the_wide_set():
    axes = {"algorithm": ("a", "b"), "case": range(20), "dtype": ("float32", "float16", "bfloat16")}
    tests = product("tests/cuda/test_execution.py::test", **axes)
    sampling.mark_wide(tests)
    slow = [test.params for test in tests if "slow" in test.marks]
    assert values(slow, "dtype") == {("bfloat16",)} and 28 <= len(slow) <= 30
    wide = [test.params for test in tests if "wide" in test.marks]
    assert {(name, "bfloat16") for name in "ab"} < values(wide, "algorithm", "dtype")
    assert not any("slow" in test.marks for test in product("tests/cpu/conv/test_fft.py::test", **axes))


def test_other_generations_are_left_to_the_tests_of_each_kernel():
    assert not sample(product("tests/cuda/conv/test_stem.py::test", arch=("sm_80", "sm_120")))
    found = sample(product("tests/cuda/conv/test_stem.py::test", arch=("sm_80", "sm_90a")))
    assert values(found, "arch") == {("sm_90a",)}


def test_few_tests_other_rooms_and_slow_ones_are_left_as_they_are():
    few = product("tests/cpu/conv/test_small.py::test", case=range(sampling.LEAST - 1))
    others = product("tests/spec/test_spec.py::test", case=range(9), dtype=("float32", "float64"))
    slow = product("tests/cuda/test_faults.py::test_slow", fault=range(12))
    for test in slow:
        test.marks.append("slow")
    sampling.mark_wide([*few, *others, *slow])
    assert not any("wide" in test.marks for test in (*few, *others, *slow))


def test_the_sample_is_the_same_in_every_process(fresh_python):
    code = """
from tests.test_sampling import product, sample
axes = {"algorithm": "ab", "case": range(9), "dtype": ("float32", "float64", "float16")}
print(sample(product("tests/test_pool2d.py::test", **axes)))
"""
    assert len({fresh_python(code, PYTHONHASHSEED=seed) for seed in ("1", "2")}) == 1
