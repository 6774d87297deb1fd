"""The model card and the README's table of results, written from measured JSON: no number is typed by hand.

    reverie evaluate --model tiny --out runs/evaluate-tiny
    reverie bench --model tiny --json | tail -n 1 > runs/bench-tiny.json
    python -m reverie.demos.card --model tiny --report runs/evaluate-tiny/report.json --bench runs/bench-tiny.json \\
        --training runs/tiny --readme README.md
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from reverie.demos.pages.figures import groups, title
from reverie.model.errors import ModelError, ReverieError
from reverie.model.weights import load_config, model_folder
from reverie.simulator.judge.evaluate import VOXEL_CLIPS

BEGIN, END = "<!-- results -->", "<!-- /results -->"


VOXEL = (
    "It dreams Reverie's voxel world, and learned from recordings of that alone; no footage of any game. MIT licence, "
    "as the code."
)
LUANTI = (
    "It dreams worlds of the voxel engine Luanti (Minetest) with Minetest Game, and learned from recorded gameplay. "
    "The footage shows textures and other media of Minetest Game, so these weights are under "
    "[CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/), share alike. Credit: **Minetest Game "
    "contributors**. The names are used for attribution alone; nobody of theirs endorses Reverie."
)


def read_json(path: Path) -> dict[str, Any]:
    """The last line of a file as a JSON object, or the whole of it. Raises ModelError."""
    try:
        text = path.read_text("utf-8").strip()
        value = json.loads(text if text.startswith("{\n") else text.splitlines()[-1])
    except (OSError, ValueError, IndexError) as error:
        raise ModelError(f"{path}: not a report ({error})") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: not a report")
    return value


def quality(report: dict[str, Any], brief: bool = False) -> list[str]:
    """The tables of figures, one for each group; `docs/JUDGE.md` says what they mean."""
    lines: list[str] = []
    for group in groups(report, brief):
        columns = [i for i in range(len(group.columns)) if any(cells[i] for _, cells in group.rows)]
        lines += ["", f"| {group.title} | {' | '.join(group.columns[i] for i in columns)} |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        lines += [f"| {title(key)} | {' | '.join(cells[i] for i in columns)} |" for key, cells in group.rows]
    return lines[1:]


def speed(bench: dict[str, Any]) -> list[str]:
    """The table of speeds."""
    lines = ["| backend | frames/s | p50 ms | p99 ms | batch: frames/s |", "|---|---|---|---|---|"]
    for name, row in bench["backends"].items():
        batches = ", ".join(f"{size}: {rate:.0f}" for size, rate in row.get("batch_fps", {}).items())
        lines.append(f"| {name} | {row['fps']:.1f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} | {batches} |")
    return lines


def is_voxel(report: dict[str, Any]) -> bool:
    """Whether the clips are of the voxel world, not recordings."""
    return report["data"] == VOXEL_CLIPS


def clips_of(report: dict[str, Any]) -> str:
    """What the figures are of."""
    if is_voxel(report):
        first, last = report["seeds"]
        return f"{report['clips']} clips of held-out worlds (seeds {first} to {last})"
    held = f", of the map seeds that a share of {report['held']:g} holds out" if report["held"] else ""
    return f"{report['clips']} windows of recordings{held}"


def summary(report: dict[str, Any], bench: dict[str, Any], brief: bool = False) -> str:
    """Quality and speed with what they were measured on."""
    machine = bench["machine"]
    return "\n".join(
        [
            f"Weights `{report['fingerprint']}`, {report['steps']} step a frame, {clips_of(report)}; "
            f"{_teacher(report)}. `docs/JUDGE.md` says what the figures mean.",
            "",
            *quality(report, brief),
            "",
            f"Speed at {bench['width']}x{bench['height']} on {machine['cores']} cores ({machine['cpu']}), "
            f"load {machine['load']} when measured:",
            "",
            *speed(bench),
            "",
            f"From command to first dreamed frame {bench['first_frame_s']:.2f} s; peak memory of `reverie play` "
            f"{bench['peak_mib']:.0f} MiB; the voxel world runs at {bench['voxel_fps']:.0f} frames/s on one core.",
        ]
    )


def _teacher(report: dict[str, Any]) -> str:
    """What stands in the teacher's column, which looks at fewer clips than the dream's."""
    if not report.get("teacher_clips"):
        return "no teacher"
    gains = [f"{report[f'teacher_lead_{ticks}']:+.2f}" for ticks in (1, 8, 32)]
    return (
        f"the {report['teacher_steps']}-step teacher on the first {report['teacher_clips']} of them, where it is "
        f"{', '.join(gains)} dB above the dream after 1, 8 and 32 ticks"
    )


def training_facts(folder: Path) -> list[str]:
    """What the logs of the phases say about how long they ran on what."""
    lines = []
    for log in sorted(folder.glob("*/log.jsonl"), key=lambda path: path.stat().st_mtime):
        records = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        frames = sum(
            after["frames_per_second"] * (after["seconds"] - before["seconds"])
            for before, after in zip([{"seconds": 0.0}, *records], records, strict=False)
        )
        last = records[-1]
        lines.append(
            f"- `{log.parent.name}`: {last['seconds'] / 60:.0f} minutes, {last['step']} steps, "
            f"about {frames / 1000:.0f} thousand frames"
        )
    return lines


def card(model: str, report: dict[str, Any], bench: dict[str, Any], training: Path | None, notes: str) -> str:
    """The model card in Markdown."""
    config = load_config(model_folder(model))
    lines = [
        f"# {model}",
        "",
        f"A distilled video diffusion model at {config.size[1]}x{config.size[0]}: one frame a tick from the player's "
        f"actions. {VOXEL if is_voxel(report) else LUANTI}",
        "",
        "## Training",
        "",
        *(training_facts(training) if training else []),
        "",
        notes.strip(),
        "",
        "## Results",
        "",
        summary(report, bench),
        "",
        "Regenerate with the commands at the head of `demos/card.py`.",
        "",
        "## Configuration",
        "",
        "```json",
        json.dumps(config.to_dict()),
        "```",
    ]
    return "\n".join(lines) + "\n"


def first_card(folder: Path, data: str, training: Path, machine: str, figures: dict[str, Any]) -> str:
    """The card that training on `data` leaves in the model's folder, with a few figures of held-out worlds."""
    known = {key: value for key, value in figures.items() if isinstance(value, float)}
    lines = [
        f"# {training.name}",
        "",
        VOXEL if data == "voxel" else f"Learned from the recordings in `{data}`, whose licence holds for it.",
        "",
        "## Training",
        "",
        f"On {machine}:",
        "",
        *training_facts(training),
        "",
        "## First results",
        "",
        f"The {figures['clips']} first held-out worlds; `docs/JUDGE.md` says what the figures mean.",
        "",
        "| figure | value |",
        "|---|---|",
        *(f"| `{key}` | {value:.2f} |" for key, value in known.items()),
        "",
        f"`reverie evaluate --model {folder}` measures everything, `python -m reverie.demos.card` makes a full card.",
        "",
        "## Configuration",
        "",
        "```json",
        json.dumps(load_config(folder).to_dict()),
        "```",
    ]
    return "\n".join(lines) + "\n"


def into_readme(readme: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Puts `text` between two markers of a file. Raises ModelError where they are missing."""
    whole = readme.read_text("utf-8")
    if begin not in whole or end not in whole:
        raise ModelError(f"{readme}: has no {begin} … {end}")
    head, rest = whole.split(begin, 1)
    readme.write_text(f"{head}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}", "utf-8")


def main() -> int:
    """Writes CARD.md into the model's folder, and the README's table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--bench", type=Path, required=True)
    parser.add_argument("--training", type=Path, help="the folder that `reverie train` wrote")
    parser.add_argument("--notes", type=Path, help="a text on how the model was trained, for the card")
    parser.add_argument("--readme", type=Path)
    options = parser.parse_args()
    try:
        report, bench = read_json(options.report), read_json(options.bench)
        notes = options.notes.read_text("utf-8") if options.notes else ""
        text = card(options.model, report, bench, options.training, notes)
        (model_folder(options.model) / "CARD.md").write_text(text, "utf-8")
        if options.readme:
            into_readme(options.readme, summary(report, bench, brief=True))
    except (ReverieError, OSError, KeyError) as error:
        print(f"reverie: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
