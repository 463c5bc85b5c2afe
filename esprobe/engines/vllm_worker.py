"""esprobe's extension of a vLLM worker: perturbing and training the weights by checkpoint name.

vLLM mixes this class into its worker before the model is loaded. Every name has a prefix, because vLLM refuses names
that the worker already has. Does not know requests or how text is generated.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import esprobe.engines.vllm_loader  # noqa: F401 - registers itself
from esprobe.engines.checkpoint import Checkpoint, find_checkpoint
from esprobe.engines.slices import WeightSlice
from esprobe.engines.vllm_names import hidden_size, is_sharded, keep_weights_where_they_are, model_of, vocabulary_rows
from esprobe.engines.weight_map import Named, trace_weight_loading
from esprobe.engines.weights import PristineWeights, digest_of_weights
from esprobe.errors import EngineError, ModelError
from esprobe.spec import Perturbation
from esprobe.trajectory import Trajectory, Update

keep_weights_where_they_are()  # before the model is loaded: this module is imported when the worker is made


class WeightExtension:
    """Methods that the engine calls by name in every worker."""

    esp_weights: PristineWeights

    esp_slices: Sequence[WeightSlice]

    esp_folder: str

    def esp_init(self, folder: str) -> Mapping[str, Any]:
        """Trace the checkpoint into the model and keep a pristine copy.

        Returns:
            ``pieces``: [name, start, rows, cols, row stride] of every slice; or ``refused``: why this model cannot be
            perturbed. A worker's exceptions reach the engine as text only, so the reason is a value.
        """
        checkpoint = find_checkpoint(folder)
        try:
            model = model_of(self)
            like = _a_weight(model)
            tied = checkpoint.tied_copies(str(like.dtype).removeprefix("torch."))
            tensors = _tensors(checkpoint, like)
            traced = trace_weight_loading(
                model, model.load_weights, tensors, tied, sharded=is_sharded(self), vocabulary_rows=vocabulary_rows
            )
        except (ModelError, EngineError) as err:
            return {"refused": str(err)}
        self.esp_weights, self.esp_slices = PristineWeights(traced.slices, traced.base), traced.slices
        self.esp_folder = folder
        return {"pieces": [_piece_of(p) for p in traced.slices]}

    def esp_perturb(self, perturbation: Mapping[str, Any]) -> int:
        """Apply a perturbation, given as its fields by name; returns the scalars touched in this worker."""
        return self.esp_weights.perturb(Perturbation(**perturbation))

    def esp_evolve(
        self, trajectory: Mapping[str, Any], snapshots: str | None, write_after_s: float | None
    ) -> Mapping[str, Any]:
        """Train this worker's part of the model, as ``Engine.evolve`` says; the trajectory is given as values.

        Returns:
            ``sums``: [name, start, rows, cols, row stride, the two sums] of every trained slice, ``device``: where
            the accumulator lies; or ``refused``: why this cannot be done.
        """
        folder = None if snapshots is None else Path(snapshots)
        try:
            found = self.esp_weights.evolve(_trajectory(**trajectory), folder, write_after_s=write_after_s)
        except ModelError as err:
            return {"refused": str(err)}
        return {"sums": [[*_piece_of(p), *sums] for p, sums in found], "device": self.esp_weights.accumulator_device}

    def esp_sizes(self) -> list[list[Any]]:
        """[name, start, rows, cols, row stride, the two sums of squares] of every trained slice."""
        return [[*_piece_of(p), *size] for p, size in self.esp_weights.sizes()]

    def esp_settle(self) -> None:
        """Make the trained weights the pristine ones."""
        self.esp_weights.settle()

    def esp_perturb_by_loading(self, perturbation: Mapping[str, Any]) -> int:
        """The same weights in another way: perturb whole checkpoint tensors, and let the model load them.

        Slow, and right for any model that can load its checkpoint again; what ``esp_perturb`` is checked against.
        """
        model = model_of(self)
        like = _a_weight(model)
        checkpoint = find_checkpoint(self.esp_folder)
        tied = checkpoint.tied_copies(str(like.dtype).removeprefix("torch."))
        wanted = Perturbation(**perturbation)
        touched = 0

        def perturbed() -> Iterator[Named]:
            nonlocal touched
            for name, tensor in _tensors(checkpoint, like):
                source = tied.get(name, name)
                if re.search(wanted.scope or "", source):
                    whole = WeightSlice(source, tensor.numel(), 0, tensor.view(-1))
                    count = PristineWeights([whole]).perturb(replace(wanted, scope=None))
                    touched += count if source == name else 0
                yield name, tensor

        model.load_weights(perturbed())
        return touched

    def esp_restore(self) -> None:
        """Restore the pristine weights."""
        self.esp_weights.restore()

    def esp_digest(self) -> str:
        """SHA-256 over the live weights of this worker, by checkpoint name."""
        return digest_of_weights(self.esp_slices)

    def esp_head(self) -> list[float]:
        """Some logits of one fixed hidden state: they depend on the output head's weights alone."""
        model = model_of(self)
        like = _a_weight(model)
        with torch.no_grad():
            hidden = torch.linspace(-1, 1, hidden_size(self), device=like.device, dtype=like.dtype)
            logits: list[float] = model.compute_logits(hidden.unsqueeze(0))[0, :16].tolist()
        return logits


def _piece_of(weight: WeightSlice) -> list[Any]:
    """What a slice is a piece of, as values: workers that hold the same piece say the same."""
    return [weight.name, weight.start, weight.rows, weight.cols, weight.row_stride]


def _trajectory(recipe: str, noise: str, scope: str | None, updates: Sequence[Sequence[Sequence[Any]]]) -> Trajectory:
    return Trajectory(recipe, noise, scope, tuple(Update(tuple(seeds), tuple(terms)) for seeds, terms in updates))


def _a_weight(model: Any) -> torch.Tensor:
    """A floating-point parameter: its dtype and device are those of the weights."""
    return next(parameter for parameter in model.parameters() if parameter.is_floating_point())


def _tensors(checkpoint: Checkpoint, like: torch.Tensor) -> Iterator[Named]:
    """Every floating-point tensor of a checkpoint, in the dtype and on the device of ``like``.

    One at a time: all of them together would be another copy of the weights.
    """
    from safetensors import safe_open

    for path in checkpoint.weights:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
                if name in checkpoint.tensors:
                    yield name, file.get_tensor(name).to(device=like.device, dtype=like.dtype, copy=True).contiguous()
