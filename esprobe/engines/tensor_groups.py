"""What kind of tensor a checkpoint's tensor is, by its name."""

GROUPS = ("embedding", "attention", "mlp", "norm", "bias", "other")


def group_of(name: str) -> str:
    """The class that a tensor's name puts it in."""
    if name.endswith(".bias"):
        return "bias"
    if "norm" in name or ".ln_" in name:
        return "norm"
    if any(part in name for part in ("embed", "wte", "wpe", "lm_head")):
        return "embedding"
    if "attn" in name or "attention" in name:
        return "attention"
    return "mlp" if any(part in name for part in ("mlp", "ffn", "feed_forward", ".fc")) else "other"
