"""Prompts to token ids and token ids to completions, the same for every engine that has a tokenizer."""

from collections.abc import Iterable, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from esprobe.engines.checkpoint import Checkpoint
from esprobe.engines.stop_texts import StopWatch, end_of_stop
from esprobe.errors import ModelError
from esprobe.spec import Completion, FinishReason, Prompt, Request


class PromptCodec:
    """One checkpoint's tokenizer and chat template."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Load the tokenizer.

        Raises:
            OSError, ValueError: from transformers, where the folder has no usable tokenizer.
        """
        self._name = checkpoint.name
        self._tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
        self._ids: dict[str, list[int]] = {}

    def end_tokens(self, own: int | list[int] | None) -> list[int]:
        """Ids that end a completion, ascending: the checkpoint's ``own`` and the tokenizer's.

        Raises:
            ModelError: neither names one, so no completion could end before the limit.
        """
        listed: Iterable[int | None] = own if isinstance(own, list) else [own]
        ids = {token for token in [*listed, self._tokenizer.eos_token_id] if token is not None}
        if not ids:
            raise ModelError(
                f"{self._name!r} names no end-of-sequence token, so no completion could end before --max-tokens; "
                f"set eos_token_id in its generation_config.json"
            )
        return sorted(ids)

    def text(self, prompt: Prompt) -> str:
        """The whole prompt as text, its template rendered.

        Raises:
            ModelError: as ``encode``.
        """
        return self._render(prompt) + prompt.assistant_prefix if prompt.messages else prompt.assistant_prefix

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt, its template rendered.

        Raises:
            ModelError: the prompt has messages, and the tokenizer has no chat template.
        """
        ids = self._ids.get(prompt.digest)
        if ids is None:
            # The template has written the special tokens already.
            ids = self._tokenizer(self.text(prompt), add_special_tokens=not prompt.messages)["input_ids"]
            if not ids:
                raise ModelError(
                    f"the tokenizer of {self._name!r} encodes a prompt as no tokens, so there is nothing to continue; "
                    f"its tokenizer files are missing or broken"
                )
            self._ids[prompt.digest] = ids
        return ids

    def completion(
        self, request: Request, row: list[int], end_tokens: list[int], reason: FinishReason | None = None
    ) -> Completion:
        """A completion from generated ids, the end token included where there is one; cut after a stop text."""
        ended = bool(row) and row[-1] in end_tokens
        tokens = row[:-1] if ended else row
        text = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        if (end := end_of_stop(text, request.stop)) is not None:
            return Completion(request, text[:end], len(row), "stop")
        return Completion(request, text, len(row), reason or ("stop" if ended else "length"))

    def stop_watch(self, stops: Sequence[str]) -> StopWatch:
        """Finds stop texts while tokens are generated."""
        return StopWatch(self._tokenizer, stops)

    def _render(self, prompt: Prompt) -> str:
        if not self._tokenizer.chat_template:
            raise ModelError(
                f"the tokenizer of {self._name!r} has no chat template, so --prompt chat cannot be used; "
                f"use --prompt raw"
            )
        messages = [{"role": role, "content": content} for role, content in prompt.messages]
        try:
            rendered: str = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError as err:  # templates raise on roles they do not support, such as "system"
            raise ModelError(
                f"the chat template of {self._name!r} refuses this prompt ({err}); use --prompt raw, or fix "
                f"the template"
            ) from err
        return rendered
