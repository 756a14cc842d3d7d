"""The system's Chromium for tests, steered by Playwright; no browser is downloaded and no page reaches the network."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--disable-quic",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE = 240_000.0
"""Milliseconds until a silent browser counts as dead; a busy machine needs some."""


def find() -> str:
    """Where a Chromium is. Skips the test where there is none; under CI=true that is a failure."""
    found = os.environ.get("LINKBENCH_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing = "no Chromium on this machine; install the package 'chromium' to test pages in a browser"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser with an empty profile; it ends with the block."""
    program = find()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=program, args=list(FLAGS), chromium_sandbox=False, timeout=PATIENCE
        )
        try:
            yield opened
        finally:
            opened.close()


class Visit:
    """A page of a local file, and what the browser said meanwhile: errors, words on the console, requests."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.said: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("request", lambda request: self.requests.append(request.url))

    def js(self, expression: str) -> Any:
        """The value of an expression on the page."""
        return self.page.evaluate(expression)


@contextlib.contextmanager
def visit(
    opened: Browser, file: Path, *, width: int = 1280, dark: bool = False, script: bool = True
) -> Iterator[Visit]:
    """Load a local file and wait until it stands."""
    context = opened.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
    )
    context.set_default_timeout(PATIENCE)
    try:
        seen = Visit(context.new_page())
        seen.page.goto(file.resolve().as_uri(), wait_until="load")
        yield seen
    finally:
        context.close()
