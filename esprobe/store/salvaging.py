"""Writes what was found in a damaged file into a new database, under the ids that it had."""

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from sqlite3 import IntegrityError
from typing import Any

from esprobe.store.damaged_file import DamagedFile, FoundRollout
from esprobe.store.database import translated
from esprobe.store.given_up_writer import give_up
from esprobe.store.guessing_writer import record_guess
from esprobe.store.model_names_writer import name_model
from esprobe.store.session_verdicts import VerdictWriter
from esprobe.store.texts import PROBLEM
from esprobe.store.training import parsed_iteration, population_size, training_runs, trajectory_of, update_of
from esprobe.store.training_writer import record_iteration

_SESSION = (
    "id, command, scorer_id, started_utc, updated_utc, ended_utc, outcome, host, pid, rollouts, tokens, engine, "
    "versions, hardware, shard, rescored, scorer_digest, task_file"
)
_WORK = (
    "session_id, condition_id, first_index, stop_index, problems, first_seed, samples, rollouts, tokens, generate_s, "
    "switch_s"
)


class SalvageWriter(VerdictWriter):
    """Write access to the new database."""

    def copy_small_tables(self, source: DamagedFile, command: str, scorer: str) -> int:
        """Copy everything but rollouts; returns the id of a new session for rollouts whose own session is lost.

        A session whose scorer is lost counts as scored by ``scorer``, as the new session does.
        """
        with self.reading() as connection:
            for id_, stored in source.conditions.items():
                condition = stored.condition
                row = (id_, condition.kind.value, condition.temperature, condition.sigma, condition.model)
                connection.execute(
                    "INSERT INTO condition (id, kind, temperature, sigma, model, identity, digest) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*row, json.dumps(condition.identity), condition.digest),
                )
            connection.executemany(
                f"INSERT INTO problem (id, {PROBLEM}, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                source.problems.values(),
            )
            connection.executemany("INSERT OR IGNORE INTO scorer (id, name) VALUES (?, ?)", source.scorers.items())
            connection.executemany(
                "INSERT OR IGNORE INTO training (id, digest, model, recipe, started_utc) VALUES (?, ?, ?, ?, ?)",
                [(id_, *columns) for id_, columns in source.trainings.items()],
            )
        for guess in source.guesses:
            record_guess(self, guess)
        for fingerprint, name in source.model_names.items():
            name_model(self, fingerprint, name)
        for condition_id, mark in source.marks:
            if condition_id in source.conditions:
                give_up(self, condition_id, mark)
        session = self.begin_session(command, scorer, {}, {}, {}, {})
        with self.reading() as connection:
            (own,) = connection.execute("SELECT scorer_id FROM session WHERE id = ?", (session,)).fetchone()
            # Above all ids of the file, so that every session keeps its own.
            moved = max([session, *source.sessions]) + 1
            connection.execute("UPDATE session SET id = ? WHERE id = ?", (moved, session))
            for id_, columns in source.sessions.items():
                command_, scorer_id, *rest = columns
                row = (id_, command_, scorer_id if scorer_id in source.scorers else own, *rest)
                connection.execute(f"INSERT INTO session ({_SESSION}) VALUES ({', '.join('?' * 18)})", row)
            works = [row for row in source.works if row[0] in source.sessions and row[1] in source.conditions]
            connection.executemany(f"INSERT OR IGNORE INTO work ({_WORK}) VALUES ({', '.join('?' * 11)})", works)
        return moved

    def restore_iterations(self, source: DamagedFile) -> None:
        """Store the iterations of training runs, each run's up to the first one that is not whole.

        An iteration is whole if its update matches its digest and all rollouts of its population are stored. Those
        after it follow from the stored rewards when the run goes on.
        """
        rows = {(row[0], row[1]): row for row in source.iterations}
        for run in training_runs(self):
            own = [one for one in self.conditions() if one.condition.run == run.digest]
            drawn: Counter[int | None] = Counter()
            for one in own:
                drawn[one.condition.iteration] += self.totals(one.id).rollouts
            trajectory = trajectory_of(run, self.path)
            number = 0
            while (row := rows.get((run.id, number))) is not None and drawn[number] == population_size(run):
                try:
                    done = parsed_iteration(*row[2:])
                except (ValueError, TypeError):
                    break
                trajectory = trajectory.extended(update_of(done))
                if trajectory.digest != done.trajectory:
                    break
                record_iteration(self, run.id, number, done)
                number += 1

    def add_found(self, rollouts: Sequence[FoundRollout]) -> list[FoundRollout]:
        """Store rollouts in one transaction; returns those that contradict a stored one, which are not stored.

        Two rollouts under one key, or with one completion, contradict each other: which of them is right is not known.
        """
        with translated(self.path):
            try:
                self._insert(rollouts)
            except IntegrityError:
                return [rollout for rollout in rollouts if not self._inserted(rollout)]
        return []

    def remove(self, completion_ids: Iterable[int]) -> list[tuple[int, int, int]]:
        """Remove the rollouts with these completions; returns their keys (condition id, seed, problem id)."""
        keys = []
        with self.reading() as connection:
            for id_ in completion_ids:
                query = "SELECT condition_id, seed, problem_id FROM rollout WHERE completion_id = ?"
                keys += connection.execute(query, (id_,)).fetchall()
                connection.execute("DELETE FROM rollout WHERE completion_id = ?", (id_,))
                connection.execute("DELETE FROM completion WHERE id = ?", (id_,))
        return keys

    def completion_of(self, rollout: FoundRollout) -> int | None:
        """The completion that is stored under a rollout's key."""
        with self.reading() as connection:
            row: tuple[Any, ...] | None = connection.execute(
                "SELECT completion_id FROM rollout WHERE condition_id = ? AND seed = ? AND problem_id = ?", rollout[:3]
            ).fetchone()
        return None if row is None else row[0]

    def recount_sessions(self) -> None:
        """Set each session's and its work's counters to what is stored."""
        with self.reading() as connection:
            connection.execute(
                "CREATE TEMP TABLE counted AS SELECT session_id, condition_id, count(*) AS rollouts, "
                "sum(token_count) AS tokens FROM rollout GROUP BY session_id, condition_id"
            )
            for table, key in (("session", "session_id = session.id"), ("work", "counted.session_id = work.session_id "
                               "AND counted.condition_id = work.condition_id")):  # fmt: skip
                connection.execute(
                    f"UPDATE {table} SET rollouts = (SELECT coalesce(sum(rollouts), 0) FROM counted WHERE {key}), "
                    f"tokens = (SELECT coalesce(sum(tokens), 0) FROM counted WHERE {key})"
                )
            connection.execute("DROP TABLE counted")

    def reopen_sessions(self, condition_id: int) -> None:
        """Record that no session has finished a condition: some of its rollouts are owed again."""
        with self.reading() as connection:
            connection.execute(
                "UPDATE session SET outcome = 'stopped' WHERE outcome = 'done' "
                "AND id IN (SELECT session_id FROM work WHERE condition_id = ?)",
                (condition_id,),
            )

    def _insert(self, rollouts: Sequence[FoundRollout]) -> None:
        texts = [(r.completion_id, r.text, zlib.crc32(r.text.encode())) for r in rollouts]
        rows = [
            (*r[:3], r.score.reward, int(r.score.correct), r.score.answer, r.score.failure, *r[4:8]) for r in rollouts
        ]
        with self._database.transaction() as connection:
            connection.executemany("INSERT INTO completion VALUES (?, ?, ?)", texts)
            connection.executemany(f"INSERT INTO rollout VALUES ({', '.join('?' * 11)})", rows)

    def _inserted(self, rollout: FoundRollout) -> bool:
        try:
            self._insert([rollout])
        except IntegrityError:
            return False
        return True
