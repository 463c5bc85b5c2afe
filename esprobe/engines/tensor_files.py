"""Reading tensors by name from the files of other tools: .pth, .pt, .bin and .safetensors, alone or in a folder.

Owns what is read from a pickle: tensors, with torch's restricted unpickler and nothing else. Tensors stay on disk until
they are asked for.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from esprobe.engines.checkpoint import Checkpoint
from esprobe.errors import ModelError
from esprobe.paths import kind_of

PICKLED = (".pth", ".pt", ".bin")
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
"""How files of torch.save begin: of version 1.6 or later, and of earlier ones."""
_NESTED = ("state_dict", "model_state_dict", "model")
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Stored:
    """A tensor in a file.

    Attributes:
        shape: its shape.
        dtype: its dtype, such as "bfloat16".
        read: reads it.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], torch.Tensor]


def tensor_files(path: Path) -> tuple[Path, ...]:
    """The files that hold the tensors of ``path``, a file or a folder; safetensors before pickles.

    Raises:
        ModelError: there are none, or it is not clear which they are.
    """
    kind = kind_of(path)
    if kind == "file" and path.suffix in (*PICKLED, ".safetensors"):
        return (path,)
    if kind != "folder":
        what = f"there is nothing at {str(path)!r}" if kind == "nothing" else f"{str(path)!r} is no file of tensors"
        raise ModelError(f"{what}; name a file ending in .pth, .pt, .bin or .safetensors, or a folder")
    if found := Checkpoint(str(path), path).weights:
        return found
    pickled = sorted(file for file in path.iterdir() if file.suffix in PICKLED)
    named = [file for file in pickled if file.name.startswith("pytorch_model")]
    if not named and len(pickled) != 1:
        held = ", ".join(file.name for file in pickled[:4]) or "none"
        raise ModelError(
            f"the folder {str(path)!r} has no .safetensors and no pytorch_model files, so which file holds the model "
            f"is not known (ending in .pth, .pt or .bin: {held}); name the file itself"
        )
    return tuple(named or pickled)


def read_tensors(files: tuple[Path, ...]) -> dict[str, Stored]:
    """The tensors of all ``files`` by name, none of them read yet.

    Raises:
        ModelError: a file is damaged, needs code to be read, holds no tensors, or two files hold the same name.
    """
    tensors: dict[str, Stored] = {}
    for path in files:
        for name, stored in _read_file(path):
            if name in tensors:
                raise ModelError(
                    f"{name} is in {path} and in another file of the folder, so which one counts is not known; name "
                    f"one file, or delete what does not belong to the model"
                )
            tensors[name] = stored
    if not tensors:
        raise ModelError(f"{files[0]} holds no tensors, so there is nothing to convert; name the file with the weights")
    return tensors


def _read_file(path: Path) -> Iterator[tuple[str, Stored]]:
    if path.suffix != ".safetensors":
        for name, tensor in _unpickled(path).items():
            dtype = str(tensor.dtype).removeprefix("torch.")
            yield name, Stored(tuple(tensor.shape), dtype, partial(torch.Tensor.detach, tensor))
        return
    try:
        file: Any = safe_open(path, framework="pt")
    except OSError as err:
        raise ModelError(f"{path} cannot be read ({err.strerror or err}); check its permissions") from err
    except SafetensorError as err:
        raise ModelError(f"{path} is not a complete safetensors file ({err}); fetch or copy it again") from err
    for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
        part = file.get_slice(name)
        dtype = part.get_dtype()
        yield (
            name,
            Stored(tuple(part.get_shape()), _DTYPES.get(dtype, dtype.lower()), partial(file.get_tensor, name)),
        )


def _unpickled(path: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a file that torch.save wrote: a dict of them, or a dict that holds it as its state dict.

    Raises:
        ModelError: it is damaged, needs code to be read, or is not of that form.
    """
    held = _loaded(path)
    if isinstance(held, Mapping):
        held = next((held[key] for key in _NESTED if isinstance(held.get(key), Mapping)), held)
    if not isinstance(held, Mapping) or not all(isinstance(name, str) for name in held):
        raise ModelError(
            f"{path} holds a {type(held).__name__} where a model's tensors by name are expected, so it is not a "
            f"checkpoint; name the file that holds the weights"
        )
    other = [name for name, value in held.items() if not _is_plain(value)]
    if other:
        raise ModelError(
            f"{path} holds {len(other)} values that are no ordinary tensors (first: {other[0]!r}), so it is not a "
            f"checkpoint of weights alone; name the file that holds the weights"
        )
    return {name: value.detach() for name, value in held.items()}


def _is_plain(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_meta


def _loaded(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            begin = file.read(4)
        if not begin.startswith((_ZIP, _PICKLE)):
            raise ModelError(
                f"{path} {'is empty' if not begin else 'begins as no file of torch.save does'}, so no weights can be "
                f"read from it: torch.save did not write it, or it is damaged; name the file that holds the weights, "
                f"or copy it again"
            )
        return torch.load(path, map_location="cpu", weights_only=True, mmap=begin == _ZIP)
    except ModelError:
        raise
    except pickle.UnpicklingError as err:
        raise ModelError(
            f"{path} holds more than tensors, or is damaged: reading it would run code that the file names, which is "
            f"refused; save it again with torch.save(model.state_dict(), FILE)"
        ) from err
    except OSError as err:
        raise ModelError(f"{path} cannot be read ({err.strerror or err}); check its permissions") from err
    except Exception as err:  # damaged pickles raise nearly anything
        raise ModelError(
            f"{path} is not a complete file of torch.save: it is cut off or damaged, or another program wrote it; copy "
            f"it again, or name the file that holds the weights"
        ) from err
