"""The pages of a report: what they say, that they need nothing but themselves, and that a real browser plays them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reverie.demos import card, cli
from reverie.demos.pages import picture
from reverie.demos.pages.blind import arranged
from reverie.demos.pages.browser import Browser, installed
from reverie.demos.pages.charts import Line, line_chart, ticks
from reverie.demos.pages.figures import groups
from reverie.demos.pages.write import write_comparison, write_pages
from reverie.model.errors import ReverieError
from reverie.simulator.judge.film import COLUMNS, shoot

TICKS = 20
NAMES = ("00", "01", "02", "03", "04", "05")
needs_browser = pytest.mark.skipif(installed() is None, reason="no Chromium is installed")


def moving_square(colour: tuple[int, int, int], speed: int) -> np.ndarray:
    """uint8 [TICKS + 1, 48, 80, 3]."""
    frames = np.full((TICKS + 1, 48, 80, 3), 40, np.uint8)
    for tick, frame in enumerate(frames):
        frame[16:32, tick * speed : tick * speed + 16] = colour
    return frames


def write_report(folder: Path, fingerprint: str, colour: tuple[int, int, int]) -> Path:
    """A folder such as `reverie evaluate` writes, with made-up numbers and films."""
    folder.mkdir(parents=True)
    report: dict[str, Any] = {
        "model": "fake", "fingerprint": fingerprint, "steps": 1, "backend": "abacus", "clips": 6,
        "data": "held-out voxel worlds", "seeds": [1_000_000, 1_000_005], "quick": True,
        "psnr_8": 18.5, "psnr_8_ci": [17.0, 20.0], "copy_psnr_8": 16.25, "copy_psnr_8_ci": [15.0, 17.0],
        "teacher_psnr_8": 18.75, "idle_drift": 9.25, "idle_drift_ci": [8.0, 10.0], "true_idle_drift": 1.125,
        "probe_wall": 7.5, "probe_wall_ci": [5.0, 9.0], "true_probe_wall": 49.0, "copy_probe_wall": -24.0,
        "novelty": 0.5, "novelty_ci": [0.4, 0.6], "tokenizer_psnr": None,
    }  # fmt: skip
    steps = list(range(1, TICKS + 1))
    curves = {
        "ticks": steps, "psnr": [30 - tick / 2 for tick in steps], "copy_psnr": [25 - tick / 2 for tick in steps],
        "idle_ticks": [20, 40], "idle_drift": [4.0, 9.25], "true_idle_drift": [1.0, 1.125],
    }  # fmt: skip
    true, dream = moving_square((230, 60, 60), 2), moving_square(colour, 1)
    captions = ["start"] + [f"t{tick} W" for tick in steps]
    films = [
        shoot(folder, kind, name, f"{name} <meadow>", true[0], true[1:], dream[1:], captions).to_dict()
        for kind, name in [("played", name) for name in NAMES] + [("probe", "wall")]
    ]
    for name, content in (("report", report), ("curves", curves), ("films", {"films": films})):
        (folder / f"{name}.json").write_text(json.dumps(content))
    Image.fromarray(true[0]).save(folder / "sheet.png")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pages")
    write_report(place / "first", "aaaa", (60, 60, 230))
    write_report(place / "second", "bbbb", (230, 60, 60))
    write_comparison(place)
    return place


def test_a_page_holds_all_it_needs(folder: Path) -> None:
    for page in folder.rglob("*.html"):
        text = page.read_text("utf-8")
        assert not re.findall(r"""(?:src|href)=["']?(?!data:)[^"'>]+""", text)
        assert "http" not in re.sub(r"data:[^\"']+", "", text), "no address of anything outside"
        assert len(text) < 10_000_000


def test_a_page_shows_every_figure_once(folder: Path) -> None:
    text = (folder / "first/page.html").read_text("utf-8")
    for cell in ("18.50", "17.00 to 20.00", "16.25", "18.75", "9.25", "1.12", "7.50", "0.500", "aaaa"):
        assert cell in text, cell
    assert "tokenizer" not in text and "00 &lt;meadow&gt;" in text and "<meadow>" not in text
    titles = {group.title: len(group.rows) for group in groups(json.loads((folder / "first/report.json").read_text()))}
    assert titles == {"Picture": 1, "Memory": 1, "Physics probes": 1, "Other figures": 1}


def test_the_readme_gets_the_same_figures(folder: Path, tmp_path: Path) -> None:
    report = json.loads((folder / "first/report.json").read_text())
    bench = {
        "machine": {"cores": 2, "cpu": "abacus", "load": 0.1}, "width": 160, "height": 96, "first_frame_s": 0.5,
        "peak_mib": 100.0, "voxel_fps": 250.0,
        "backends": {"onnx-cpu": {"fps": 60.0, "p50_ms": 16.0, "p99_ms": 20.0, "batch_fps": {"1": 60.0}}},
    }  # fmt: skip
    readme = tmp_path / "README.md"
    readme.write_text(f"before {card.BEGIN} old {card.END} after")
    card.into_readme(readme, card.summary(report, bench, brief=True))
    text = readme.read_text()
    assert text.startswith("before") and text.endswith("after") and "old" not in text
    assert "| PSNR after 8 ticks, dB | 18.50 | 17.00 to 20.00 | 16.25 | 18.75 |" in text
    assert "| walls stop, dB | 7.50 | 5.00 to 9.00 | 49.00 | -24.00 |" in text
    tables = [table.splitlines() for table in text.split("\n\n") if table.startswith("|")]
    assert len(tables) == 5
    assert all(len({row.count("|") for row in table}) == 1 for table in tables), "a cell in every column"


def test_films_are_tiles_of_one_picture(folder: Path) -> None:
    film = json.loads((folder / "first/films.json").read_text())["films"][0]
    with Image.open(folder / "first" / film["true"]) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    tick = 11
    row, column = divmod(tick, COLUMNS)
    tile = pixels[row * 48 : row * 48 + 48, column * 80 : column * 80 + 80]
    assert np.abs(tile.astype(int) - moving_square((230, 60, 60), 2)[tick]).mean() < 3
    assert film["ticks"] == list(range(TICKS + 1)) and len(film["captions"]) == TICKS + 1


def test_the_blind_test_is_shuffled_by_its_seed() -> None:
    pairs = [({"name": f"{i}", "ticks": [], "width": 1, "height": 1, "columns": 1}, {"real": "r", "dream": "d"})
             for i in range(40)]  # fmt: skip
    first, again, other = arranged(pairs, 1), arranged(pairs, 1), arranged(pairs, 2)
    assert first == again != other
    assert sorted(int(pair["name"]) for pair in first) == list(range(40))
    left = sum(pair["sides"][0] == "real" for pair in first)
    assert 8 < left < 32
    assert all(pair["films"] == [side[0] for side in pair["sides"]] for pair in first)


def test_charts() -> None:
    assert ticks(0, 32) == [0, 5, 10, 15, 20, 25, 30] and ticks(12.1, 24.8) == [12, 14, 16, 18, 20, 22, 24]
    assert ticks(5, 5)[0] == pytest.approx(5)
    svg = line_chart([Line("a<b", "dream", [1, 2], [3.0, 4.0]), Line("c", "copy", [1, 2], [3.0, 4.0])], "x", "y")
    assert "a&lt;b" in svg and svg.count("<polyline") == 2
    heights = [float(y) for y in re.findall(r'class="label [a-z]+" x="[\d.]+" y="([\d.]+)"', svg)]
    assert abs(heights[0] - heights[1]) >= 14, "labels do not lie on each other"


def test_the_command_makes_pages_and_refuses_other_folders(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["page", str(folder / "first"), "--against", str(folder / "second"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "Which one is better?" in Path(made["blind"]).read_text("utf-8")
    write_pages(folder / "first")
    assert cli.main(["page", str(tmp_path)]) == 2
    assert "evaluate" in capsys.readouterr().err
    with pytest.raises(ReverieError, match="no clip in common"):
        (tmp_path / "films.json").write_text('{"films": []}')
        (tmp_path / "report.json").write_text("{}")
        write_pages(folder / "first", tmp_path)


def test_a_refused_model_is_exit_code_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    kind, _ = cli.HANDLERS["compare"]
    for accepted, code in ((True, 0), (False, 1)):
        monkeypatch.setitem(cli.HANDLERS, "compare", (kind, lambda options, a=accepted: {"accepted": a}))
        assert cli.main(["compare", "tiny", "tiny", "--require", "not-worse", "--json"]) == code
        assert json.loads(capsys.readouterr().out)["accepted"] is accepted


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = installed()
    assert program is not None
    with Browser(program, tmp_path_factory.mktemp("profile")) as found:
        yield found


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_plays_the_page(browser: Browser, folder: Path, tmp_path: Path, scheme: str) -> None:
    browser.open(folder / "first/page.html", 1200, 900, scheme)
    browser.wait("document.body.dataset.ready === 'yes'")
    browser.value("document.querySelector('.controls input').value = 11;"
                  "document.querySelector('.controls input').dispatchEvent(new Event('input'))")  # fmt: skip
    frames = "[...document.querySelectorAll('canvas')].map((one) => one.dataset.frame)"
    browser.wait(f"{frames}.every((frame) => frame === '11')")
    assert len(browser.value(frames)) == 2 * (len(NAMES) + 1)
    pixel = "[...document.querySelectorAll('canvas')[{}].getContext('2d').getImageData({}, 24, 1, 1).data]"
    red, grey = browser.value(pixel.format(0, 30)), browser.value(pixel.format(1, 30))
    assert red[0] > 180 and max(grey[:3]) < 80, "the true square has come farther than the dreamed one"
    browser.press(" ")
    browser.wait(f"{frames}[0] !== '11'")
    browser.press("ArrowLeft")
    browser.wait("document.querySelector('.controls button').textContent === 'Play'")
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    shade = sum(int(part) for part in re.findall(r"\d+", paper)[:3]) / 3
    assert shade > 200 if scheme == "light" else shade < 60
    assert browser.value("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    browser.screenshot(tmp_path / "page.png")
    assert len(np.unique(np.asarray(Image.open(tmp_path / "page.png").convert("L")))) > 20
    outside = [url for url in browser.requests if not url.startswith(("file:", "data:", "blob:", "about:"))]
    assert not outside and not browser.complaints


@needs_browser
def test_the_readme_gets_a_small_picture(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "picture.png"
    assert picture.main([str(folder / "first/page.html"), str(out), "--tick", "9"]) == 0
    with Image.open(out) as shown:
        assert shown.size == picture.WINDOW and out.stat().st_size < picture.MOST_BYTES


def test_a_picture_of_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert picture.main([str(tmp_path / "nothing.html"), str(tmp_path / "out.png")]) == 2
    assert capsys.readouterr().err.startswith("reverie: ")


@needs_browser
def test_the_blind_test_is_answered_with_two_keys(browser: Browser, folder: Path) -> None:
    for page, expected in ((folder / "first/blind.html", "real"), (folder / "blind.html", "second")):
        browser.open(page, 1000, 800)
        test = browser.value("JSON.parse(document.getElementById('test').textContent)")
        assert test["counted"] == expected and len(test["pairs"]) == len(NAMES) + 1
        wrong = 2
        for number, pair in enumerate(test["pairs"]):
            browser.wait(f"document.body.dataset.asked === '{number}'")
            side = pair["sides"].index(expected)
            side = 1 - side if number < wrong else side
            browser.press((("ArrowLeft", "f"), ("ArrowRight", "j"))[side][number % 2])
        browser.wait("document.body.dataset.done === 'yes'")
        got = json.loads(browser.value("document.querySelector('.result pre').textContent"))
        assert got["trials"] == 7 and got["hits"] == 5 and got["share"] == pytest.approx(5 / 7, abs=1e-4)
        assert got["interval"] == pytest.approx([0.2904, 0.9633], abs=2e-4), "Clopper and Pearson, 5 of 7"
        assert [one["hit"] for one in got["answers"]] == [False, False, *[True] * 5]
        browser.press("f")
        assert browser.value("document.querySelector('.stage').hidden") is True
    assert not browser.complaints
