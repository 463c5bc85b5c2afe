"""Countdown: reach a target from given numbers with + - * /, using each number exactly once."""

from esprobe.tasks.countdown.scoring import SCORERS, score
from esprobe.tasks.countdown.task import CountdownTask, load

__all__ = ["SCORERS", "CountdownTask", "load", "score"]
