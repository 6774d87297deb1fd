"""`blind.html`: a person is shown pairs of films and asked which is real, or which of two models' dreams is better.

Order and sides follow from a seed. The page adds up the answers and gives them back as JSON: {question, counted,
models, seed, trials, hits, share, interval, answers}.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from reverie.demos.pages import media
from reverie.demos.pages.page import document
from reverie.model.errors import ReverieError

SHARED = ("name", "ticks", "width", "height", "columns")


def real_or_dream(folder: Path, seed: int) -> str:
    """The page that asks which of two is real. Raises ReverieError."""
    report = media.read_json(folder / "report.json")
    pairs = [(film, {"real": film["true"], "dream": film["dream"]}) for film in media.films(folder)]
    test = {
        "question": "Which one is real?",
        "counted": "real",
        "models": [_identity(report)],
        "tells": "You found the real one",
        "verdicts": {
            "above": "You can tell them apart.",
            "even": "That could be chance.",
            "below": "You take the dream for the real one.",
        },
    }
    return _page(test, pairs, seed)


def which_is_better(first: Path, second: Path, seed: int) -> str:
    """The page that asks which of two models' dreams of the same clips is better. Raises ReverieError."""
    reports = [media.read_json(folder / "report.json") for folder in (first, second)]
    others = {(film["kind"], film["name"], film["label"]): film for film in media.films(second)}
    pairs = []
    for film in media.films(first):
        other = others.get((film["kind"], film["name"], film["label"]))
        if other is not None and other["ticks"] == film["ticks"]:
            pairs.append((film, {"first": film["dream"], "second": other["dream"]}))
    if not pairs:
        raise ReverieError(f"{first} and {second} have no clip in common; evaluate both with the same settings")
    test = {
        "question": "Which one is better?",
        "counted": "second",
        "models": [_identity(report) for report in reports],
        "tells": "You preferred the second model",
        "verdicts": {
            "above": "The second model is better.",
            "even": "That could be chance.",
            "below": "The first model is better.",
        },
    }
    return _page(test, pairs, seed)


def arranged(pairs: list[tuple[dict[str, Any], dict[str, str]]], seed: int) -> list[dict[str, Any]]:
    """Pairs in random order, each with its sides in random order."""
    rng = np.random.default_rng(seed)
    chosen = []
    for index in rng.permutation(len(pairs)):
        film, sources = pairs[index]
        sides = [list(sources)[side] for side in rng.permutation(2)]
        chosen.append(
            {name: film[name] for name in SHARED} | {"sides": sides, "films": [sources[side] for side in sides]}
        )
    return chosen


def _identity(report: dict[str, Any]) -> str:
    return f"{Path(str(report.get('model', ''))).name} {report.get('fingerprint', '')}"


def _page(test: dict[str, Any], pairs: list[tuple[dict[str, Any], dict[str, str]]], seed: int) -> str:
    sides = "".join(
        '<button type="button"><canvas width="160" height="96"></canvas>'
        f"<span><kbd>{arrow}</kbd> or <kbd>{letter}</kbd></span></button>"
        for arrow, letter in (("←", "F"), ("→", "J"))
    )
    body = (
        f"<header><div><h1>{escape(test['question'])}</h1><p class='note'>Both start from the same picture and follow "
        "the same keys. Answer with the arrow keys, or <kbd>F</kbd> and <kbd>J</kbd>.</p></div>"
        '<span id="count"></span></header><div class="bar"><i></i></div>'
        f'<div class="stage">{sides}</div>'
        '<section class="result card" hidden><div class="value"></div><p></p>'
        '<button type="button" class="main">Copy JSON</button> <button type="button">Download JSON</button> '
        '<button type="button">Again</button><pre></pre></section>'
    )
    data = {"test": {**test, "seed": seed, "pairs": arranged(pairs, seed)}}
    return document(test["question"], body, ("films.js", "blind.js"), data, kind="blind")
