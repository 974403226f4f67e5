"""Faults planted in the project's own kernels are caught: in their source, their plans and their PTX."""

import pytest

from tests.cuda.faults import CONV_FAULTS, HARMLESS_REASONS, POOL_FAULTS, PTX_FAULTS, STAGE_FAULTS
from tests.cuda.mutation import (
    HARMLESS,
    changed_module,
    conv_tiled,
    pool_direct,
    ptx_changed,
    verdict,
    with_stage,
)


def check(what, found, expected):
    assert found in expected if expected != HARMLESS else found == HARMLESS, found
    assert (expected == HARMLESS) == (what in HARMLESS_REASONS)


def over(faults):
    return pytest.mark.parametrize("fault", faults, ids=lambda fault: fault[0])


@over(CONV_FAULTS)
def test_faults_in_conv_tiled(fault):
    what, old, new, expected = fault
    check(what, verdict(changed_module(conv_tiled, old, new), None), expected)


@over(STAGE_FAULTS)
def test_faults_in_the_layout_of_shared_memory(fault):
    what, old, new, expected = fault
    check(what, verdict(with_stage(old, new), None), expected)


@over(POOL_FAULTS)
def test_faults_in_pool_direct(fault):
    what, old, new, expected = fault
    check(what, verdict(None, changed_module(pool_direct, old, new)), expected)


@over(PTX_FAULTS)
def test_faults_in_the_compiled_text_of_conv_tiled(fault):
    what, old, new, which, expected = fault
    with ptx_changed(old, new, which):
        check(what, verdict(changed_module(conv_tiled, "def run(", "def run("), None), expected)


def test_unharmed_kernels_raise_nothing():
    assert verdict(conv_tiled, pool_direct) == HARMLESS
