"""The tables of an esprobe database, as SQLModel classes.

docs/store.md describes every column. The classes describe the newest schema; ``migrations`` contains the statements
that build it version by version, and a test checks that both agree. All tables are STRICT, so that SQLite itself
refuses a string in a numeric column.
"""

from sqlalchemy import REAL, CheckConstraint, PrimaryKeyConstraint, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

STRICT = {"sqlite_strict": True}


class MigrationRow(SQLModel, table=True):
    """One applied schema migration."""

    __tablename__ = "migration"
    __table_args__ = STRICT
    name: str = Field(primary_key=True, sa_type=Text)
    applied_utc: str = Field(sa_type=Text)


class ConditionRow(SQLModel, table=True):
    """Everything that determines the distribution from which a rollout is drawn."""

    __tablename__ = "condition"
    __table_args__ = STRICT
    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(sa_type=Text)
    temperature: float | None = Field(default=None, sa_type=REAL)
    sigma: float | None = Field(default=None, sa_type=REAL)
    model: str = Field(sa_type=Text)
    identity: str = Field(sa_type=Text)
    digest: str = Field(sa_type=Text, unique=True)


class ProblemRow(SQLModel, table=True):
    """One row of a task's data set, as it was prompted."""

    __tablename__ = "problem"
    __table_args__ = (UniqueConstraint("task_digest", "problem_index"), STRICT)
    id: int | None = Field(default=None, primary_key=True)
    task: str = Field(sa_type=Text)
    task_digest: str = Field(sa_type=Text)
    problem_index: int
    problem_group: str = Field(sa_type=Text)
    inputs: str = Field(sa_type=Text)
    prompt: str = Field(sa_type=Text)
    prompt_digest: str = Field(sa_type=Text)
    checksum: int | None = None


class ScorerRow(SQLModel, table=True):
    """A scorer, by name and version."""

    __tablename__ = "scorer"
    __table_args__ = STRICT
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text, unique=True)


class SessionRow(SQLModel, table=True):
    """One invocation of a sampling command."""

    __tablename__ = "session"
    __table_args__ = STRICT
    id: int | None = Field(default=None, primary_key=True)
    command: str = Field(sa_type=Text)
    scorer_id: int = Field(foreign_key="scorer.id")
    started_utc: str = Field(sa_type=Text)
    updated_utc: str = Field(sa_type=Text)
    ended_utc: str | None = Field(default=None, sa_type=Text)
    outcome: str | None = Field(default=None, sa_type=Text)
    host: str = Field(sa_type=Text)
    pid: int
    rollouts: int = 0
    tokens: int = 0
    engine: str = Field(sa_type=Text)
    versions: str = Field(sa_type=Text)
    hardware: str = Field(sa_type=Text)
    shard: str | None = Field(default=None, sa_type=Text)
    rescored: str | None = Field(default=None, sa_type=Text)
    scorer_digest: str | None = Field(default=None, sa_type=Text)
    task_file: str | None = Field(default=None, sa_type=Text)


class GuessingRow(SQLModel, table=True):
    """The chances of guessing the problems of one data set, as their task computed them when it was sampled."""

    __tablename__ = "guessing"
    __table_args__ = (UniqueConstraint("task", "data_digest"), STRICT)
    id: int | None = Field(default=None, primary_key=True)
    task: str = Field(sa_type=Text)
    data_digest: str = Field(sa_type=Text)
    label: str = Field(sa_type=Text)
    definition: str = Field(sa_type=Text)
    chances: str = Field(sa_type=Text)
    checksum: int


class ModelNameRow(SQLModel, table=True):
    """The name that people gave to a model."""

    __tablename__ = "model_name"
    __table_args__ = STRICT
    id: int | None = Field(default=None, primary_key=True)
    fingerprint: str = Field(sa_type=Text, unique=True)
    name: str = Field(sa_type=Text, unique=True)
    checksum: int


class GivenUpRow(SQLModel, table=True):
    """Seeds of a condition that are not owed, because its first perturbations answer nothing."""

    __tablename__ = "given_up"
    __table_args__ = STRICT
    id: int | None = Field(default=None, primary_key=True)
    condition_id: int = Field(foreign_key="condition.id")
    first_index: int
    stop_index: int
    seeds: str = Field(sa_type=Text)
    judged: int
    cut_off: int
    checksum: int


class WorkRow(SQLModel, table=True):
    """What one session planned and did for one condition."""

    __tablename__ = "work"
    __table_args__ = (
        PrimaryKeyConstraint("session_id", "condition_id"),
        STRICT | {"sqlite_with_rowid": False},
    )
    session_id: int = Field(foreign_key="session.id")
    condition_id: int = Field(foreign_key="condition.id")
    first_index: int
    stop_index: int
    problems: int
    first_seed: int
    samples: int
    rollouts: int = 0
    tokens: int = 0
    generate_s: float = Field(default=0.0, sa_type=REAL)
    switch_s: float = Field(default=0.0, sa_type=REAL)


class TrainingRow(SQLModel, table=True):
    """One ES training run, named by its recipe."""

    __tablename__ = "training"
    __table_args__ = STRICT
    id: int | None = Field(default=None, primary_key=True)
    digest: str = Field(sa_type=Text, unique=True)
    model: str = Field(sa_type=Text)
    recipe: str = Field(sa_type=Text)
    started_utc: str = Field(sa_type=Text)


class IterationRow(SQLModel, table=True):
    """One finished iteration of a training run, and the update that it made."""

    __tablename__ = "iteration"
    __table_args__ = (
        PrimaryKeyConstraint("training_id", "iteration"),
        STRICT | {"sqlite_with_rowid": False},
    )
    training_id: int = Field(foreign_key="training.id")
    iteration: int
    members: str = Field(sa_type=Text)
    trajectory: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    norms: str = Field(sa_type=Text)


class CompletionRow(SQLModel, table=True):
    """The text of one rollout, in its own table because the statistics scan only the narrow rollout table."""

    __tablename__ = "completion"
    __table_args__ = STRICT
    id: int | None = Field(default=None, primary_key=True)
    text: str = Field(sa_type=Text)
    checksum: int | None = None


class TotalsRow(SQLModel, table=True):
    """Sums over a condition's rollouts, updated by triggers; a difference from the rows reveals a damaged file."""

    __tablename__ = "totals"
    __table_args__ = STRICT
    condition_id: int = Field(primary_key=True, foreign_key="condition.id", ondelete="CASCADE")
    rollouts: int = 0
    correct: int = 0
    tokens: int = 0
    cut_off: int = 0
    checksum: int = 0


class RolloutRow(SQLModel, table=True):
    """One completion of one problem under one (condition, seed). Written once, never updated."""

    __tablename__ = "rollout"
    __table_args__ = (
        PrimaryKeyConstraint("condition_id", "seed", "problem_id"),
        CheckConstraint("correct IN (0, 1)"),
        # Clustered by its key, in the order in which it is written.
        STRICT | {"sqlite_with_rowid": False},
    )
    condition_id: int = Field(foreign_key="condition.id")
    seed: int
    problem_id: int = Field(foreign_key="problem.id")
    reward: float = Field(sa_type=REAL)
    correct: int
    answer: str | None = Field(default=None, sa_type=Text)
    failure: str | None = Field(default=None, sa_type=Text)
    token_count: int
    finish_reason: str = Field(sa_type=Text)
    session_id: int = Field(foreign_key="session.id")
    completion_id: int = Field(foreign_key="completion.id")
