"""Shares of a plan: together the whole, apart from each other, and of one size."""

import json
import shlex
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esprobe.errors import UsageError
from esprobe.sampling.shard import Shard
from tests.sampling.material import invoke, query, rows
from tests.store.material import shell


@given(count=st.integers(1, 40), conditions=st.integers(1, 9), blocks=st.integers(1, 130))
def test_every_unit_has_one_shard_and_shards_differ_by_one_unit_at_most(
    count: int, conditions: int, blocks: int
) -> None:
    shards = [Shard(number, count) for number in range(1, count + 1)]
    held = {
        shard: Counter(c for b in range(blocks) for c in range(conditions) if shard.holds(b, c, conditions))
        for shard in shards
    }
    assert sum(counter.total() for counter in held.values()) == blocks * conditions
    sizes = [counter.total() for counter in held.values()]
    assert max(sizes) - min(sizes) <= 1
    for condition in range(conditions):
        of_it = [counter[condition] for counter in held.values()]
        assert (sum(of_it), max(of_it) - min(of_it) <= 1) == (blocks, True)
    assert sum(shard.has_baseline for shard in shards) == 1


@pytest.mark.parametrize("text", ["0/16", "17/16", "3", "3/", "/3", "a/b", "-1/4", "1/0", "1/2/3", "", "³/4"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--shard must be NUMBER/COUNT"):
        Shard.parse(text)


def test_a_shard_whose_number_is_missing_is_not_the_whole(common: list[object], db: Path) -> None:
    """As from a batch script in which a variable is unset."""
    done = invoke("sample-temp", *common, "-t", "1", "--shard", "")
    assert done.code == 2 and "--shard must be NUMBER/COUNT, such as 3/16, got ''" in done.stderr
    assert not db.exists()


@pytest.mark.parametrize(
    "arm", ["sample-temp -t 0.5 -t 1 --samples 100", "sample-perturb --sigma 0.1 --sigma 0.2 --samples 9"]
)
def test_sixteen_shards_are_together_one_run(common: list[object], db: Path, arm: str) -> None:
    command = [*shlex.split(arm), *common]
    invoke(*command)
    found: list[tuple[object, ...]] = []
    for number in range(1, 17):
        part = db.with_name(f"{number}.db")
        done = invoke(*command, "--db", part, "--shard", f"{number}/16")
        assert done.code == 0, done.stderr
        found += rows(part)
        again = invoke(*command, "--db", part, "--shard", f"{number}/16")
        assert again.stdout.startswith("nothing to do")
    assert len(found) == len(set(found))
    assert sorted(map(repr, found)) == sorted(map(repr, rows(db)))


def test_merged_shards_are_one_run_and_a_missing_one_is_exactly_its_holes(common: list[object], db: Path) -> None:
    command = ["sample-perturb", *common, "--sigma", "0.1", "--sigma", "0.2", "--samples", "24"]
    invoke(*command)
    parts = [db.with_name(f"{number}.db") for number in range(1, 17)]
    for number, part in enumerate(parts, 1):
        invoke(*command, "--db", part, "--shard", f"{number}/16")
    merged = db.with_name("merged.db")
    assert invoke("merge", "--into", merged, *parts[:4], *parts[5:]).code == 0
    for sound in (parts[0], parts[15], merged):  # a share is no damage, and what another share owes is none either
        assert invoke("verify", "--db", sound).code == 0
    lost = rows(parts[4])
    status = json.loads(invoke("status", "--db", merged, "--format", "json").stdout)
    assert (status["planned"], status["missing"], len(lost)) == (50 + 2 * 24 * 50, len(lost), 3 * 50)
    holes = {
        (c["label"], seed)
        for c in status["conditions"]
        for first, last in c["incomplete_seeds"]
        for seed in range(first, last + 1)
    }
    held = query(parts[4], "SELECT DISTINCT sigma, seed FROM rollouts")
    assert len(held) == 3 and holes == {(f"sigma={sigma:g}", seed) for sigma, seed in held}
    assert not set(lost) & set(rows(merged))
    assert sorted([*rows(merged), *lost], key=repr) == sorted(rows(db), key=repr)

    assert invoke("merge", "--into", merged, parts[4]).code == 0
    whole = rows(merged)
    assert whole == rows(db)
    assert invoke("merge", "--into", merged, *parts).code == 0
    assert rows(merged) == whole
    assert invoke(*command, "--db", merged).stdout.startswith("nothing to do: all 2,450 rollouts")

    assert invoke("verify", "--db", merged).code == 0
    shell(merged, "DELETE FROM rollout WHERE condition_id = 2 AND seed = 50 AND problem_id = 7")
    assert "seed 50 of sigma=0.1 is not stored" in invoke("verify", "--db", merged).stdout


def test_a_shard_draws_whole_seeds_and_whole_blocks(common: list[object], db: Path) -> None:
    invoke("sample-perturb", *common, "--sigma", "0.1", "--samples", "8", "--shard", "2/4", "--no-baseline")
    assert query(db, "SELECT seed, count(*) FROM rollout GROUP BY 1") == [(43, 50), (47, 50)]  # 42 is the first shard's
    other = db.with_name("t.db")
    invoke("sample-temp", *common, "-t", "1", "--samples", "64", "--shard", "4/4", "--db", other)
    seeds = query(other, "SELECT min(seed), max(seed), count(*) FROM rollout GROUP BY condition_id")
    assert seeds == [(0, 0, 50), (90, 105, 16 * 50)]


def test_more_samples_only_add_to_a_shard(common: list[object], db: Path) -> None:
    command = ["sample-perturb", *common, "--sigma", "0.1", "--sigma", "0.2", "--shard", "3/4", "--samples"]
    invoke(*command, "8")
    before = rows(db)
    invoke(*command, "21")
    assert set(before) < set(rows(db))


def test_a_shard_whose_plan_has_no_unit_for_it_says_so_and_is_no_error(common: list[object], db: Path) -> None:
    plan = ["sample-temp", *common, "-t", "1", "--samples", "16"]
    done = invoke(*plan, "--shard", "2/16")
    assert done.code == 0
    assert done.stdout.startswith("nothing to do: ") and "shard 2/16" in done.stdout
    other, both = db.with_name("1.db"), db.with_name("both.db")
    assert invoke(*plan, "--shard", "1/16", "--db", other).stdout.startswith("800 of 800 ")
    merged = invoke("merge", "--into", both, db, other)
    assert merged.code == 0, merged.stderr
    assert rows(both) == rows(other)
