"""`from bonsai_mlx import hub` is all that a program needs, and costs nothing until it is used."""

import subprocess
import sys
from pathlib import Path

from bonsai_mlx import hub
from bonsai_mlx.hub import api

from .world import TERNARY, FakeHub


def test_a_checkpoint_is_downloaded_found_verified_and_deleted(server: FakeHub, tmp_path: Path) -> None:
    *_, last = hub.download(TERNARY, tmp_path / "m")
    assert isinstance(last, hub.DownloadProgress)
    assert last.done
    status = hub.status(TERNARY, tmp_path / "m")
    assert isinstance(status, hub.LocalStatus)
    assert status.state == "ready"
    assert hub.find(tmp_path / "m") == tmp_path / "m"
    assert [*hub.verify(TERNARY, tmp_path / "m")][-1].done
    assert hub.delete(TERNARY, tmp_path / "m") > 0
    assert hub.delete is api.delete, "no module took the function's place"
    assert hub.status(TERNARY, tmp_path / "m").state == "absent"


def test_importing_it_loads_no_library_of_the_network() -> None:
    code = (
        "import sys; from bonsai_mlx import hub; hub.find('seedling'); hub.status('ternary'); "
        "print(sorted({'httpx2', 'requests', 'mlx'} & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_what_it_does_not_have_is_told_as_python_does() -> None:
    code = "from bonsai_mlx import hub; hub.upload"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "AttributeError: module 'bonsai_mlx.hub' has no attribute 'upload'" in done.stderr
