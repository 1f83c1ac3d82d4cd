"""The report page: what it says, that it escapes and embeds everything, and that no result or audio breaks it."""

import base64
import dataclasses
import io
import math
import re
import weakref
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from bassbench.errors import BadInputError
from bassbench.report.elements import HEIGHT, WIDTH, Markup, audio_uri, element, height_of, spectrogram, spectrogram_uri
from bassbench.report.examples import SHORTEST_CUT, Example
from bassbench.report.notes import MetricNote
from bassbench.report.page import write_report
from bassbench.report.results import axis_of, varying_settings
from bassbench.results.rows import Measurement, Row, measured
from bassbench.suite.anchors import OTHER, REAL

RATE = 44_100
NASTY = '"<script>alert(1)</script>'


def row(
    system: str,
    value: float,
    metric: str = "chord-tone share",
    *,
    interval: tuple[float, float] | None = None,
    protocol: dict[str, Any] | None = None,
    experiment: str = "listening",
    seed: int = 0,
    **setting: object,
) -> Row:
    about = Measurement(
        experiment=experiment,
        system=system,
        setting=setting,
        metric=metric,
        clips=4,
        seed=seed,
        protocol=protocol or {"pitch": "YIN", "embedder": {"name": "musicnn"}},
    )
    low, high = interval or (value - 0.1, value + 0.1)
    return measured(about, value, low, high, seconds=0.1)


def tone(frequency: float, seconds: float = 0.6, *, rate: int = RATE, peak: float = 0.25) -> np.ndarray:
    wave = peak * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave.astype(np.float32), (2, 1))


