"""The tables of `docs/JUDGE.md`, written by the judge itself.

python -m reverie.demos.judge_doc                # the list of keys
python -m reverie.demos.judge_doc --examine      # also the table of corruptions (some minutes)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reverie.demos.card import into_readme
from reverie.model.errors import ReverieError
from reverie.model.startup import TORCH, require
from reverie.simulator.judge.keys import KEYS, Aim

PAGE = Path("docs/JUDGE.md")
KEYS_BEGIN, KEYS_END = "<!-- keys -->", "<!-- /keys -->"
TABLE_BEGIN, TABLE_END = "<!-- corruptions -->", "<!-- /corruptions -->"
AIMS: dict[Aim, str] = {"high": "higher", "low": "lower", "one": "nearer to 1"}
CLIPS = 8


def glossary() -> list[str]:
    """All keys with their meanings, as a Markdown table."""
    rows = [f"| `{key.name}` | {key.meaning} | {key.unit} | {AIMS[key.aim]} |" for key in KEYS]
    return ["| key | what it is | unit | better |", "|---|---|---|---|", *rows]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fills the tables in. Exit code 1 where the judge misses a corruption."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--examine", action="store_true", help="let the judge judge corrupted truths")
    options = parser.parse_args(arguments)
    try:
        if options.examine:
            require("train", "--examine", TORCH)
        into_readme(options.page, "\n".join(glossary()), KEYS_BEGIN, KEYS_END)
        if not options.examine:
            return 0
        from reverie.simulator.judge.corruptions import examined

        table = examined(CLIPS)
        into_readme(options.page, "\n".join(table.markdown()), TABLE_BEGIN, TABLE_END)
    except (ReverieError, OSError) as error:
        print(f"reverie: {error}", file=sys.stderr)
        return 2
    return 1 if table.missed() else 0


if __name__ == "__main__":
    sys.exit(main())
