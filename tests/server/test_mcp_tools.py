"""What an assistant is told of wrong arguments, and which files of this machine it may name."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from server.assistants.files import MAX_BYTES, RefusedFileError, read_picture
from tests.server.conftest import LiveServer

PHOTO = Image.effect_noise((96, 80), 90).convert("RGB")
Call = Callable[..., tuple[bool, str]]


@pytest.fixture
def connect() -> Callable[..., Any]:
    """Connects to our tools. Imported where it is asked for: the package takes a second."""
    mcp = pytest.importorskip("mcp", reason="needs the mcp extra")
    from server.mcp import build

    return lambda *arguments: mcp.Client(build(*arguments))


@pytest.fixture
def call(connect: Callable[..., Any], shared: LiveServer, tmp_path: Path) -> Call:
    """Calls a tool; gives whether that is an error, and the last of its texts."""

    def called(tool: str, *, url: str = shared.url, **arguments: Any) -> tuple[bool, str]:
        async def talk() -> Any:
            async with connect(url, None, [tmp_path]) as client:
                return await client.call_tool(tool, arguments)

        answer = asyncio.run(talk())
        return answer.is_error, answer.content[-1].text

    return called


WRONG = [
    ("generate_image", {}, "The prompt is missing. Describe the picture in a few words."),
    ("generate_image", {"prompt": ""}, "The prompt is empty. Describe the picture in a few words."),
    (
        "generate_image",
        {"prompt": "a", "seed": -1},
        "seed has to be at least 0, not -1. Leave it out for a random",
    ),
    (
        "generate_image",
        {"prompt": "a", "seed": "x"},
        'seed has to be a whole number, not "x". Leave it out',
    ),
    ("generate_image", {"prompt": "a", "steps": 1.5}, "steps has to be a whole number, not 1.5."),
    ("generate_image", {"prompt": "a", "width": 100}, "width 100 is not a multiple of 16; 96 and 112 are."),
    (
        "generate_image",
        {"prompt": "a", "width": 5, "height": 9999},
        "width has to be at least 64, not 5. height has",
    ),
    (
        "generate_image",
        {"prompt": "a", "num_inference_steps": 4},
        "no argument 'num_inference_steps'. Did you mean steps?",
    ),
    ("generate_image", {"prompt": "a", "sede": 4}, "generate_image has no argument 'sede'. Did you mean seed?"),
    ("generate_image", {"prompt": "a", "sampler": "x"}, "no argument 'sampler'. There is one sampler: leave it out."),
    ("generate_image", {"prompt": "a", "zzz": 4}, "There are prompt, seed, steps, width, height, model."),
    ("generate_image", {"prompt": "a", "model": "gpt"}, "There is no model called"),
    ("list_models", {"all": True}, "list_models has no argument 'all'. It takes none."),
    ("get_image", {"id": "f" * 32}, "There is no such image"),
    ("get_image", {"id": "../x"}, "id has to be 32 hexadecimal digits."),
    ("edit_image", {"id": "f" * 32, "prompt": "a"}, "id: There is no such picture."),
    ("edit_image", {"prompt": "a"}, "Give either the id of a picture, or the path of a file, and not both."),
    ("edit_image", {"prompt": "a", "id": "f" * 32, "path": "/x.png"}, "and not both."),
    ("edit_image", {"prompt": "a", "id": "f" * 32, "strength": 2}, "strength has to be at most 1, not 2."),
    ("extend_image", {"id": "f" * 32, "prompt": "a", "left": -1}, "left has to be at least 0, not -1."),
]


@pytest.mark.parametrize(("tool", "arguments", "told"), WRONG)
def test_what_is_wrong_is_told_by_its_argument(call: Call, tool: str, arguments: dict[str, Any], told: str) -> None:
    is_error, text = call(tool, **arguments)
    assert is_error
    assert told in text
    for word in ("pydantic", "validation error", "Error executing", "input_value", "https://"):
        assert word not in text


def test_tools_say_that_they_take_nothing_else(connect: Callable[..., Any], shared: LiveServer) -> None:
    async def listed() -> Any:
        async with connect(shared.url, None) as client:
            return (await client.list_tools()).tools

    for tool in asyncio.run(listed()):
        assert tool.input_schema["additionalProperties"] is False


def test_a_file_of_this_machine_is_changed_and_extended(call: Call, shared: LiveServer, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    clear = PHOTO.convert("RGBA")
    clear.putalpha(128)
    clear.save(path)
    for tool, more in (
        ("edit_image", {}),
        ("edit_image", {"strength": 0.5}),
        ("extend_image", {"left": 16}),
    ):
        is_error, text = call(tool, path=str(path), prompt="a fox", **more)
        assert not is_error, text
        assert '"notes"' in text
        assert "its transparent parts are laid on white" in text
    job = shared.client.get("/jobs?limit=1").json()["jobs"][0]
    taken = Image.open(io.BytesIO(shared.client.get(f"/inputs/{job['request']['init']}").content))
    assert taken.size == PHOTO.size


def test_files_are_not_sent_to_another_machine(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.mcp.Bonsai._answers", lambda *_: asyncio.sleep(0, True))
    PHOTO.save(tmp_path / "photo.png")
    is_error, text = call("edit_image", url="http://192.0.2.1:8000", path=str(tmp_path / "photo.png"), prompt="a fox")
    assert is_error
    assert "files of this machine are not sent to http://192.0.2.1:8000" in text


def test_what_is_no_picture_is_refused_without_a_word_of_it(call: Call, tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("secret")
    is_error, text = call("edit_image", path=str(tmp_path / "keys.txt"), prompt="a fox")
    assert is_error
    assert text.startswith("path: The picture cannot be used: it is no PNG, JPEG, WebP or AVIF picture.")
    assert "secret" not in text


def test_only_what_lies_in_the_folders_and_is_not_hidden_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    for folder in (home / "Pictures", home / ".ssh", home / "Library", other):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(b"a picture")
    (home / "Pictures" / ".hidden.png").write_bytes(b"a picture")
    (home / "Pictures" / "link.png").symlink_to(home / ".ssh" / "a.png")
    (home / "Pictures" / "inner.png").symlink_to(home / "Pictures" / "a.png")
    (home / "Pictures" / "loop.png").symlink_to(home / "Pictures" / "loop.png")
    os.mkfifo(home / "Pictures" / "pipe.png")
    with (home / "Pictures" / "large.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    monkeypatch.setenv("HOME", str(home))
    assert read_picture(str(home / "Pictures" / "a.png"), [home]) == b"a picture"
    assert read_picture("~/Pictures/a.png", [home]) == b"a picture"
    assert read_picture(str(home / "Pictures" / "inner.png"), [home]) == b"a picture"
    assert read_picture(str(other / "a.png"), [home, other]) == b"a picture"
    assert read_picture(str(home / "Library" / "a.png"), [home]) == b"a picture"
    outside = "only pictures in"
    for given, told in (
        ("Pictures/a.png", "has to be a full one"),
        ("", "has to be a full one"),
        (str(other / "a.png"), outside),
        (str(other / "nowhere.png"), outside),  # nor whether there is one
        (str(home / "Pictures" / ".." / ".." / "other" / "a.png"), outside),
        (str(home / ".ssh" / "a.png"), outside),
        (str(home / "Pictures" / ".hidden.png"), outside),
        (str(home / "Pictures" / "link.png"), outside),
        (str(home / "Pictures" / "gone.png"), "there is no such file"),
        (str(home / "Pictures" / "pipe.png"), "path: "),
        (str(home / "Pictures"), "path: "),
        (str(home / "Pictures" / "large.png"), "larger than 64 MiB"),
        (str(home / "Pictures" / "loop.png"), "path"),
        ("/\0", "no path of a file"),
        ("~nobody-of-that-name/a.png", "path"),
    ):
        with pytest.raises(RefusedFileError, match="path") as refused:
            read_picture(given, [home])
        assert told in str(refused.value), given
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(RefusedFileError, match=outside):
        read_picture(str(home / "Library" / "a.png"), [home])
