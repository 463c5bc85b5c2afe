"""What perturbing needs of memory, and what is refused before anything is loaded."""

import os

import pytest

from esprobe.engines.memory import accumulator_bytes, check_two_copies, host_memory, weight_bytes
from esprobe.errors import ModelError

GIB = 2**30


def test_bytes_of_one_copy() -> None:
    shapes = {"a": (3, 4), "b": (5,), "scalar": ()}
    assert weight_bytes(shapes, "float16") == weight_bytes(shapes, "bfloat16") == 36
    assert weight_bytes(shapes, "float32") == 72


def test_what_fits_is_not_refused() -> None:
    check_two_copies("model", 4 * GIB, 8 * GIB, "the GPU")
    check_two_copies("model", 12 * GIB, 80 * GIB, "the GPU", reserved=0.85)


def test_two_copies_that_cannot_fit() -> None:
    with pytest.raises(
        ModelError, match=r"'model' needs its weights twice.* 2 x 13\.00 GiB, and the GPU has 24\.00 GiB"
    ):
        check_two_copies("model", 13 * GIB, 24 * GIB, "the GPU")


def test_a_copy_for_which_the_engine_leaves_no_room() -> None:
    with pytest.raises(ModelError, match=r"leaves 12\.00 GiB for the copy; use --gpu-memory-utilization 0\.81 or less"):
        check_two_copies("model", 15 * GIB, 80 * GIB, "the GPU", reserved=0.85)
    check_two_copies("model", 15 * GIB, 80 * GIB, "the GPU", reserved=0.81)


def test_training_needs_four_bytes_more_for_each_weight() -> None:
    shapes = {"a": (3, 4), "b": (5,)}
    assert accumulator_bytes(shapes) == 68
    check_two_copies("model", 4 * GIB, 16 * GIB, "this machine", accumulator=8 * GIB)
    with pytest.raises(ModelError, match=r"training 4 bytes more for each, 8\.00 GiB, and this machine has 15\.00 GiB"):
        check_two_copies("model", 4 * GIB, 15 * GIB, "this machine", accumulator=8 * GIB)


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="this platform does not tell")
def test_the_memory_of_this_machine() -> None:
    found = host_memory()
    assert found is not None and GIB / 4 < found <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
