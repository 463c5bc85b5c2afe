"""A real browser, one for all tests; every test also fails on a complaint in its console or a request that leaves."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.filled import fill, mixed, report

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.browser.material import Page

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Chrome]":
    """Headless Chromium, where it is installed."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and its driver are not installed: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # No sandbox: Chromium refuses to start as root with one. /dev/shm is small in containers.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,1600"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def bare_page(chromium: "Chrome") -> "Page":
    """A page whose complaints are the test's own business."""
    from tests.browser.material import Page

    page = Page(chromium)
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    page.complaints(), page.requests()
    return page


@pytest.fixture
def page(bare_page: "Page") -> "Iterator[Page]":
    yield bare_page
    assert bare_page.complaints() == []
    assert bare_page.requests() == []


@pytest.fixture(scope="session")
def full(chromium: "Chrome", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of both arms over 45 problems, some solved often, some seldom, some never."""
    return report(fill(tmp_path_factory.mktemp("full"), mixed()))
