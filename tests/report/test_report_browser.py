"""The report page in a real browser: players load, nothing is fetched, nothing complains, a phone can show it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bassbench.audio import SAMPLE_RATE
from bassbench.report.examples import Example
from bassbench.report.page import write_report
from bassbench.results.rows import Measurement, Row, measured
from bassbench.suite.anchors import REAL

sync_api = pytest.importorskip("playwright.sync_api")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
_PATIENCE = 120_000  # milliseconds, on a busy machine
NASTY = '"<script>alert(1)</script>'


def row(system: str, value: float, metric: str) -> Row:
    about = Measurement(
        experiment="suite", system=system, setting={}, metric=metric, clips=4, seed=0, protocol={"pitch": "YIN"}
    )
    return measured(about, value, value - 0.1, value + 0.1, seconds=0.1)


def tone(frequency: float, seconds: float) -> np.ndarray:
    wave = 0.25 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)
    return np.tile(wave.astype(np.float32), (2, 1))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    metrics = ("chord-tone share", "a metric with a rather long name", "voiced share")
    systems = (REAL, "noise", "system-with-one-unbreakable-name-of-fifty-characters", NASTY, "model")
    rows = [row(system, 0.1 * i, metric) for metric in metrics for i, system in enumerate(systems)]
    examples = [
        Example(f"song {i}", tone(440, 2.0), tone(55, 2.0), {"model": tone(82, 2.0)}, notes=("120 BPM",))
        for i in range(2)
    ]
    broken = Example(NASTY, np.zeros((2, 30), np.float32), None, {NASTY: np.full((2, 30), np.nan, np.float32)})
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, rows, [*examples, broken], title=NASTY, licences={"audio": "made here"})
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        # Chromium's sandbox does not run as root, as in a container.
        arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        arguments.append("--autoplay-policy=no-user-gesture-required")
        opened = playwright.chromium.launch(executable_path=BROWSER, args=arguments, timeout=_PATIENCE)
        yield opened
        opened.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (320, "light")])
def test_players_load_and_nothing_is_fetched(
    browser: "sync_api.Browser", report: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(_PATIENCE)
    said: list[str] = []
    fetched: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append("dialog"), dialog.dismiss()))
    page.on("request", lambda request: fetched.append(request.url) if not request.url.startswith("data:") else None)
    page.goto(report.as_uri())
    page.wait_for_function("[...document.querySelectorAll('audio')].every(p => p.readyState >= 1 || p.error)")
    players = page.evaluate("[...document.querySelectorAll('audio')].map(p => [p.readyState, p.duration])")
    assert len(players) == 2 * 5 + 3
    assert all(state >= 1 and duration > 0 for state, duration in players)
    assert [duration for _, duration in players[:10]] == pytest.approx([2.0] * 10, abs=0.1)
    pictures = page.evaluate("[...document.querySelectorAll('img')].map(i => i.complete && i.naturalWidth)")
    assert len(pictures) == len(players) and all(pictures)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.body.scrollWidth") <= width
    assert fetched == [report.as_uri()] and said == []
    context.close()


def test_one_player_sounds_at_a_time_and_the_next_goes_on_in_place(browser: "sync_api.Browser", report: Path) -> None:
    page = browser.new_page()
    page.set_default_timeout(_PATIENCE)
    page.goto(report.as_uri())
    first, second, elsewhere = (f"document.querySelectorAll('audio')[{i}]" for i in (1, 3, 5))
    page.wait_for_function(f"{first}.readyState >= 3 && {second}.readyState >= 3 && {elsewhere}.readyState >= 3")
    page.evaluate(f"async () => {{ {first}.currentTime = 1.0; await {first}.play(); await {second}.play(); }}")
    assert page.evaluate(f"[{first}.paused, {second}.paused]") == [True, False]
    assert page.evaluate(f"{second}.currentTime") >= 1.0
    page.evaluate(f"async () => {{ await {elsewhere}.play(); }}")
    assert page.evaluate(f"[{second}.paused, {elsewhere}.paused]") == [True, False]
    assert page.evaluate(f"{elsewhere}.currentTime") < 1.0
    page.close()
