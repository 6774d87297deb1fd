"""SIGTERM as a request to stop cleanly: whoever trains leaves a checkpoint behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_asked = threading.Event()
_uses = 0


@contextmanager
def stop_on_request() -> Iterator[threading.Event]:
    """An event that SIGTERM sets. Nested uses share it; outside of the main thread nothing sets it."""
    global _uses
    if threading.current_thread() is not threading.main_thread():
        yield threading.Event()
        return
    _uses += 1
    before = signal.signal(signal.SIGTERM, lambda number, frame: _asked.set())
    try:
        yield _asked
    finally:
        signal.signal(signal.SIGTERM, before)
        _uses -= 1
        if not _uses:
            _asked.clear()
