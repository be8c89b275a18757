import platform
import subprocess
import sys

import pytest

from onephoto.backbone import memory

FAULTS = """
# Rounds of 120 MB: what is free in the end is more than glibc keeps by itself, each buffer less than it maps by itself.
import resource, sys
import numpy as np
from onephoto.backbone.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def a_round():
    return [np.ones(30 * 2**20, np.uint8) for _ in range(4)]
a_round()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    a_round()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_freed_buffers_are_taken_again_without_asking_the_system() -> None:
    assert faults("kept") < 0.1 * faults("as it is")


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not memory.keep_freed_memory()
