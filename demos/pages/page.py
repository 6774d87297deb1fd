"""`page.html`: all that `reverie evaluate` found out about one model, for a person to look at."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from reverie.demos.pages import media
from reverie.demos.pages.charts import Line, line_chart
from reverie.demos.pages.figures import groups, number, title
from reverie.simulator.judge.keys import BASELINES, DECIDING, find
from reverie.simulator.judge.metrics import PSNR_CAP

CURVES = (("psnr", "dream", "dream"), ("copy_psnr", "copy last frame", "copy"), ("teacher_psnr", "teacher", "teacher"),
          ("shuffled_psnr", "other actions", "shuffled"))  # fmt: skip
"""Of curves.json, with their labels and styles."""
SHORT = {"true": "truth", "copy": "copied", "teacher": "teacher"}
"""Baselines in few letters."""
SHEETS = (
    ("sheet.png", "The most eventful clips: truth above, dream below"),
    ("probes.png", "Physics probes: truth above, dream below"),
    ("edits.png", "Edits: before, the edit, the dream one second on, the edited truth, the truth without"),
)


def page(folder: Path) -> str:
    """The whole page of a report's folder. Raises ReverieError."""
    report, curves = media.read_json(folder / "report.json"), media.read_json(folder / "curves.json")
    films = media.films(folder)
    played = [i for i, film in enumerate(films) if film["kind"] == "played"]
    probes = [i for i, film in enumerate(films) if film["kind"] == "probe"]
    last = max((len(film["ticks"]) - 1 for film in films), default=0)
    body = [
        _header(report),
        _tiles(report),
        "<h2>True and dreamed, side by side</h2>",
        '<p class="note">Held-out worlds. Both start from the same true frames and get the same actions; the dream '
        "never sees the truth again.</p>",
        f'<div class="controls card"><button type="button">Pause</button><input type="range" min="0" max="{last}" '
        'value="0" aria-label="tick"><output>0.00 s</output></div>',
        f'<div class="films">{"".join(_film(films[i], i) for i in played)}</div>',
        "<h2>How fast it drifts away</h2>",
        '<p class="note">Mean over all clips. The gap between the dream and the one with other actions is what the '
        "player's keys are worth.</p>",
        _charts(curves),
    ]
    if probes:
        body += [
            "<h2>Physics probes</h2>",
            '<p class="note">Scenes built to show one law each. The number is how much nearer, in dB, the dream is to '
            "the truth than to an otherwise equal world without that law: above zero, the law holds.</p>",
            f'<div class="films">{"".join(_film(films[i], i, report) for i in probes)}</div>',
        ]
    body += ["<h2>All figures</h2>", _tables(report), _sheets(folder)]
    return document(f"{_name(report)} · Reverie", "".join(body), ("films.js", "page.js"), {"films": films})


def document(heading: str, body: str, scripts: tuple[str, ...], data: dict[str, Any], kind: str = "") -> str:
    """A page that needs nothing but itself: style, scripts, and `data` by element id."""
    stored = "".join(
        f'<script type="application/json" id="{name}">{media.script_json(value)}</script>'
        for name, value in data.items()
    )
    code = "".join(f"<script>{media.resource(name)}</script>" for name in scripts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(heading)}</title><style>{media.resource('style.css')}</style></head>"
        f'<body><main class="{kind}">{body}</main>{stored}{code}</body></html>\n'
    )


def _name(report: dict[str, Any]) -> str:
    return Path(str(report.get("model", "model"))).name


def _header(report: dict[str, Any]) -> str:
    seeds = report.get("seeds") or ["?", "?"]
    steps = report.get("steps", 1)
    return (
        f"<header><h1>How well does {escape(_name(report))} dream?</h1><p>Weights "
        f"<code>{escape(str(report.get('fingerprint', '')))}</code>, {steps} step{'s' if steps != 1 else ''} a frame "
        f"on {escape(str(report.get('backend', '')))}. {report.get('clips', 0)} clips of "
        f"{escape(str(report.get('data', '')))}, seeds {seeds[0]} to {seeds[1]}"
        f"{'; a quick look' if report.get('quick') else ''}.</p></header>"
    )


