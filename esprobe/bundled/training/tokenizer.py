"""The bundled model's tokenizer: bytes, and the fixed phrases of the Countdown prompt as single tokens.

Owns vocabulary and chat template. Does not know weights or training data. Every byte is a token, so any text
round-trips (in Unicode's NFC form: transformers 5 gives every qwen2 checkpoint Qwen's own normaliser, whatever
its files say, so the files say the same); a Countdown chat prompt is below 30 tokens, since its long phrases are
one each.
"""

import json
from pathlib import Path
from typing import Any

from esprobe.tasks.countdown.prompts import ASK, ASSISTANT_PREFIX, EQUALS, RULES, SYSTEM

END = "<|im_end|>"
START = "<|im_start|>"
PADDING = "<|endoftext|>"
SPECIALS = (PADDING, START, END)

THOUGHT = " </think>\n<answer> "
ANSWERED = " </answer>"
PHRASES = (
    "system\n",
    "user\n",
    "assistant\n",
    SYSTEM,
    f"{ASK}[",
    f"]{EQUALS}",
    RULES,
    ASSISTANT_PREFIX,
    THOUGHT,
    ANSWERED,
    ", ",
    " + ",
    " - ",
    " * ",
    " / ",
)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

MAX_POSITIONS = 2048
"""A Countdown prompt of either style and 1,024 new tokens fit."""


def build() -> Any:
    """The tokenizer as a ``tokenizers.Tokenizer``: 256 bytes, then specials, then phrases."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIALS])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in PHRASES])
    return tokenizer


def save(folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    build().save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": END,
        "pad_token": PADDING,
        "clean_up_tokenization_spaces": False,
        "model_max_length": MAX_POSITIONS,
        "padding_side": "left",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
