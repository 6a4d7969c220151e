"""The environment as people have it: every odd value works, or is one sentence that names the variable."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bonsai_mlx.errors import DownloadError
from bonsai_mlx.runtime import environment
from tests.cli.conftest import NARROW
from tests.fake_hub import fake_hub
from tests.socks import SocksProxy

ROOT = Path(__file__).parents[2]
NETWORK = [
    *(f"{kind}_proxy" for kind in ("http", "https", "all", "no")),
    *(f"{kind}_PROXY" for kind in ("HTTP", "HTTPS", "ALL", "NO")),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    *("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT", "REQUESTS_CA_BUNDLE", "XDG_CACHE_HOME", "HF_HUB_OFFLINE"),
]
FINE = [
    ("ALL_PROXY", "socks5://127.0.0.1:7891"),
    ("ALL_PROXY", " socks5h://user:secret@127.0.0.1:7891\n"),
    ("all_proxy", "127.0.0.1:7890"),
    ("HTTP_PROXY", "http://proxy.example:3128/"),
    ("https_proxy", "http://user:s%40cret@[::1]:8080"),
    ("HTTPS_PROXY", "https://proxy.example"),
    ("HTTPS_PROXY", ""),
    ("https_proxy", "  "),
    ("NO_PROXY", "localhost,127.0.0.1,::1,.local,*.corp,10.0.0.0/8,fe80::/10,[::1"),
    ("HF_ENDPOINT", ""),
    ("HF_ENDPOINT", " https://hub.example/ \n"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", ""),
    ("HF_HUB_DOWNLOAD_TIMEOUT", " 30 "),
    ("HF_HUB_ETAG_TIMEOUT", "5"),
    ("HF_TOKEN", "hf_abc\n"),
    ("HF_TOKEN", ""),
    ("SSL_CERT_FILE", ""),
    ("REQUESTS_CA_BUNDLE", "/nonexistent"),  # the client does not read it
    ("XDG_CACHE_HOME", " "),
]
BAD = [
    ("ALL_PROXY", "socks://127.0.0.1:7891/", "ALL_PROXY=socks://127.0.0.1:7891/ is no proxy that can be used"),
    ("all_proxy", "socks4://127.0.0.1:1", "all_proxy=socks4://127.0.0.1:1 is no proxy"),
    ("HTTP_PROXY", "ftp://user:secret@x:1/p", "HTTP_PROXY=ftp://***@x:1/p is no proxy"),
    ("https_proxy", "user:secret@host:99999", "https_proxy=***@host:99999 is no proxy"),
    ("HTTPS_PROXY", "http://", "HTTPS_PROXY=http:// is no proxy"),
    ("HTTPS_PROXY", ":::", "HTTPS_PROXY=::: is no proxy"),
    ("HTTPS_PROXY", "http://[::1", r"HTTPS_PROXY=http://[::1 is no proxy"),
    ("SSL_CERT_FILE", "/nonexistent/cacert.pem", "SSL_CERT_FILE=/nonexistent/cacert.pem: No such file or directory"),
    ("SSL_CERT_FILE", "/etc/passwd", "SSL_CERT_FILE=/etc/passwd: it holds no certificate"),
    ("SSL_CERT_FILE", "/etc", "SSL_CERT_FILE=/etc: "),
    ("SSL_CERT_DIR", "/nonexistent", "SSL_CERT_DIR=/nonexistent: there is no such folder"),
    ("HF_ENDPOINT", "huggingface.co", "HF_ENDPOINT=huggingface.co: no address of a Hub"),
    ("HF_ENDPOINT", "http://[::1", "HF_ENDPOINT=http://[::1: no address"),
    ("HF_ENDPOINT", "https://me:secret@", "HF_ENDPOINT=https://***@: no address"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", "abc", "HF_HUB_DOWNLOAD_TIMEOUT=abc: no number of seconds"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", "-3", "HF_HUB_DOWNLOAD_TIMEOUT=-3: no number"),
    ("HF_HUB_ETAG_TIMEOUT", "1.5 s", "HF_HUB_ETAG_TIMEOUT=1.5 s: no number"),
    ("HF_TOKEN", "hf_a b", "HF_TOKEN: the token has a blank"),
    ("HF_TOKEN", "größe", "HF_TOKEN: the token has"),
    ("HF_HOME", "/dev/null/x", "HF_HOME=/dev/null/x: /dev/null is no folder"),
]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variable of the network is set."""
    for name in NETWORK:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(("name", "value"), FINE)
