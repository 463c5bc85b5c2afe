"""Memory against the number of samples: the most requests in flight and the process's peak, for more and more rollouts.

python -m tests.benchmarks.memory --rollouts 1000 20000
"""

import argparse
import resource
from collections.abc import Sequence

from esprobe.engines import EngineOptions
from esprobe.engines.vllm import VllmEngine
from esprobe.spec import Request
from esprobe.tasks import load_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, nargs="+", default=[1000, 20000], help="ascending")
    parser.add_argument("--max-num-seqs", type=int, default=128)
    parser.add_argument("--max-tokens", type=int, default=8)
    chosen = parser.parse_args()
    task = load_task("countdown")
    prompts = [(problem.index, task.prompt(problem, "chat")) for problem in task.data_set(None).problems[200:700]]
    options = EngineOptions(max_num_seqs=chosen.max_num_seqs)
    engine = VllmEngine.load(VllmEngine.identify("tiny", "auto"), options)
    for count in chosen.rollouts:
        requests: Sequence[Request] = [
            Request(index + 1, index, i, prompt, chosen.max_tokens, temperature=0.8, sampling_seed=i)
            for i in range(count)
            for index, prompt in [prompts[i % len(prompts)]]
        ]
        most, answered = 0, 0
        for group in engine.generate(requests, lambda: False):
            most = max(most, engine._engine.get_num_unfinished_requests() + len(group))
            answered += len(group)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{answered:,} rollouts: at most {most:,} requests in flight, peak memory {peak:,.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
