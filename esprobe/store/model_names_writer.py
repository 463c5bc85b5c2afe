"""Giving names to models."""

from esprobe.errors import UsageError
from esprobe.records.labels import means_model
from esprobe.store.model_names import model_names, name_checksum
from esprobe.store.reader import RolloutStore
from esprobe.store.writer import RolloutWriter


def name_model(store: RolloutWriter, fingerprint: str, name: str) -> None:
    """Call a model ``name`` from now on; a name that it had is replaced.

    Raises:
        UsageError: another model has that name, or a task.
    """
    if name in {stored.condition.task for stored in store.conditions()}:
        raise UsageError(
            f"--name {name} is the name of a task of {store.path}, so labels could not tell the two apart; choose "
            f"another name"
        )
    for condition in (stored.condition for stored in store.conditions()):
        if condition.model_fingerprint != fingerprint and means_model(name, condition.model, "", ()):
            raise UsageError(
                f"--name {name} is what another model of {store.path} is called by its path ({condition.model}), so "
                f"tables could not tell them apart; choose another name"
            )
    taken = next((other for other, given in model_names(store).items() if given == name and other != fingerprint), None)
    if taken is not None:
        raise UsageError(
            f"--name {name} is the name of another model of {store.path} (fingerprint {taken[:12]}), so tables could "
            f"not tell them apart; choose another name"
        )
    with store.reading() as connection:
        connection.execute(
            "INSERT INTO model_name (fingerprint, name, checksum) VALUES (?, ?, ?) ON CONFLICT (fingerprint) "
            "DO UPDATE SET name = excluded.name, checksum = excluded.checksum",
            (fingerprint, name, name_checksum(fingerprint, name)),
        )


def copy_model_names(source: RolloutStore, target: RolloutWriter) -> None:
    """Add the names that ``source`` has for models without one in ``target``; one that is taken there is left out."""
    known = model_names(target)
    for fingerprint, name in model_names(source).items():
        if fingerprint not in known and name not in known.values():
            name_model(target, fingerprint, name)
            known[fingerprint] = name
