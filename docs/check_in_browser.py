"""Check the built pages in Chromium: console, search, and the width of a phone.

``python docs/check_in_browser.py build/docs --screenshots FOLDER``

Needs Chromium with its driver (Debian: ``chromium chromium-driver``) and ``pip install
selenium``; `.ci/run` goes without. The pages are served on this machine only, since the
search loads its index by a script.
"""

import argparse
import functools
import http.server
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SIZES = {"desktop": (1400, 1000), "phone": (390, 844)}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What is wider than its column, outside of what scrolls for itself.
WIDER = """
const article = document.querySelector("article");
return article && article.scrollWidth > article.clientWidth ?
    [...article.querySelectorAll("*")]
        .filter(e => !e.closest("pre, .pst-scrollable-table-container"))
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
        .slice(0, 3).map(e => e.tagName + " " + e.innerText.slice(0, 40)) : [];
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *arguments):
        """Say nothing."""


def served(folder):
    """Serve a folder in a thread; returns the server."""
    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def browser(size, profile):
    """A headless Chromium with a window of a size and a fresh profile."""
    options = webdriver.ChromeOptions()
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Named, or selenium would look for one in the network.
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options, service)
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {**metrics, "mobile": width < 500}
    )
    return driver


def page_faults(driver):
    """What is wrong with the page that is open, a sentence each."""
    for entry in driver.get_log("browser"):
        if entry["level"] in ("SEVERE", "WARNING"):
            yield f"console: {entry['message']}"
    for wide in driver.execute_script(WIDER):
        yield f"wider than the page: {wide}"


def search_faults(driver, base):
    """What is wrong with the search for a word of the guide."""
    driver.get(f"{base}/search.html?q=quantile")
    links = "#search-results li a"
    try:
        WebDriverWait(driver, 20).until(
            lambda driver: len(driver.find_elements(By.CSS_SELECTOR, links)) >= 5
        )
    except TimeoutException:
        yield "the search does not find 'quantile'"
    yield from page_faults(driver)


def main():
    """Print the faults; the exit code is 1 where there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--screenshots", type=Path)
    arguments = parser.parse_args()
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    if shutil.which("chromedriver") is None:
        sys.exit("There is no chromedriver: install Chromium with its driver.")
    pages = [
        path.relative_to(arguments.folder).as_posix()
        for path in sorted(arguments.folder.rglob("*.html"))
        if "_static" not in path.parts
    ]
    if not pages:
        sys.exit(f"{arguments.folder} has no pages: build the site first")
    server = served(arguments.folder)
    base = f"http://127.0.0.1:{server.server_port}"
    count = 0
    for name, size in SIZES.items():
        with tempfile.TemporaryDirectory() as profile:
            driver = browser(size, profile)
            try:
                found = [("search", fault) for fault in search_faults(driver, base)]
                for page in pages:
                    driver.get(f"{base}/{page}")
                    found += [(page, fault) for fault in page_faults(driver)]
                    if arguments.screenshots:
                        file = f"{page.replace('/', '_')}_{name}.png"
                        driver.save_screenshot(arguments.screenshots / file)
            finally:
                driver.quit()
        for page, fault in found:
            print(f"{name}: {page}: {fault}")
        count += len(found)
    server.shutdown()
    print(f"{len(pages)} pages in {len(SIZES)} sizes, {count} faults")
    sys.exit(bool(count))


if __name__ == "__main__":
    main()
