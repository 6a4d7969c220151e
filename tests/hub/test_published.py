"""The published checkpoints' facts are consistent with each other and with what the published layout allows."""

import json
from pathlib import Path

import pytest

from bonsai_mlx.families import open_model
from bonsai_mlx.hub import catalog, published
from bonsai_mlx.hub.addresses import is_commit, is_digest
from bonsai_mlx.hub.catalog import lookup
from bonsai_mlx.hub.entry import SIZE, Entry
from bonsai_mlx.hub.published import CATALOG
from bonsai_mlx.weights.layout import PACKED, is_whole

from ..fake_hub import blob_id

FULL_SIZE = [entry for entry in CATALOG if not entry.embedded]
EMBEDDED = [entry for entry in CATALOG if entry.embedded]


@pytest.mark.parametrize("entry", EMBEDDED, ids=lambda entry: entry.name)
def test_an_entry_says_of_a_checkpoint_what_the_checkpoint_says_of_itself(entry: Entry) -> None:
    assert entry.embedded_folder
    described = open_model(entry.embedded_folder).describe()
    assert (entry.family, entry.precision) == (described.family, described.precision)
    assert (entry.recommended_steps, entry.recommended_size) == (
        described.recommended_steps,
        described.recommended_size,
    )


@pytest.mark.parametrize("entry", FULL_SIZE, ids=lambda entry: entry.name)
def test_full_size_entries_are_complete_and_allowed(entry: Entry) -> None:
    paths = [file.path for file in entry.files]
    assert entry.layout.missing(paths) == []
    assert all(entry.layout.allows(path) for path in paths)
    assert is_whole(paths)
    assert len(set(paths)) == len(paths)
    assert all(is_digest(file.digest) for file in entry.files if file.digest)


def test_the_sizes_are_the_published_ones() -> None:
    ternary, binary = (lookup(name) for name in ("ternary", "binary"))
    sizes = {file.path: file.size for file in ternary.files}
    assert sizes["transformer-packed-mflux/diffusion_pytorch_model.safetensors"] == 1_425_271_472
    assert sizes["text_encoder-mlx-4bit/model.safetensors"] == 2_263_022_529
    assert 3_867_000_000 < ternary.bytes_total < 3_888_274_558  # the repository has a little more
    assert 3_407_000_000 < binary.bytes_total < 3_428_210_775


def test_a_commit_pins_every_file_and_a_branch_only_the_shared_weights() -> None:
    ternary, binary = (lookup(name) for name in ("ternary", "binary"))
    assert is_commit(ternary.revision)
    assert all(file.digest for file in ternary.files)
    assert not is_commit(binary.revision)
    held = {file for file in binary.files if file.digest}
    assert held == {file for file in ternary.files if len(file.digest) == 64 and "transformer" not in file.path}


def test_the_digest_of_the_model_index_is_that_of_its_known_text() -> None:
    text = json.dumps({"_class_name": "Flux2KleinPipeline", "_diffusers_version": "0.37.0.dev0"}, indent=2) + "\n"
    file = next(file for file in lookup("ternary").files if file.path == "model_index.json")
    assert (file.size, file.digest) == (len(text), blob_id(text.encode()))


def test_a_damaged_index_is_not_the_catalog_s_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("", "[]", "{}", '{"recommended_size": 3, "recommended_steps": 4}'):
        monkeypatch.setattr(Path, "read_text", lambda *_, text=text: text)
        assert published._seedling("binary", 1).recommended_size == SIZE


@pytest.mark.parametrize("entry", EMBEDDED, ids=lambda entry: entry.name)
def test_embedded_entries_lead_to_shipped_folders(entry: Entry) -> None:
    assert entry.embedded_folder is not None
    assert (entry.embedded_folder / "model_index.json").is_file()
    index = json.loads((entry.embedded_folder / "model_index.json").read_text())
    assert tuple(index["recommended_size"]) == entry.recommended_size
    assert index["recommended_steps"] == entry.recommended_steps
    assert entry.repo is None


@pytest.mark.parametrize(
    "path",
    [
        "transformer-packed-mflux/model.bin",
        "vae/diffusion_pytorch_model.pt",
        "vae/../model_index.json",
        "vae/sub/config.json",
        "evil/vae/config.json",
        "/vae/config.json",
        "vae\\config.json",
        "tokenizer/.hidden.json",
        "tokenizer/tokenization.py",
        "model_index.json.py",
        "README.md",
        "text_encoder-mlx-4bit/tokenizer.json",
        "vae/config.json\n",
        "unet/model.safetensors",
        ".gitattributes",
        "vae/weights.safetensors.pkl",
    ],
)
def test_nothing_else_is_ever_downloaded(path: str) -> None:
    assert not PACKED.allows(path)


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_every_entry_says_one_honest_sentence(entry: Entry) -> None:
    assert entry.note.endswith(".")
    assert len(entry.note) < 250
    assert entry.resident_bytes > 0


def test_what_bonsai_was_made_from_is_offered_behind_it() -> None:
    assert catalog.published_names() == ("ternary", "binary")
    family = {entry.name: entry for entry in CATALOG if entry.name.startswith("klein")}
    assert {name: entry.precision for name, entry in family.items()} == {
        "klein": "4-bit",
        "klein-8bit": "8-bit",
        "klein-bf16": "bf16",
        "klein-base": "bf16",
        "klein-base-4bit": "4-bit",
    }
    assert [entry.recommended_guidance for entry in family.values()] == [1.0, 1.0, 1.0, 4.0, 4.0]
    origins = {name: entry.made_from for name, entry in family.items() if entry.made_from}
    assert origins == {"klein": "klein-bf16", "klein-8bit": "klein-bf16", "klein-base-4bit": "klein-base"}
    assert family["klein-base-4bit"].repo is None
    assert all("memory" in entry.note or "GB" in entry.note or "time" in entry.note for entry in family.values())
