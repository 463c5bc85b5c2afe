"""Published figures that a report sets beside its own, by task."""

from esprobe.records import PublishedPoint

PUBLISHED = {
    "countdown": (
        PublishedPoint("Qwen/Qwen2.5-0.5B-Instruct", "base model, greedy", 0.001),
        PublishedPoint("Qwen/Qwen2.5-0.5B-Instruct", "GRPO, 30 generations", 0.0),
        PublishedPoint("Qwen/Qwen2.5-0.5B-Instruct", "ES, 500 iterations", 0.157),
    ),
}
"""Read from publications and rounded there; none was measured by esprobe."""


def published_points(task: str) -> tuple[PublishedPoint, ...]:
    """What is published for a task; nothing for a task that esprobe does not know."""
    return PUBLISHED.get(task, ())
