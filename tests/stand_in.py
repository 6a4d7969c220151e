"""A large checkpoint's place taken by small files: real drawing, under a large model's name."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from bonsai_mlx.hub.catalog import lookup
from bonsai_mlx.hub.entry import CheckpointFile, Entry
from bonsai_mlx.hub.location import Manifest, folder_location


def stand_in(models_dir: Path, name: str, **said: Any) -> None:
    """The seedling's weights in the place of the large checkpoint `name`: real drawing in a large model's sizes."""
    seedling = lookup(f"seedling-{name}").embedded_folder
    assert seedling is not None
    folder = models_dir / name
    for source in (seedling.parent / "common", seedling):
        shutil.copytree(source, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    index = json.loads((folder / "model_index.json").read_text())
    del index["_common_folder"], index["recommended_size"]
    (folder / "model_index.json").write_text(json.dumps(index | said))
    as_downloaded(folder, lookup(name))


def as_downloaded(folder: Path, entry: Entry) -> None:
    """Note beside the files in a folder that they are those of a model or a part, as a download does."""
    assert entry.repo is not None
    paths = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    files = [CheckpointFile(path, (folder / path).stat().st_size, _digest(folder / path)) for path in paths]
    verified = {path: (folder / path).stat().st_mtime_ns for path in paths}
    manifest = Manifest(entry.repo, "main", "0" * 40, tuple(files), verified)
    manifest.write(folder_location(folder).manifest_path)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
