"""Whatever a model or a file says is stored faithfully and shown harmlessly, by every command that shows anything."""

import json
import re
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.sampling.material import ANSWER, query

COMPLETIONS = {
    "sql": "'; DROP TABLE rollout; -- \" ` ) ; DELETE FROM completion WHERE 1=1",
    "nul": "before\x00after\x00",
    "terminal": "\x1b[2J\x1b]0;owned\x07\x9b31m\x1b[31m\r\x08 \u202e desrever \u200b\ufeff\x7f",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;</td></table>",
    "markdown": "| a | b |\n|---|---|\n# head\n[x](javascript:alert(1)) ![y](http://z/) www.evil.org @all ```\n~~~",
    "surrogates": "\ud800 and \udfff and \udc80",
    "long": ANSWER + "x" * 10_000_000,
    "format": "{0} %s %(x)s {x.__class__} $HOME $(rm -rf ~) ../../etc/passwd [red]rich[/red]",
    "lines": "a\rb\r\nc\u2028d\u2029e\x0bf\x0cg\x85h",
    "empty": "",
    "json": '"}],"rollouts":[{"correct":true}]',
}
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
LABEL = "evil'|\"; DROP TABLE rollout;-- <b>[x](y)"
NAME = f"{LABEL}\x1b[31m\u202e"  # which is refused as a label


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def database(folder: Path) -> Path:
    """Every text for a problem of its own, out of a data file and a script whose names are as bad; then an import."""
    from tests.conftest import run_esprobe

    script, data, path = folder / f"{NAME}.json", folder / f"data {NAME}.json", folder / f"{NAME}.db"
    contexts = [expected(text) or "nothing" for text in COMPLETIONS.values()]
    rows = [{"numbers": [1, 2, i], "target": "98", "context": contexts[i % len(contexts)][:500]} for i in range(11)]
    data.write_text(json.dumps(rows))
    script.write_text(json.dumps({"*": ["x"]} | {str(i): [text] for i, text in enumerate(COMPLETIONS.values())}))
    words = ["--engine", "scripted", "--model", script, "--data", data, "--problems", "0:11", "--samples", 2]
    words += ["--max-tokens", 10**8, "--prompt", "raw", "--db", path]
    for arm in (["sample-temp", "-t", 1], ["sample-perturb", "--sigma", 0.01]):
        done = run_esprobe(folder, *arm, *words)
        assert done.returncode == 0, done.stderr
        assert not HARMFUL.search(done.stdout + done.stderr)
    lines = [{"problem": i, "completion": text, "correct": i % 2 == 0} for i, text in enumerate(COMPLETIONS.values())]
    (folder / "made elsewhere.jsonl").write_text("\n".join(map(json.dumps, lines)))
    imported = ["import", "made elsewhere.jsonl", "--label", LABEL, "--model", NAME, "--db", path]
    done = run_esprobe(folder, *imported)
    assert done.returncode == 0, done.stderr
    return path


def expected(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def test_every_text_is_stored_to_the_byte(database: Path) -> None:
    for index, text in enumerate(COMPLETIONS.values()):
        for kind in ("greedy", "temperature", "perturbation"):
            stored = query(
                database, "SELECT DISTINCT completion FROM rollouts WHERE problem = ? AND kind = ?", index, kind
            )
            assert stored == [(expected(text),)], (index, kind)
        made = "SELECT text FROM rollout JOIN completion ON completion.id = completion_id JOIN condition ON "
        made += "condition.id = condition_id JOIN problem ON problem.id = problem_id WHERE kind = 'imported'"
        assert (expected(text),) in query(database, made)
    assert query(database, "PRAGMA integrity_check") == [("ok",)]
    assert query(database, "SELECT count(*) FROM rollout") == [(11 * (1 + 2 + 2 + 1),)]


@pytest.mark.parametrize(
    "words",
    [
        ["passk"],
        ["passk", "--format", "markdown"],
        ["passk", "--format", "csv"],
        ["passk", "--format", "json"],
        ["report"],
        ["report", "--format", "json"],
        ["status"],
        ["status", "--format", "json"],
        ["show", "--limit", "100"],
        ["export"],
        ["verify", "--all"],
        ["rescore", "--scorer", "strict/1"],
        ["backup", "copy.db", "--overwrite"],
        ["passk", "--condition", NAME],
        ["passk", "--condition", f"no {NAME}"],
    ],
    ids=lambda words: " ".join(words)[:30].split("evil")[0],
)
def test_no_command_passes_on_what_could_act_on_a_terminal(folder: Path, database: Path, words: list[str]) -> None:
    from tests.conftest import run_esprobe

    done = run_esprobe(folder, *words, "--db", database)
    assert "Traceback" not in done.stderr, done.stderr
    found = HARMFUL.search(done.stdout + done.stderr)
    assert not found, repr((done.stdout + done.stderr)[max(found.start() - 40, 0) : found.end() + 40])


def test_a_report_is_neither_html_nor_links(folder: Path, database: Path) -> None:
    from tests.conftest import run_esprobe

    text = run_esprobe(folder, "report", "--db", database).stdout
    assert "<b>" not in text and "<script>" not in text and "[x](y)" not in text


def test_what_is_exported_is_what_was_drawn(folder: Path, database: Path, esprobe: Run) -> None:
    found = [json.loads(line) for line in esprobe("export", "--db", database).stdout.splitlines()]
    for index, text in enumerate(COMPLETIONS.values()):
        mine = [r["completion"] for r in found if r["problem"] == index and r["kind"] != "imported"]
        assert mine == [expected(text)] * 5
    merged = folder / "merged.db"
    assert esprobe("merge", database, "--into", merged).returncode == 0
    texts = "SELECT condition, problem, seed, completion FROM rollouts ORDER BY kind, 2, 3"
    assert [row[1:] for row in query(merged, texts)] == [row[1:] for row in query(database, texts)]
