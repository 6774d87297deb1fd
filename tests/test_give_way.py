"""Training in the background gives way to everything else."""

import os
import subprocess
import sys
import threading

import pytest

from reverie.model.cores import BACKGROUND_NICE, let_others_first


@pytest.mark.skipif(not hasattr(os, "nice"), reason="no niceness on this system")
def test_training_in_the_background_gives_way():
    code = "import os\nfrom reverie.model.cores import give_way\ngive_way()\nprint(os.nice(0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 19


def test_a_thread_lets_others_first_and_changes_nobody_else() -> None:
    found: list[int] = []

    def work() -> None:
        let_others_first()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if sys.platform == "linux":
        assert found == [max(before, BACKGROUND_NICE)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
