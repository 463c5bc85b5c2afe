"""Where a task's rows come from: the key ``data`` of a task file, or the option ``--data``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esprobe.errors import DataError, LibraryError
from esprobe.tasks.files.keys import Key
from esprobe.tasks.files.rows import Row, read_rows


@dataclass(frozen=True)
class FileSource:
    """A data file or Arrow folder."""

    path: Path

    @property
    def name(self) -> str:
        """The source, for people."""
        return str(self.path)

    def rows(self, task: str) -> list[Row]:
        """Its rows.

        Raises:
            DataError: they cannot be read.
            LibraryError: a library that reads them is not installed.
        """
        return read_rows(self.path)


@dataclass(frozen=True)
class HubSource:
    """A data set of the Hugging Face hub, read by the library datasets, which keeps a copy."""

    hub: str
    config: str | None
    split: str
    revision: str | None

    @property
    def name(self) -> str:
        """The source, for people."""
        return ":".join(filter(None, (self.hub, self.config, self.split)))

    def rows(self, task: str) -> list[Row]:
        """Its rows.

        Raises:
            DataError: the data set cannot be found or downloaded.
            LibraryError: datasets is not installed.
        """
        where = f"task {task} reads {self.name} from the hub (https://huggingface.co/datasets/{self.hub})"
        by_hand = "or download it there and give --data the path of the file"
        try:
            import datasets
        except ImportError:
            raise LibraryError(
                f"{where}, for which the library datasets is not installed; "
                f"install it with: pip install 'esprobe[datasets]', {by_hand}"
            ) from None
        try:
            loaded: Any = datasets.load_dataset(self.hub, self.config, split=self.split, revision=self.revision)
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{where}, which failed ({reason}); check the key data and the network, {by_hand}"
            ) from None
        rows: list[Row] = loaded.to_list()
        return rows


def source(key: Key) -> FileSource | HubSource | None:
    """The source that a task file names; None where it names none, so that every command needs --data.

    Raises:
        DataError: the value is neither a path nor a mapping with hub and split.
    """
    if key.value is None:
        return None
    if isinstance(key.value, str):
        return FileSource(key.file.parent / Path(key.value).expanduser())
    held = key.keys(("hub", "config", "split", "revision"))
    return HubSource(
        hub=held["hub"].required("hub: OWNER/NAME", "a data set of the hub").text() or "",
        config=held["config"].text(),
        split=held["split"].required("split: test", "a data set of the hub").text() or "",
        revision=held["revision"].text(),
    )


def given(path: str) -> FileSource:
    """The source that ``--data`` names.

    Raises:
        DataError: the path's home folder is unknown.
    """
    try:
        return FileSource(Path(path).expanduser())
    except RuntimeError:
        raise DataError(f"--data {path} names the home folder of an unknown user; give an absolute path") from None
