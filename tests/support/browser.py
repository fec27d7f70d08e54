"""Headless Chromium, as Debian packages it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import needed

#: Flags for root in a container, and for a browser that requests nothing by itself.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class Visit:
    """A page in the browser, with its requests and errors.

    Attributes:
        page: the page.
        requests: the URLs that the page requested.
        errors: the console messages and exceptions of the page.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser that is open until the block ends."""
    chromium = needed("chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=list(_FLAGS))
        try:
            yield opened
        finally:
            opened.close()


@contextlib.contextmanager
def visit(
    opened: Browser,
    path: Path,
    *,
    width: int = 1100,
    height: int = 900,
    scheme: Literal["light", "dark"] = "light",
    scripts: bool = True,
) -> Iterator[Visit]:
    """A file in a window without a network, open until the block ends."""
    context = opened.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        offline=True,
        java_script_enabled=scripts,
    )
    try:
        visited = Visit(context.new_page())
        visited.page.goto(path.resolve().as_uri())
        yield visited
    finally:
        context.close()
