"""Training in the background gives way to everything else."""

import os
import subprocess
import sys

import pytest


@pytest.mark.skipif(not hasattr(os, "nice"), reason="no niceness on this system")
def test_training_in_the_background_gives_way():
    code = "import os\nfrom reverie.model.cores import give_way\ngive_way()\nprint(os.nice(0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 19
