"""The kernel's arithmetic on chosen words: its pairs of float64s against mpmath, its normals against numpy's.

In Triton's interpreter, which every operation of the kernel's rounds as a GPU does; in a process of its own, the end of
this file, because Triton decides on its import whether it interprets.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest

from esprobe.noise.boxmuller import FastBoxMuller
from tests.noise.oracle import EDGES, FLOAT64_IS_WRONG, exact_normals, near_the_middle, oracle

torch = pytest.importorskip("torch", reason="the extra 'hf' is not installed")
triton = pytest.importorskip("triton", reason="triton is not installed; it comes with torch's CUDA builds")
tl = triton.language

pytestmark = pytest.mark.triton

REPOSITORY = Path(__file__).parent.parent.parent
PER_PROGRAM = 64


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    told: dict[str, float] = json.loads(done.stdout)
    return told


def test_the_words_on_which_float64_is_wrong_are_settled(found: dict[str, float]) -> None:
    assert found["hard"] == 0


def test_doubtful_words_that_fill_whole_programs_are_settled(found: dict[str, float]) -> None:
    assert found["doubtful words"] > 8
    assert found["doubtful"] == 0


def test_normals_are_numpys_at_the_borders_of_the_tables_and_elsewhere(found: dict[str, float]) -> None:
    assert found["edges"] == 0
    assert found["random"] == 0


def test_pairs_are_exact_to_95_places(found: dict[str, float]) -> None:
    assert found["worst pair"] < 2.0**-95
    assert found["pairs rounded otherwise"] == 0


@triton.jit
def _normals(words, out, logs, turns, BLOCKS: tl.constexpr):
    from_ = tl.program_id(0) * BLOCKS * 4
    place = from_ + tl.reshape(tl.arange(0, BLOCKS * 4), (BLOCKS, 4))
    both = normals(tl.load(words + place).to(tl.uint64, bitcast=True), logs, turns)
    tl.store(out + 2 * from_ + tl.reshape(tl.arange(0, BLOCKS * 8), (BLOCKS, 4, 2)), both)


@triton.jit
def _pairs(words, out, rounded, logs, turns, COUNT: tl.constexpr):
    place = tl.arange(0, COUNT)
    even, even_rest, odd, odd_rest = pairs(tl.load(words + place).to(tl.uint64, bitcast=True), logs, turns)
    tl.store(out + 4 * place, even)
    tl.store(out + 4 * place + 1, even_rest)
    tl.store(out + 4 * place + 2, odd)
    tl.store(out + 4 * place + 3, odd_rest)
    tl.store(rounded + 2 * place, _rounded(even, even_rest))
    tl.store(rounded + 2 * place + 1, _rounded(odd, odd_rest))


def padded(words: np.ndarray, multiple: int) -> np.ndarray:
    return np.resize(words, -(-words.size // multiple) * multiple)


def unlike_numpys(words: np.ndarray) -> int:
    """Normals of the kernel that differ from those of numpy; programs of which the last is filled up."""
    words = padded(words, PER_PROGRAM)
    out = torch.empty(2 * words.size)
    grid, blocks = (words.size // PER_PROGRAM,), PER_PROGRAM // 4
    _normals[grid](torch.from_numpy(words.view(np.int64)), out, *tables_on(out.device), BLOCKS=blocks)
    return int((out.numpy().view(np.uint32) != FastBoxMuller(words.size)(words).view(np.uint32)).sum())


def doubtful_words() -> np.ndarray:
    words = np.random.Philox(key=9).random_raw(1 << 22)
    return words[near_the_middle(words, 2**9) // 2]


def main() -> dict[str, float]:
    hard = np.array([word for word, _, _ in FLOAT64_IS_WRONG], np.uint64)
    doubtful = doubtful_words()
    words = padded(np.concatenate([hard, doubtful, EDGES, np.random.Philox(key=10).random_raw(1000)]), 2048)
    if words.size & (words.size - 1):  # Triton's ranges are powers of two
        words = np.resize(words, 1 << words.size.bit_length())
    out, rounded = torch.empty(4 * words.size, dtype=torch.float64), torch.empty(2 * words.size)
    _pairs[(1,)](torch.from_numpy(words.view(np.int64)), out, rounded, *tables_on(out.device), COUNT=words.size)
    exact = [value for word in words.tolist() for value in exact_normals(word)]
    given = [mpmath.mpf(high) + mpmath.mpf(low) for high, low in out.view(-1, 2).tolist()]
    assert all(high == 0 == low for (high, low), b in zip(out.view(-1, 2).tolist(), exact, strict=True) if b == 0)
    return {
        "hard": unlike_numpys(hard),
        "doubtful words": doubtful.size,
        "doubtful": unlike_numpys(doubtful),
        "edges": unlike_numpys(EDGES),
        "random": unlike_numpys(np.random.Philox(key=11).random_raw(1 << 15)),
        "worst pair": float(max(abs((a - b) / b) for a, b in zip(given, exact, strict=True) if b)),
        "pairs rounded otherwise": int((rounded.numpy().view(np.uint32) != oracle(words).view(np.uint32)).sum()),
    }


if __name__ == "__main__":
    from esprobe.engines.triton_box_muller import _rounded, normals, pairs, tables_on

    print(json.dumps(main()))