class Parsed(HTMLParser):
    """Tags with their attributes, text by the path of classes, and whether every element was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(f"{tag}.{dict(attrs).get('class', '')}")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().split(".")[0] == tag

    def handle_data(self, data: str) -> None:
        self.text.append((tuple(self.open), data))

    def within(self, opened: str) -> str:
        return " ".join(text for path, text in self.text if opened in path)

    def sources(self, tag: str) -> list[str]:
        return [attributes["src"] or "" for name, attributes in self.tags if name == tag]


def page(tmp_path: Path, rows: list[Row], examples: list[Example] | None = None, **options: Any) -> Parsed:
    path = tmp_path / "report.html"
    write_report(path, rows, examples or [], title="A report", **options)
    return Parsed(path.read_text(encoding="utf-8"))


def decoded(uri: str) -> np.ndarray:
    audio, rate = soundfile.read(io.BytesIO(base64.b64decode(uri.partition(",")[2])), dtype="float32", always_2d=True)
    assert rate == RATE
    return audio.T


def test_values_intervals_and_anchors_are_in_the_tables(tmp_path: Path) -> None:
    rows = [row(REAL, 0.93), row(OTHER, 0.3), row("model", 0.712, cfg=1), row("model", 0.8, cfg=2)]
    parsed = page(tmp_path, rows, metrics=[MetricNote("chord-tone share", "Tones of the chord.", "higher", "", "Us 1")])
    panel = parsed.within("table.")
    assert "0.712 [0.612, 0.812]" in " ".join(panel.split()) and "cfg 1" in panel and "higher is better" in panel
    anchors = parsed.within("tbody.anchors")
    assert REAL in anchors and OTHER in anchors and "model" not in anchors
    whole = " ".join(text for _, text in parsed.text)
    for said in ("Tones of the chord.", "Us 1", rows[0].protocol_hash, "YIN", "musicnn", "numpy", rows[0].commit):
        assert said in whole


def test_a_row_of_fewer_clips_says_so(tmp_path: Path) -> None:
    few = dataclasses.replace(row(OTHER, 0.3), clips=2)
    text = page(tmp_path, [row("model", 0.5), few]).within("tbody.anchors")
    assert "2 of 4 clips" in text and "4 of 4" not in text


def test_nothing_in_a_name_becomes_a_tag(tmp_path: Path) -> None:
    rows = [
        row(NASTY, 0.5, NASTY, experiment=NASTY, protocol={NASTY: NASTY}, **{NASTY: NASTY}),
        row(NASTY, 0.5, NASTY, experiment=NASTY, protocol={NASTY: NASTY}, **{NASTY: 2}),
    ]
    example = Example(NASTY, tone(90), None, {NASTY: tone(60)}, notes=(NASTY,))
    path = tmp_path / "report.html"
    write_report(path, rows, [example], title=NASTY, metrics=[MetricNote(NASTY, NASTY)], licences={NASTY: NASTY})
    parsed = Parsed(path.read_text(encoding="utf-8"))
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert sum(NASTY in text for _, text in parsed.text) >= 10
    policy = next(a["content"] for tag, a in parsed.tags if tag == "meta" and a.get("http-equiv"))
    assert "default-src 'none'" in (policy or "") and "script-src 'sha256-" in (policy or "")


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    figure = tmp_path / "match_matrix.png"
    Image.new("RGB", (4, 4)).save(figure)
    parsed = page(tmp_path, [row("model", 1)], [Example("song", tone(90), tone(60), {"model": tone(61)})],
                  figures=[figure])  # fmt: skip
    addresses = [a[name] for _, a in parsed.tags for name in ("src", "href", "data") if name in a]
    assert len(addresses) > 10 and all(str(address).startswith(("data:", "#")) for address in addresses)
    assert "url(" not in parsed.within("style.") and "@import" not in parsed.within("style.")
    assert all(a.get("alt") for tag, a in parsed.tags if tag == "img")
    assert all("controls" in a and a["aria-label"] for tag, a in parsed.tags if tag == "audio")
    assert all(a.get("scope") for tag, a in parsed.tags if tag == "th")


def test_rows_of_different_protocols_are_never_in_one_table(tmp_path: Path) -> None:
    rows = [row("a", 0.1, protocol={"n": 1}), row("b", 0.2, protocol={"n": 2}), row("c", 0.3, protocol={"n": 1})]
    text = (page(tmp_path, rows), (tmp_path / "report.html").read_text())[1]
    tables = [re.sub("<[^>]+>", " ", t) for t in re.findall(r'class="card panel">(.*?)</table>', text)]
    assert [(" a " in t, " b " in t, " c " in t) for t in tables] == [(True, False, True), (False, True, False)]


def test_settings_are_shown_where_they_tell_rows_of_a_system_apart() -> None:
    rows = [row("m", 1, cfg=1, w="x"), row("m", 2, cfg=2, w="x"), row("other", 1, w="y"), row(REAL, 1, anchor=3)]
    assert varying_settings(rows, {REAL}) == ["cfg"]
    assert varying_settings([row("m", 1, phi=1), row("m", 2)], ()) == ["phi"]


def test_rows_that_differ_in_seed_alone_are_told_apart(tmp_path: Path) -> None:
    text = page(tmp_path, [row("model", 0.1, seed=1), row("model", 0.2, seed=2)]).within("table.")
    assert "seed 1" in text and "seed 2" in text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -5.0, 1e-30, 1e30])
@pytest.mark.parametrize("interval", [(math.nan, math.nan), (-math.inf, math.inf), (0.0, 0.0), None])
def test_any_number_makes_a_page(tmp_path: Path, value: float, interval: tuple[float, float] | None) -> None:
    rows = [row("model", value, interval=interval), row(REAL, math.nan, interval=(math.nan, math.nan))]
    parsed = page(tmp_path, rows)
    assert "undefined" in parsed.within("tbody.anchors")
    places = [a[k] or "" for _, a in parsed.tags for k in ("cx", "x1", "x2") if k in a]
    assert all(0 <= float(place.rstrip("%")) <= 100 for place in places)


def test_a_wide_span_is_drawn_on_a_logarithmic_axis() -> None:
    axis = axis_of([row("a", 1.0, interval=(1.0, 1.0)), row("b", 100.0, interval=(100.0, 100.0))])
    assert axis is not None and axis.log
    assert axis.place(10.0) == pytest.approx(50)
    assert axis.place(1.0) < axis.place(100.0) == pytest.approx(100 - axis.place(1.0))
    linear = axis_of([row("a", 1.0, interval=(0.0, 10.0))])
    assert linear is not None and not linear.log and linear.place(5.0) == pytest.approx(50)


def test_players_hold_the_audio_and_the_sum_of_mix_and_bass(tmp_path: Path) -> None:
    mix, real, generated = tone(440, 1.0, peak=0.8), tone(55, 1.0, peak=0.6), tone(82, 0.7, peak=0.4)
    parsed = page(tmp_path, [], [Example("song", mix, lambda: real, {"model": generated})])
    sounds = [decoded(uri) for uri in parsed.sources("audio")]
    assert [sound.shape for sound in sounds] == [(2, RATE)] * 3 + [(2, round(0.7 * RATE)), (2, RATE)]
    gain = 10 ** (-1 / 20) / np.abs(mix + real).max()
    padded = np.pad(generated, ((0, 0), (0, RATE - generated.shape[1])))
    for sound, wanted in zip(sounds, (mix, real, mix + real, generated, mix + padded), strict=True):
        assert np.corrcoef(sound[0], wanted[0])[0, 1] > 0.99
        assert np.std(sound) == pytest.approx(gain * np.std(wanted), rel=0.05)


@pytest.mark.parametrize(
    ("bass", "said"),
    [
        (np.zeros((2, RATE), np.float32), "silent"),
        (np.full((2, 9000), np.nan, np.float32), "18000 samples are not finite"),
        (np.ones((1, 1), np.float32), "only 0 ms long"),
        (np.empty((2, 0), np.float32), "not playable"),
        (np.empty((6, 99), np.float32), "not playable"),
        (np.zeros(5, np.float32), "not playable"),
        (None, "not available"),
    ],
)
def test_broken_audio_is_said_and_breaks_nothing(tmp_path: Path, bass: np.ndarray | None, said: str) -> None:
    parsed = page(tmp_path, [], [Example("song", tone(200), None, {"model": bass})])
    assert said in parsed.within("span.remark")
    assert all(decoded(uri).size for uri in parsed.sources("audio"))


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    def missing() -> np.ndarray:
        raise BadInputError("bass.wav: no such audio file")

    parsed = page(tmp_path, [], [Example("song", missing, missing, {})])
    assert "bass.wav: no such audio file" in parsed.within("span.remark") and not parsed.sources("audio")


def test_examples_are_cut_to_the_page_and_read_one_at_a_time(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    alive: list[weakref.ref[np.ndarray]] = []

    def noise() -> np.ndarray:
        audio = (0.1 * generator.standard_normal((2, 12 * RATE))).astype(np.float32)
        alive.append(weakref.ref(audio))
        assert sum(reference() is not None for reference in alive) <= 1
        return audio

    examples = [Example(f"song {i}", noise, None, {}) for i in range(3)]
    limit = 700_000
    parsed = page(tmp_path, [row("model", 1)], examples, page_bytes=limit)
    size = (tmp_path / "report.html").stat().st_size
    assert len(alive) == 3 and 0.4 * limit < size <= limit
    assert parsed.within("article.card example").count("of 12.0 s") == 3
    lengths = [decoded(uri).shape[1] / RATE for uri in parsed.sources("audio")]
    assert len(lengths) == 3 and all(SHORTEST_CUT <= length < 12 for length in lengths)
    assert "3 more left out" in page(tmp_path, [], examples, page_bytes=60_000).within("section.")


def test_the_same_results_make_the_same_page(tmp_path: Path) -> None:
    example = Example("song", tone(200), tone(50), {"model": tone(51)})
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, [row("model", 1)], [example], title="t")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_what_cannot_be_reported_is_refused_whole(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="nothing to report"):
        write_report(tmp_path / "r.html", [], title="t")
    with pytest.raises(BadInputError, match=r"lost\.png: cannot read"):
        write_report(tmp_path / "r.html", [row("model", 1)], title="t", figures=[tmp_path / "lost.png"])
    with pytest.raises(BadInputError, match="not a figure"):
        write_report(tmp_path / "r.html", [row("model", 1)], title="t", figures=[tmp_path / "lost.exe"])
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="cannot write the report"):
        write_report(tmp_path / "file" / "r.html", [row("model", 1)], title="t")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("rate", [8000, RATE, 96_000])
def test_a_tone_stands_at_its_frequency_and_level(rate: int) -> None:
    level = spectrogram(tone(110, rate=rate, peak=0.5), rate)
    assert level.shape == (HEIGHT, WIDTH)
    loudest = level[:, WIDTH // 2].argmax()
    assert loudest / (HEIGHT - 1) == pytest.approx(height_of(110), abs=0.02)
    assert level[loudest, WIDTH // 2] == pytest.approx(20 * math.log10(0.5), abs=1.5)  # 1.4 dB between bins
    assert level[HEIGHT // 2 :].max() < -60


@pytest.mark.parametrize("samples", [0, 1, 100])
def test_short_audio_has_a_picture_and_a_player(samples: int) -> None:
    audio = np.full((1, samples), 0.1, np.float32)
    picture = Image.open(io.BytesIO(base64.b64decode(spectrogram_uri(audio).partition(",")[2])))
    assert picture.size == (WIDTH, HEIGHT)
    assert decoded(audio_uri(audio)).shape[1] > 0


def test_markup_is_escaped_once() -> None:
    inner = element("b", "a & <b>")
    assert inner == "<b>a &amp; &lt;b&gt;</b>" and isinstance(inner, Markup)
    assert element("td", inner, None, 3, class_="x y", aria_label='"', hidden=True, id=None) == (
        f'<td class="x y" aria-label="&quot;" hidden>{inner}3</td>'
    )
    assert element("img", alt="") == '<img alt="">'
