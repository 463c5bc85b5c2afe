"""Finding a checkpoint folder and naming it by content, without loading it.

Owns the map from the value of --model to a folder of safetensors files, that folder's fingerprint, the names and shapes
of its tensors (from the files' headers), and which of them are tied.
"""

import hashlib
import json
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from esprobe.engines.checksums import file_sha256
from esprobe.errors import ModelError
from esprobe.paths import kind_of

TINY = "tiny"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
"""The file that makes a folder a LoRA adapter of peft's."""
ORIGIN = "esprobe.json"
"""What a folder that esprobe wrote was made from. It decides no output and so is not part of the fingerprint."""
HEADS = frozenset({"lm_head", "embed_out"})
"""Parts of names: the output head's tensor has one of them."""
EMBEDDINGS = frozenset({"embed_tokens", "wte", "embed_in", "word_embeddings"})
"""Parts of names: the embedding's tensor has one of them."""
_FLOATING = frozenset({"F64", "F32", "F16", "BF16"})
# What decides the generated tokens: weights, architecture, tokenizer, template, end tokens. Listed by name, because
# trainers leave other JSON files in the folder, and a log that grew must not change the fingerprint.
_DECISIVE = (
    "*.safetensors",
    INDEX,
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "chat_template.json",
    "*.jinja",
)


@dataclass(frozen=True)
class Checkpoint:
    """One model's folder."""

    name: str
    folder: Path

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the name and SHA-256 of every file that decides the model's output."""
        digest = hashlib.sha256()
        for path in self._files():
            digest.update(f"{path.name}\0{file_sha256(path)}\n".encode())
        return digest.hexdigest()

    @cached_property
    def weights(self) -> tuple[Path, ...]:
        """The files that hold the weights, as transformers chooses them; all safetensors files if nothing names them.

        Some folders hold a second set, such as Mistral's consolidated.safetensors, under other names.

        Raises:
            ModelError: the index cannot be read, or names a file that does not exist.
        """
        found = sorted(self.folder.glob("*.safetensors"))
        alone, index = self.folder / "model.safetensors", self.folder / INDEX
        if alone in found:
            return (alone,)
        if not index.is_file():
            return tuple(found)
        try:
            named = sorted({self.folder / name for name in json.loads(index.read_bytes())["weight_map"].values()})
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise ModelError(
                f"{index} does not say which file holds which tensor ({type(err).__name__}: {err}), so the model "
                f"cannot be loaded; download it again"
            ) from err
        if missing := [path.name for path in named if path not in found]:
            raise ModelError(
                f"{index} names {', '.join(missing)}, which does not exist, so the model is incomplete; fetch or copy "
                f"it again"
            )
        return tuple(named)

    @cached_property
    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the floating-point tensors by checkpoint key, in the order of the files.

        Raises:
            ModelError: a weights file is truncated or damaged.
        """
        from safetensors import SafetensorError, safe_open

        shapes: dict[str, tuple[int, ...]] = {}
        for path in self.weights:
            try:
                with safe_open(path, framework="numpy") as file:
                    for key in file.keys():  # noqa: SIM118 - safe_open is no mapping
                        tensor = file.get_slice(key)
                        if tensor.get_dtype() in _FLOATING:
                            shapes[key] = tuple(tensor.get_shape())
            except SafetensorError as err:
                raise ModelError(f"{path} is not a complete safetensors file ({err}); fetch or copy it again") from err
        return shapes

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The model's config.json.

        Raises:
            ModelError: it is not a JSON object.
        """
        path = self.folder / "config.json"
        try:
            parsed = json.loads(path.read_bytes())
        except ValueError as err:  # not JSON, or not UTF-8
            raise ModelError(
                f"{path} is not valid JSON ({err}), so the model cannot be loaded; download it again"
            ) from err
        if not isinstance(parsed, dict):
            raise ModelError(
                f"{path} holds a {type(parsed).__name__} where a model's configuration must be an object, so the model "
                f"cannot be loaded; download it again"
            )
        return parsed

    def tied_copies(self, dtype: str) -> Mapping[str, str]:
        """Stored tensors that are only copies of another one: name -> the tensor that it is tied to.

        This is the one definition of "tied" in esprobe. An output head is a copy of the embedding if the configuration
        ties them (or leaves that out, and the architecture does by default) and both hold the same numbers once they
        are in ``dtype``. Engines then share one tensor, which gets the embedding's noise, once. A head with other
        numbers is not tied, whatever the configuration says: transformers and vLLM load it as a tensor of its own.

        Args:
            dtype: the dtype that the weights are served in.

        Raises:
            ModelError: the configuration or the weights cannot be read.
        """
        if dtype not in self._tied:
            self._tied[dtype] = self._find_tied_copies(dtype)
        return self._tied[dtype]

    @cached_property
    def _tied(self) -> dict[str, Mapping[str, str]]:
        return {}

    def _find_tied_copies(self, dtype: str) -> Mapping[str, str]:
        def stored(parts: Collection[str]) -> list[str]:
            return [name for name in self.tensors if name.endswith(".weight") and name.split(".")[-2] in parts]

        heads, embeddings = stored(HEADS), stored(EMBEDDINGS)
        if len(heads) != 1 or len(embeddings) != 1 or self.tensors[heads[0]] != self.tensors[embeddings[0]]:
            return {}
        if not self.ties:
            return {}
        import torch

        head, embedding = (self._tensor(name).to(getattr(torch, dtype)) for name in (heads[0], embeddings[0]))
        return {heads[0]: embeddings[0]} if torch.equal(head, embedding) else {}

    def _tensor(self, name: str) -> Any:
        from safetensors import safe_open

        for path in self.weights:
            with safe_open(path, framework="pt") as file:
                if name in file.keys():  # noqa: SIM118 - safe_open is no mapping
                    return file.get_tensor(name)
        raise KeyError(name)

    def tied_heads(self, dtype: str) -> Mapping[str, str]:
        """``tied_copies``, and the head that is tied and not stored under the name that it would have.

        Raises:
            ModelError: the configuration or the weights cannot be read.
        """
        named = [name.removesuffix(".weight") for name in self.tensors if name.endswith(".weight")]
        embeddings = [name for name in named if name.split(".")[-1] in EMBEDDINGS]
        if any(name.split(".")[-1] in HEADS for name in named) or len(embeddings) != 1 or not self.ties:
            return self.tied_copies(dtype)
        return {"lm_head.weight": f"{embeddings[0]}.weight"}

    def companions(self) -> Iterator[Path]:
        """The files other than weights that decide the model's output."""
        yield from (path for path in self._files() if path.suffix != ".safetensors")

    @cached_property
    def ties(self) -> bool:
        """Whether the configuration, or else the architecture by default, ties the output head to the embedding.

        Raises:
            ModelError: the configuration cannot be read.
        """
        for part in (self.config, self.config.get("text_config") or {}):
            if "tie_word_embeddings" in part:
                return bool(part["tie_word_embeddings"])
        # Left out where it is the architecture's default, which only transformers knows.
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(self.folder, local_files_only=True)
        except (ValueError, KeyError, OSError) as err:
            raise ModelError(
                f"transformers cannot read {self.folder / 'config.json'} ({type(err).__name__}: {err}), so whether the "
                f"output head of {self.name!r} is tied is not known; add tie_word_embeddings to it, or upgrade "
                f"transformers if the architecture is newer"
            ) from err
        return any(getattr(part, "tie_word_embeddings", None) for part in (config, config.get_text_config()))

    def _files(self) -> Iterator[Path]:
        decisive = {path for pattern in _DECISIVE for path in self.folder.glob(pattern)}
        yield from sorted(path for path in decisive if path.suffix != ".safetensors" or path in self.weights)


