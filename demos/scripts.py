"""What the small studies and picture makers share: one line of JSON, or one line of what went wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from reverie.model.errors import ReverieError


def answered(work: Callable[[], dict[str, Any] | None]) -> int:
    """Prints what `work` returns, if anything, as JSON. The exit code: 2 after a ReverieError on standard error."""
    try:
        found = work()
    except ReverieError as error:
        print(f"reverie: {error}", file=sys.stderr)
        return 2
    if found is not None:
        print(json.dumps(found))
    return 0
