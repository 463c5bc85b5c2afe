"""Several processes work out what one does."""

from dataclasses import replace
from pathlib import Path

from esprobe.analysis.load import load
from esprobe.analysis.parallel import WORTH_IT, details
from esprobe.stats.curve import estimate_curve
from esprobe.store import RolloutStore
from esprobe.store.choice import table_labels
from tests.store.material import fill


def test_processes_tell_the_same(tmp_path: Path) -> None:
    path = fill(tmp_path / "filled.db")
    with RolloutStore.open(path) as store:
        (one,) = load(store, store.conditions(), table_labels(store, store.conditions()))
        curve = estimate_curve(one.outcomes, one.kind)
        totals = store.totals(one.id)
        alone = details(store, [(one, totals, curve)] * 3)
        # As if there were enough of them to pay; the sums of tokens are all that depends on it.
        many = replace(totals, rollouts=WORTH_IT, tokens=WORTH_IT * totals.tokens // totals.rollouts)
        shared = details(store, [(one, many, curve)] * 3, workers=2)
    assert [replace(d, cost=alone[0].cost) for d in shared] == alone
