"""Memory that a training frees stays with the process."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"
LEAST_FAULTS_OF_TEN_ARRAYS = """
import resource
import torch
from seedling.model import process
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def least():
    found = []
    for _ in range(3):  # the first rounds still take what they keep
        before = faults()
        for _ in range(10):
            torch.ones(9 << 20)  # 36 MiB: by itself glibc learns to keep arrays of up to 32 MiB
        found.append(faults() - before)
    return min(found)
before = least()
process.settle()
print(before, least())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc gives every large array back to the system")
def test_arrays_freed_are_taken_again() -> None:
    command = [sys.executable, "-c", LEAST_FAULTS_OF_TEN_ARRAYS]
    found = subprocess.run(command, cwd=SCRIPTS, check=True, capture_output=True, text=True).stdout
    before, settled = map(int, found.split())
    assert settled < 100 < before
