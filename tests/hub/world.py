"""What the tests of downloads share: two small checkpoints, and how to make, damage and interrupt them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants

from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import listing
from bonsai_mlx.hub import transfer as hub_transfer
from bonsai_mlx.hub.entry import CheckpointFile, Entry
from bonsai_mlx.hub.progress import DownloadProgress
from bonsai_mlx.weights.layout import PACKED

from ..fake_hub import FakeHub, digest, fake_hub

ROOT = Path(__file__).parents[2]
TERNARY, BINARY = "acme/tiny-ternary", "acme/tiny-binary"
TRANSFORMER = "transformer-packed-mflux/diffusion_pytorch_model.safetensors"
TEXT_ENCODER = "text_encoder-mlx-4bit/model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
SECRET = "hf_only-for-the-hub"  # noqa: S105


def checkpoint_files(variant: str) -> dict[str, bytes]:
    """A repository in the published layout, some 600 kB of noise, most of it the same for every variant."""
    common, own = random.Random("common"), random.Random(variant)
    return {
        "README.md": b"not needed",
        "LICENSE": b"Apache",
        "model_index.json": b'{"_class_name": "Flux2KleinPipeline"}',
        "scheduler/scheduler_config.json": b'{"shift": 3.0}',
        "text_encoder-mlx-4bit/config.json": b'{"hidden_size": 64}',
        "text_encoder-mlx-4bit/tokenizer.json": common.randbytes(5_000),
        TEXT_ENCODER: common.randbytes(300_000),
        "tokenizer/tokenizer.json": common.randbytes(20_000),
        "tokenizer/merges.txt": b"a b\n",
        "tokenizer/chat_template.jinja": b"{{ messages }}",
        "transformer-packed-mflux/config.json": b'{"num_layers": 5}',
        "transformer-packed-mflux/quantization_config.json": b'{"bits": %d}' % (1 + (variant == TERNARY)),
        TRANSFORMER: own.randbytes(200_000),
        "vae/config.json": b'{"latent_channels": 32}',
        VAE: common.randbytes(80_000),
    }


@contextmanager
def hub_with_checkpoints(folder: Path) -> Iterator[FakeHub]:
    """A Hub with both variants, and this process set up to use it, with a cache in `folder`."""
    with fake_hub() as running, pytest.MonkeyPatch.context() as patch:
        running.repos = {repo: checkpoint_files(repo) for repo in (TERNARY, BINARY)}
        patch.setattr(constants, "ENDPOINT", running.endpoint)
        template = f"{running.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
        patch.setattr(constants, "HF_TOKEN_PATH", str(folder / "no-token"))
        patch.delenv("HF_TOKEN", raising=False)
        patch.setattr(hub_transfer, "RETRY_WAITS_S", (0.0, 0.0))
        patch.setattr(listing, "RETRY_WAITS_S", (0.0, 0.0))
        yield running


def needed(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if PACKED.allows(path)}


def size(files: dict[str, bytes]) -> int:
    return sum(map(len, needed(files).values()))


def run(name: Entry | str, **options: object) -> list[DownloadProgress]:
    return list(hub.download(name, **options))  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a checkpoint folder except the notes beside it."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def pinned_entry(server: FakeHub, repo: str = TERNARY) -> Entry:
    """A catalog entry that knows every digest of a repository and its commit."""
    files = tuple(
        CheckpointFile(path, len(data), digest(path, data)) for path, data in needed(server.repos[repo]).items()
    )
    return Entry("tiny", "Tiny", "A test.", "ternary", repo, server.commit(repo), files)


def stop_within(events: Iterator[DownloadProgress], file: str) -> None:
    """Close a download as soon as a part of `file` has arrived."""
    for event in events:
        if event.file == file and event.activity == "downloading":
            break
    events.close()  # type: ignore[attr-defined]


def start_script(server: FakeHub, cache: Path, *arguments: str) -> subprocess.Popen[str]:
    home = {"HF_HOME": str(cache.with_name("home")), "HF_HUB_CACHE": str(cache)}
    environment = {**os.environ, **home, "HF_ENDPOINT": server.endpoint, "HF_TOKEN": ""}
    command = [sys.executable, str(ROOT / "scripts" / "download_model.py"), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_bytes(server: FakeHub, count: float) -> None:
    until = time.monotonic() + 60
    while server.bytes_served < count:
        if time.monotonic() > until:
            pytest.fail(f"{server.bytes_served} of {count:.0f} bytes were served")
        time.sleep(0.005)


def damage(path: Path) -> None:
    """Flip one bit in place, keeping the size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.resolve().write_bytes(data)


def damage_unnoticed(path: Path) -> None:
    """Flip one bit and leave the size and the time of the last change as they were."""
    before = path.stat()
    damage(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def partial_of(server: FakeHub, path: str) -> Path:
    name = digest(path, server.repos[TERNARY][path])
    return notes_of(TERNARY) / f"{name}.incomplete"


def notes_of(repo: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "bonsai-mlx"
