"""The only code that speaks SQL: one SQLite file holds every rollout."""

from esprobe.store.reader import RolloutStore
from esprobe.store.writer import NewRollout, RolloutWriter

__all__ = ["NewRollout", "RolloutStore", "RolloutWriter"]