def _tiles(report: dict[str, Any]) -> str:
    tiles = []
    for name in DECIDING:
        if report.get(name) is None:
            continue
        key = find(name)
        beside = [
            f'<div class="beside"><span>{escape(words)}</span>'
            f"<span>{number(key, report[f'{prefix}_{name}'])}</span></div>"
            for prefix, words in SHORT.items()
            if report.get(f"{prefix}_{name}") not in (None, PSNR_CAP)
        ]
        tiles.append(
            f'<div class="tile card" title="{escape(key.meaning)}"><div class="what">{escape(key.title)}</div>'
            f'<div class="value">{number(key, report[name])} <small>{escape(key.unit)}</small></div>'
            f"{''.join(beside)}</div>"
        )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _film(film: dict[str, Any], index: int, report: dict[str, Any] | None = None) -> str:
    sides = "".join(
        f'<figure><canvas data-side="{side}" width="{film["width"]}" height="{film["height"]}"></canvas>'
        f"<figcaption>{words}</figcaption></figure>"
        for side, words in (("true", "truth"), ("dream", "dream"))
    )
    heading = film["label"] if report is None else find(f"probe_{film['name']}").title
    return (
        f'<article class="film card" data-film="{index}"><div class="pair">{sides}</div>'
        f'<div class="about"><b>{escape(heading)}</b><span class="keys"></span></div>'
        f"{'' if report is None else _law(film['name'], report)}</article>"
    )


def _law(name: str, report: dict[str, Any]) -> str:
    key = find(f"probe_{name}")
    value, interval = report.get(key.name), report.get(f"{key.name}_ci")
    if value is None or not interval:
        return ""
    verdict = ("pass", "holds") if interval[0] > 0 else ("fail", "fails") if interval[1] < 0 else ("", "undecided")
    beside = ", ".join(
        f"{words} {number(key, report[f'{prefix}_{key.name}'])}"
        for prefix, words in BASELINES.items()
        if report.get(f"{prefix}_{key.name}") is not None
    )
    return (
        f'<p class="law"><span class="{verdict[0]}">{verdict[1]}</span> <b>{value:+.1f} dB</b> '
        f"({interval[0]:+.1f} to {interval[1]:+.1f}; {escape(beside)})<br>{escape(key.meaning)}</p>"
    )


def _charts(curves: dict[str, Any]) -> str:
    charts = []
    if curves.get("ticks"):
        lines = [Line(label, style, curves["ticks"], curves[name]) for name, label, style in CURVES if curves.get(name)]
        charts.append(("PSNR to the truth, dB", line_chart(lines, "ticks (20 a second)", "PSNR, dB")))
    if curves.get("idle_ticks"):
        lines = [Line("dream", "dream", curves["idle_ticks"], curves["idle_drift"])]
        if curves.get("true_idle_drift"):
            lines.append(Line("truth", "truth", curves["idle_ticks"], curves["true_idle_drift"]))
        charts.append(("Change without any input, of 255", line_chart(lines, "ticks", "mean absolute change")))
    cards = "".join(f'<div class="card"><h3>{escape(words)}</h3>{svg}</div>' for words, svg in charts)
    return f'<div class="charts">{cards}</div>'


def _tables(report: dict[str, Any]) -> str:
    cards = []
    for group in groups(report):
        head = "".join(f"<th>{escape(column)}</th>" for column in group.columns)
        rows = "".join(
            f"<tr><td>{escape(title(key))}<small>{escape(key.meaning)}</small></td>"
            + "".join(f"<td{' class=dream' if i == 0 else ''}>{escape(cell)}</td>" for i, cell in enumerate(cells))
            + "</tr>"
            for key, cells in group.rows
        )
        cards.append(f'<div class="card"><table><tr><th>{escape(group.title)}</th>{head}</tr>{rows}</table></div>')
    return f'<div class="tables">{"".join(cards)}</div>'


def _sheets(folder: Path) -> str:
    parts = ["<h2>Contact sheets</h2>"]
    for name, words in SHEETS:
        picture = media.embedded_sheet(folder / name)
        if picture is not None:
            parts.append(
                f'<details class="card"><summary>{escape(words)}</summary><img alt="{escape(words)}" src="{picture}">'
                "</details>"
            )
    return "".join(parts) if len(parts) > 1 else ""
