"""A real browser: Chromium, which CI must have."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.support.programs import program


@contextmanager
def chromium() -> Iterator[Browser]:
    """Starts a Chromium without a window; skips the test if there is none, in CI fails it."""
    path = program("chromium", "chromium")
    # Its sandbox does not work for root, nor in most containers.
    options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()
