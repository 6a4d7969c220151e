# ruff: noqa: S104  (addresses are what this is about)
from pathlib import Path

import pytest
from pydantic import ValidationError

from server.__main__ import read_settings
from server.settings import Settings


def test_defaults_are_local_and_bounded() -> None:
    settings = Settings()
    assert settings.loopback
    assert (settings.port, settings.queue_size, settings.token) == (8000, 32, None)


def test_variables_set_every_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {
        "HOST": "0.0.0.0",
        "PORT": "9000",
        "OUTPUT": str(tmp_path),
        "MODELS_DIR": str(tmp_path / "models"),
        "VARIANT": "binary",
        "KEEP_ALIVE": "2.5",
        "MEMORY_LIMIT": "6GB",
        "TOKEN": "a long secret of 16",
        "QUEUE_SIZE": "4",
        "PREVIEW": "false",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"BONSAI_{name}", value)
    settings = Settings()
    assert settings.host == "0.0.0.0"
    assert settings.output == tmp_path
    assert settings.models_dir == tmp_path / "models"
    assert (settings.port, settings.variant, settings.keep_alive) == (9000, "binary", 2.5)
    assert (settings.memory_limit, settings.token, settings.queue_size) == (6 * 10**9, "a long secret of 16", 4)
    assert settings.preview is False
    assert not settings.loopback


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("host.docker.internal", ("host.docker.internal",)),
        ("Studio.local., [fe80::1], fe80::2,", ("studio.local", "[fe80::1]", "[fe80::2]")),
    ],
)
def test_names_of_the_server_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, text: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("BONSAI_ALLOWED_HOST", text)
    assert Settings().allowed_host == names
    assert Settings(allowed_host=("a.local",)).allowed_host == ("a.local",)


@pytest.mark.parametrize(
    ("text", "count"), [("6GB", 6 * 10**9), ("5.5 GiB", int(5.5 * 2**30)), ("800mb", 8 * 10**8), (7 * 10**8, 7 * 10**8)]
)
def test_sizes_may_have_units(text: object, count: int) -> None:
    assert Settings(memory_limit=text).memory_limit == count


@pytest.mark.parametrize(
    "options",
    [
        {"port": 70_000},
        {"port": "http"},
        {"variant": "quaternary"},
        {"memory_limit": "a lot"},
        {"memory_limit": "1MB"},
        {"queue_size": 0},
        {"keep_alive": -1},
        {"memory_idle_s": 10},
        {"token": "fifteen letters"},
        {"allowed_host": ("studio.local:8000",)},
    ],
)
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**options)


def test_an_empty_token_is_none() -> None:
    assert Settings(token="").token is None


def test_folders_may_begin_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell replaces `~` in a variable, nor in `--output=~/pictures`."""
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("BONSAI_OUTPUT", "~/pictures")
    settings = Settings(models_dir=Path("~/models"))
    assert settings.output == Path("/home/ada/pictures")
    assert settings.models_dir == Path("/home/ada/models")


@pytest.mark.parametrize("value", ["", "  ", "\n"])
@pytest.mark.parametrize("name", Settings.model_fields)
def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Files of docker compose write `BONSAI_OUTPUT=`, which made the current folder the gallery."""
    monkeypatch.setenv(f"BONSAI_{name.upper()}", value)
    assert Settings() == Settings.model_construct()


def test_blanks_around_a_value_mean_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {"HOST": "127.0.0.1", "PORT": "8123", "OUTPUT": str(tmp_path), "TOKEN": "0123456789abcdef", "PREVIEW": "no"}
    for name, value in given.items():
        monkeypatch.setenv(f"BONSAI_{name}", f" {value}\r\n")
    settings = Settings()
    assert (settings.port, settings.output, settings.token) == (8123, tmp_path, given["TOKEN"])
    assert not settings.preview
    assert Settings(token="0123456789abcdef\n").token == given["TOKEN"]  # noqa: S106


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("port", "70000", "--port: port has to be at most 65535, not"),
        ("port", "x", '--port: port has to be a whole number, not "x".'),
        ("keep_alive", -1, "--keep-alive: keep_alive has to be at least 0, not -1."),
        ("variant", "full", "--variant: variant has to be 'ternary' or 'binary', not"),
        ("token", "short", "--token: token has to have at least 16 characters."),
    ],
)
def test_a_bad_option_is_told_in_our_words(
    name: str, value: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_settings({name: value})
    line = capsys.readouterr().err
    assert words in line
    assert "should" not in line