def find_checkpoint(model: str) -> Checkpoint:
    """The checkpoint behind a name: ``tiny`` (bundled), a folder, or a hub id, which is downloaded if necessary.

    Raises:
        ModelError: the model does not exist, cannot be downloaded, or has no safetensors weights.
    """
    if model == TINY:
        return _checked(Checkpoint(TINY, Path(__file__).parent.parent / "bundled" / "tiny"))
    kind = kind_of(Path(model))
    if kind == "folder":
        return _checked(Checkpoint(model, Path(model)))
    if kind == "file" and Path(model).suffix in (".pth", ".pt", ".bin", ".safetensors"):
        raise ModelError(f"{model!r} is a file, but a model must be a folder; {_CONVERT.format(model)}")
    if kind != "nothing":
        raise ModelError(
            f"{model!r} is a file, but a model must be a folder with config.json and safetensors weights; for a GGUF "
            f"file see docs/engines.md"
        )
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise ModelError(
            f"there is no folder {model!r}, and it is no hub id (owner/name) either, so there is nothing to sample "
            f"from; name a folder, a hub id, or the bundled model with: --model {TINY}"
        )
    return _checked(Checkpoint(model, _from_hub(model)))


_CONVERT = (
    "make a checkpoint of it with: esprobe convert {} --base MODEL OUT, where MODEL is the safetensors checkpoint that "
    "it was trained from, then use --model OUT"
)


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(model, allow_patterns=[*_DECISIVE, ADAPTER, ORIGIN]))
    except (HfHubHTTPError, OSError, ValueError) as err:
        reason = str(err).strip().splitlines()[0]
        raise ModelError(
            f"{model!r} is not on this machine and cannot be fetched from the hub ({type(err).__name__}: {reason}); "
            f"check the name and the network, or name a local folder or the bundled model with: --model {TINY}"
        ) from err


def _checked(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint, if its folder has the files that every engine needs.

    Raises:
        ModelError: a file is missing.
    """
    folder = checkpoint.folder
    if (folder / ADAPTER).is_file() and not (folder / "config.json").is_file():
        raise ModelError(
            f"{checkpoint.name!r} is a LoRA adapter and no model by itself; merge it into the model that it was "
            f"trained on with: esprobe convert {shlex.quote(str(folder))} --base MODEL OUT, then use --model OUT"
        )
    weights = any(folder.glob("*.safetensors"))
    pickled = [path for path in folder.iterdir() if path.suffix in (".pth", ".pt", ".bin")]
    if pickled and not weights:
        raise ModelError(
            f"the folder of {checkpoint.name!r} has no .safetensors weights but {pickled[0].name}; "
            f"{_CONVERT.format(shlex.quote(str(folder)))}"
        )
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"the folder of {checkpoint.name!r} has no config.json, so it is not a checkpoint; use another --model, "
            f"or, for weights of a model that you have, {_CONVERT.format(shlex.quote(str(folder)))}"
        )
    if not weights:
        raise ModelError(
            f"the folder of {checkpoint.name!r} has no .safetensors weights, and noise is keyed by the names in them; "
            f"fetch or copy it again, or use another --model"
        )
    if not checkpoint.config:
        raise ModelError(
            f"{checkpoint.folder / 'config.json'} is empty, so the model cannot be loaded; download it again"
        )
    return checkpoint
