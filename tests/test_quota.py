"""The CPU quota of a container, read from a tree of control groups made for each test."""

import pytest

from gpuconv.quota import processors_allowed


@pytest.fixture
def allowed(tmp_path):
    """`allowed(membership, files)`: with this in /proc/self/cgroup, and {path: text} under /sys/fs/cgroup."""

    def found(membership, files):
        groups = tmp_path / "cgroup"
        groups.mkdir()
        for path, text in files.items():
            file = groups / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")
        (tmp_path / "membership").write_text(membership)
        return processors_allowed(groups, tmp_path / "membership")

    return found


def version_1(quota, period="100000", folder="cpu,cpuacct"):
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("max 100000", None),
        ("max", None),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("100001 100000", 2),
        ("1000 1000", 1),
        ("25000 10000", 3),
        ("300000", 3),
        ("6400000 100000", 64),
        ("", None),
        ("nonsense 100000", None),
        ("100000 0", None),
        ("-1 100000", None),
    ],
)
def test_version_2(text, number, allowed):
    assert allowed("0::/\n", {"cpu.max": text}) == number


@pytest.mark.parametrize(
    ("quota", "period", "number"),
    [
        ("-1", "100000", None),
        ("200000", "100000", 2),
        ("250000", "100000", 3),
        ("50000", "100000", 1),
        ("50000", "25000", 2),
        ("0", "100000", None),
        ("100000", "0", None),
        ("nonsense", "100000", None),
    ],
)
@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
def test_version_1(folder, quota, period, number, allowed):
    membership = "5:cpuset:/\n4:cpu,cpuacct:/\n1:name=systemd:/\n"
    assert allowed(membership, version_1(quota, period, folder)) == number


@pytest.mark.parametrize(
    ("own", "middle", "outer", "number"),
    [
        ("400000 100000", "max 100000", "max 100000", 4),
        ("max 100000", "300000 100000", "max 100000", 3),
        ("max 100000", "max 100000", "200000 100000", 2),
        ("400000 100000", "300000 100000", "200000 100000", 2),
        ("200000 100000", "300000 100000", "400000 100000", 2),
        ("max 100000", "max 100000", "max 100000", None),
    ],
)
def test_the_least_of_nested_groups_counts(own, middle, outer, number, allowed):
    files = {
        "a.slice/b/cpu.max": own,
        "a.slice/cpu.max": middle,
        "cpu.max": outer,
        "other/cpu.max": "1000 100000",
    }
    assert allowed("0::/a.slice/b\n", files) == number


def test_nested_groups_of_version_1(allowed):
    files = version_1("-1", folder="cpu/docker/abc") | version_1("300000", folder="cpu/docker")
    assert allowed("3:cpu:/docker/abc\n2:cpuacct:/docker/abc\n", files | version_1("-1", folder="cpu")) == 3


def test_a_container_that_sees_its_own_group_at_the_top_and_its_name_on_the_host(allowed):
    files = version_1("200000") | {"cpu.max": "300000 100000"}
    assert allowed("4:cpu,cpuacct:/docker/4f3c\n0::/system.slice/docker-4f3c.scope\n", files) == 2


def test_a_process_outside_of_what_its_container_sees(allowed):
    files = {"cpu.max": "200000 100000", "../cpu.max": "100000 100000"}
    assert allowed("0::/../../other\n", files) == 2


def test_a_group_with_a_colon_in_its_name(allowed):
    assert allowed("0::/pod:1/a b\n", {"pod:1/a b/cpu.max": "200000 100000"}) == 2


def test_both_versions_at_once(allowed):
    files = version_1("400000", folder="cpu") | {"unified/a/cpu.max": "300000 100000"}
    assert allowed("4:cpu:/\n0::/a\n", files) == 3


def test_the_quota_of_a_group_that_the_process_is_not_in_is_not_its_own(allowed):
    assert allowed("0::/a\n", {"a/cpu.max": "max 100000", "b/cpu.max": "100000 100000"}) is None


def test_a_hierarchy_without_the_controller_of_processors_says_nothing(allowed):
    assert allowed("3:cpuset:/a\n2:cpuacct:/a\n", version_1("100000", folder="cpu")) is None


@pytest.mark.parametrize("membership", ["", "nonsense\n", "0::\n", "\xff\n"])
def test_what_cannot_be_understood_bounds_nothing(membership, allowed):
    assert allowed(membership, {}) is None


def test_a_hidden_membership_leaves_the_outermost_group(tmp_path):
    (tmp_path / "cpu.max").write_text("200000 100000\n")
    assert processors_allowed(tmp_path, tmp_path / "hidden") == 2


def test_a_system_without_control_groups(tmp_path):
    assert processors_allowed(tmp_path / "none", tmp_path / "neither") is None
