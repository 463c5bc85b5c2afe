"""Tables sort, the explorer leafs, and whatever a model wrote is shown and does nothing."""

from pathlib import Path

import pytest

pytest.importorskip("selenium")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.material import Page

pytestmark = pytest.mark.browser


def cells(page: Page, table: int, column: int) -> list[str]:
    found: list[str] = page.run(
        "return [...document.querySelectorAll('table[data-sortable]')[arguments[0]].tBodies[0].rows]"
        ".map(r => r.cells[arguments[1]].textContent)",
        table,
        column,
    )
    return found


def test_tables_sort_by_number_and_by_word_and_back(page: Page, full: Path) -> None:
    page.open(full)
    titles = page.run(
        "return [...document.querySelectorAll('table[data-sortable]')].map(t => t.tHead.textContent.trim())"
    )
    table = next(place for place, title in enumerate(titles) if title.endswith("cut off"))
    heads = page.all("table[data-sortable]")[table].find_elements(By.CSS_SELECTOR, "th button")
    labels = cells(page, table, 0)
    tokens = [float(cell) for cell in cells(page, table, 4)]
    assert len(labels) == 5
    page.press(heads[4])
    assert [float(cell) for cell in cells(page, table, 4)] == sorted(tokens)
    page.press(heads[4])
    assert [float(cell) for cell in cells(page, table, 4)] == sorted(tokens, reverse=True)
    heads[0].send_keys(Keys.ENTER)  # by keyboard alone
    assert cells(page, table, 0) == ["greedy", "sigma=0.005", "sigma=0.01", "T=0.4", "T=0.8"]
    assert sorted(labels) == sorted(cells(page, table, 0))


def test_the_explorer_counts_every_problem_once_and_pages_through_them(page: Page, full: Path) -> None:
    page.open(full)
    numbers = {b.get_attribute("data-set"): int(b.text.split("(")[1][:-1]) for b in page.all("#explorer .sets button")}
    assert numbers["all"] == 45
    assert sum(numbers.values()) == 90
    assert numbers["both"] > 0 < numbers["neither"]
    seen = page.texts("#explorer .problems tbody td:first-child")
    while page.one("#explorer .pages [data-turn='1']").is_enabled():
        page.press(page.one("#explorer .pages [data-turn='1']"))
        seen += page.texts("#explorer .problems tbody td:first-child")
    assert [int(name) for name in seen] == list(range(200, 245))
    assert "page 3 of 3" in page.one("#explorer .pages").text
    page.press(page.one("#explorer [data-set='neither']"))
    never = page.texts("#explorer .problems tbody td:first-child")
    assert len(never) == min(numbers["neither"], 15)
    assert all((int(name) - 200) % 3 == 0 for name in never)  # the script never solves those
    page.pick("#explorer", "A", "T=0.4")
    page.pick("#explorer", "B", "T=0.4")
    assert "only A (0)" in page.texts("#explorer .sets button")


def test_completions_are_leafed_through_up_to_the_bound(page: Page, full: Path) -> None:
    page.open(full)
    page.press(page.one("#explorer .problems tbody tr:nth-child(2) button"))
    assert "completion 1 of 8" in page.one("#explorer .turn").text
    assert page.one("#explorer .facts").text.startswith("correct; ")
    assert "<answer>" in page.one("#explorer pre").text
    seen = [page.one("#explorer .facts").text]
    for number in range(2, 9):
        page.press(page.one("#explorer .turn [data-turn='1']"))
        assert f"completion {number} of 8" in page.one("#explorer .turn").text
        seen.append(page.one("#explorer .facts").text)
    assert len(set(seen)) == 8
    assert not page.one("#explorer .turn [data-turn='1']").is_enabled()
    assert "at most 8 of a problem" in page.one("#explorer").text


def test_hostile_text_is_shown_and_does_nothing(page: Page, full: Path) -> None:
    page.open(full)
    page.press(page.one("#explorer .problems tbody tr:nth-child(1) button"))
    shown = set()
    for _ in range(7):
        shown.add(page.texts("#explorer pre")[0])
        page.press(page.one("#explorer .turn [data-turn='1']"))
    (hostile,) = (text for text in shown if "script" in text)
    assert "</script><script>window.hacked = 1</script><img src='https://example.org/x'" in hostile
    assert "\\x00 \\x1b[31mred \\u202egnp.exe" in hostile
    assert "&lt;b&gt;" in hostile
    assert page.run("return document.querySelector('#explorer pre').childElementCount") == 0
    assert page.run("return window.hacked === undefined")
    assert hostile.isprintable()


def test_everything_that_can_be_pressed_can_be_reached_by_keyboard(page: Page, full: Path) -> None:
    page.open(full)
    unreachable = page.run(
        "return [...document.querySelectorAll('main [role=button], main button, main select, main input')]"
        ".filter(e => e.tabIndex < 0 && !e.disabled).length"
    )
    assert unreachable == 0
    assert page.run("return [...document.querySelectorAll('main select, main input')].every(e => e.closest('label'))")
    page.one("body").send_keys(Keys.TAB)
    assert page.run("return document.activeElement.className") == "skip"


def test_the_page_forbids_every_request_and_every_script_but_its_own(bare_page: Page, full: Path) -> None:
    bare_page.open(full)
    tried = bare_page.driver.execute_async_script(
        "const done = arguments[0]; fetch('https://example.org/').then(() => done('sent'), () => done('refused'))"
    )
    assert tried == "refused"
    bare_page.run("document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}))")
    bare_page.run("const s = document.createElement('script'); s.text = 'window.hacked = 1'; document.body.append(s)")
    assert bare_page.run("return window.hacked === undefined")
    bare_page.until(lambda: any("Content Security Policy" in message for message in bare_page.complaints()))


def test_without_scripts_words_and_tables_stand(bare_page: Page, full: Path) -> None:
    bare_page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        bare_page.driver.get(full.as_uri())
        text = bare_page.one("body").text
    finally:
        bare_page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "need scripts" in text
    assert "T=0.4" in text
    assert "Provenance" in text