def test_what_works_passes(bare: pytest.MonkeyPatch, name: str, value: str) -> None:
    bare.setenv(name, value)
    environment.check_network()


@pytest.mark.parametrize(("name", "value", "sentence"), BAD)
def test_what_cannot_be_used_is_one_sentence(bare: pytest.MonkeyPatch, name: str, value: str, sentence: str) -> None:
    from huggingface_hub import constants

    bare.setenv(name, value)
    if name == "HF_HOME":  # is read when the process starts
        bare.setattr(constants, "HF_HUB_CACHE", f"{value}/hub")
    with pytest.raises(DownloadError) as caught:
        environment.check_network()
    assert str(caught.value).startswith(sentence)
    assert "secret" not in str(caught.value)


def test_where_no_proxy_is_to_be_used_none_is_looked_at(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("ALL_PROXY", "socks://x")
    bare.setenv("NO_PROXY", "a,*")
    environment.check_network()


def run(*words: str, **variables: str | None) -> subprocess.CompletedProcess[str]:
    """A command of ours, as people start it, with these variables; None: not set."""
    inherited = {name: value for name, value in os.environ.items() if name not in (*NETWORK, *variables)}
    given = {name: value for name, value in variables.items() if value is not None}
    command = [sys.executable, "-m", "bonsai_mlx", *words]
    environment = inherited | {"PYTHONPATH": str(ROOT), "BONSAI_BLAS": "none"} | given
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


# One of each name: `check_network` itself has seen all of them above.
FIRST_OF_EACH_NAME = [*{case[0]: case for case in reversed(BAD) if case[0].startswith("HF_")}.values()]


@pytest.mark.parametrize(("name", "value", "sentence"), FIRST_OF_EACH_NAME)
def test_the_first_words_of_a_download(tmp_path: Path, name: str, value: str, sentence: str) -> None:
    """In a process of its own: some libraries read these when they are imported."""
    variables = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"} | {name: value}
    done = run("download", "ternary", **variables)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> str:
    """Quick to draw with: what is looked at is how a process bears its surroundings."""
    return str(tiny_checkpoint(**NARROW))


@pytest.mark.slow
def test_drawing_needs_none_of_it(tmp_path: Path) -> None:
    """All of them wrong at once; and without a home, a place for temporary files, a terminal or a language."""
    bad = {name: value for name, value, _ in BAD if name != "HF_HOME"}
    odd = {"HOME": "/nonexistent", "TMPDIR": "/nonexistent", "TERM": "dumb", "COLUMNS": "0", "NO_COLOR": "1"}
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONOPTIMIZE": "2"}
    blank = {"BONSAI_OUTPUT": "", "BONSAI_CACHE": " ", "XDG_CACHE_HOME": "", "HF_HOME": "", "MLX_CONV_WINOGRAD": ""}
    place = tmp_path / "größe.png"
    done = run(
        "generate",
        "ein Fuchs, größer",
        "--model",
        "seedling",
        "--steps",
        "1",
        "--size",
        "64x64",
        "-o",
        str(place),
        **bad,
        **odd,
        **locale,
        **blank,
    )
    assert done.returncode == 0, done.stderr
    assert place.read_bytes()[:4] == b"\x89PNG"
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_drawing_loads_no_library_for_the_network(tmp_path: Path, model: str) -> None:
    code = (
        "import sys; from bonsai_mlx.cli import main as cli; path, model = sys.argv[1:];"
        "cli.main(['generate', 'a fox', '--model', model, '--steps', '1', '--size', '64x64', '-o', path]);"
        "assert not {'httpx', 'httpx2', 'requests', 'ssl', 'huggingface_hub'} & set(sys.modules), sorted(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.png"), model]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_are_no_reason_not_to_draw(tmp_path: Path, model: str, closed: str) -> None:
    place = tmp_path / "a.png"
    line = f'exec "$@" {closed}'
    words = ["generate", "a fox", "--model", model, "--steps", "1", "--size", "64x64", "-o", str(place)]
    command = [sys.executable, "-m", "bonsai_mlx", *words]
    shell = shutil.which("sh") or "/bin/sh"
    done = subprocess.run([shell, "-c", line, "sh", *command], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 0
    assert place.read_bytes()[:4] == b"\x89PNG"


def test_the_package_runs() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("bonsai-mlx ")


def test_a_folder_that_was_deleted_is_no_traceback(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from bonsai_mlx.cli.main import main; sys.exit(main(['models']))"
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=gone, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "seedling" in done.stdout


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    for name in ("BONSAI_CACHE", "HF_HOME", "HF_TOKEN", "XDG_CACHE_HOME", "BONSAI_OUTPUT"):
        monkeypatch.setenv(name, value)
        assert environment.text(name) is None
    environment.tidy()
    assert not {"BONSAI_CACHE", "HF_HOME", "HF_TOKEN", "XDG_CACHE_HOME", "BONSAI_OUTPUT"} & set(os.environ)


def test_blanks_around_a_value_mean_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_x\r\n")
    monkeypatch.setenv("PYTHONWARNINGS", " error ")  # not ours
    environment.tidy()
    assert os.environ["HF_TOKEN"] == "hf_x"  # noqa: S105
    assert os.environ["PYTHONWARNINGS"] == " error "


def test_importing_changes_no_variable() -> None:
    code = (
        "import os; os.environ |= {'HF_HOME': '', 'HF_HUB_DOWNLOAD_TIMEOUT': 'abc', 'HF_ENDPOINT': 'x'};"
        "import bonsai_mlx; before = dict(os.environ);"
        "from bonsai_mlx.hub import api as hub; from bonsai_mlx.runtime import environment; hub.status('ternary');"
        "assert dict(os.environ) == before;"
        "assert environment.hub_constants().HF_HUB_DOWNLOAD_TIMEOUT == 10;"
        "assert environment.hub_constants().HF_HOME.startswith('/')"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)


@pytest.fixture
def socks() -> Iterator[SocksProxy]:
    with SocksProxy() as proxy:
        yield proxy


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_download_goes_through_a_socks_proxy(tmp_path: Path, socks: SocksProxy, scheme: str) -> None:
    from tests.hub.world import TERNARY, checkpoint_files, needed

    with fake_hub() as hub:
        hub.repos = {TERNARY: checkpoint_files(TERNARY)}
        proxy = f"{scheme}://127.0.0.1:{socks.port}"
        variables = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.endpoint, "ALL_PROXY": proxy}
        done = run("download", TERNARY, "--dir", str(tmp_path / "m"), **variables)
    assert done.returncode == 0, done.stderr
    assert socks.connections > 0
    for path, data in needed(checkpoint_files(TERNARY)).items():
        assert (tmp_path / "m" / path).read_bytes() == data


def test_a_proxy_that_is_not_there_is_named(tmp_path: Path) -> None:
    variables = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9", "ALL_PROXY": "socks5://u:p@127.0.0.1:1"}
    done = run("download", "ternary", **variables)
    assert "through the proxy ALL_PROXY=socks5://***@127.0.0.1:1;" in done.stderr


@pytest.mark.parametrize("token", [" hf_abc", "hf_abc\n", "\thf_abc \r\n"])
def test_a_copied_token_may_bring_blanks_along(
    bare: pytest.MonkeyPatch, tmp_path: Path, token: str, server_with_token: Callable[[str], str]
) -> None:
    name = server_with_token("hf_abc")
    from bonsai_mlx.hub import api as hub

    assert list(hub.download(name, tmp_path / "m", token=token))[-1].done
    with pytest.raises(DownloadError, match="--token: the token has a blank"):
        list(hub.download(name, tmp_path / "m", token="hf a"))  # noqa: S106


@pytest.fixture
def server_with_token(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    from tests.hub.world import TERNARY, hub_with_checkpoints

    with hub_with_checkpoints(tmp_path) as running:

        def ask_for(token: str) -> str:
            running.token = token
            return TERNARY

        yield ask_for
