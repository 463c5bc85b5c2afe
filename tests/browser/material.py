"""An open page, with what a reader can do to it."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

INSIDE = ("file:", "data:", "blob:", "chrome:", "about:")


class Page:
    """A report in the browser."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, path: Path) -> "Page":
        self.driver.get(path.as_uri())
        self.settle()
        return self

    def run(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def settle(self) -> None:
        """Until every figure has drawn what is asked of it."""
        done = "return [...document.querySelectorAll('.plot')].every(p => p.classList.contains('empty') || p._fullData)"
        self.until(lambda: self.run(done) and self.run("return document.readyState") == "complete")
        # Plotly.react may draw in the next frame.
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
        )

    def until(self, true: Callable[[], Any], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "the page did not get there"
            time.sleep(0.05)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The whole text of each element, shown or not."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector
        )
        return found

    def pick(self, within: str, label: str, option: str) -> None:
        for around in self.all(f"{within} .controls label"):
            if self.run("return arguments[0].firstChild.textContent.trim()", around) == label:
                Select(around.find_element(By.TAG_NAME, "select")).select_by_visible_text(option)
                self.settle()
                return
        raise AssertionError(f"{within} has no list called {label}")

    def press(self, element: WebElement) -> None:
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        self.settle()

    def figures(self) -> list[str]:
        found: list[str] = self.run("return [...document.querySelectorAll('figure')].map(f => f.id)")
        return found

    def traces(self, figure: str) -> list[dict[str, Any]]:
        """What Plotly holds of a figure: name, condition, visibility and number of points of each trace."""
        found: list[dict[str, Any]] = self.run(
            "return document.querySelector(`#${arguments[0]} .plot`)._fullData.map(t => ({name: t.name, type: t.type, "
            "condition: t.meta ?? null, visible: t.visible, points: t.x.length, fill: t.fill ?? 'none'}))",
            figure,
        )
        return found

    def marks(self, figure: str) -> int:
        """Lines, bars and markers that are really in the picture, none of them empty."""
        return int(
            self.run(
                "const drawn = `#${arguments[0]} .plot .cartesianlayer :is(.trace, .bars) path`; "
                "const empty = (path) => [null, '', 'M0,0Z'].includes(path.getAttribute('d')); "
                "return [...document.querySelectorAll(drawn)].filter(path => !empty(path)).length",
                figure,
            )
        )

    def words(self, figure: str) -> str:
        """What stands in place of a figure; empty where it is drawn."""
        return str(
            self.run(
                "const w = document.querySelector(`#${arguments[0]} .absent`); return w.hidden ? '' : w.textContent",
                figure,
            )
        )

    def complaints(self) -> list[str]:
        """The browser's own errors and warnings since the last call, a blocked request among them."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call that are not in the file itself."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"] + [
            m["params"]["url"] for m in messages if m["method"] == "Network.webSocketCreated"
        ]
        return [url for url in asked if not url.startswith(INSIDE)]
