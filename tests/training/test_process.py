"""Memory that a training frees stays with the process."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
FAULTS_OF_TEN_ARRAYS = """
import resource, sys
if "settled" in sys.argv:
    from training import process
    process.settle()
import torch
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
held = [torch.ones(1 << 22) for _ in range(4)]  # 16 MiB each
del held
before = faults()
for _ in range(10):
    torch.ones(1 << 22)
print(faults() - before)
"""


def _faults(*arguments: str) -> int:
    command = [sys.executable, "-c", FAULTS_OF_TEN_ARRAYS, *arguments]
    return int(subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc gives every large array back to the system")
def test_arrays_freed_are_taken_again() -> None:
    assert 10 * _faults("settled") < _faults()  # a huge page may have been split, which is 512 faults
