"""The catalog's facts are consistent with each other and with what the published layout allows."""

import json
from pathlib import Path

import pytest

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.families import open_model
from bonsai_mlx.hub import catalog
from bonsai_mlx.hub.catalog import CATALOG, is_commit, lookup, resolve
from bonsai_mlx.weights.layout import PACKED, is_whole

from ..fake_hub import blob_id

FULL_SIZE = [entry for entry in CATALOG if not entry.embedded]
EMBEDDED = [entry for entry in CATALOG if entry.embedded]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ternary", "ternary"),
        ("binary", "binary"),
        ("bonsai-ternary", "ternary"),
        ("bonsai-binary", "binary"),
        ("bonsai-ternary-mlx", "ternary"),
        ("bonsai-binary-mlx", "binary"),
        ("prism-ml/bonsai-image-ternary-4B-mlx-2bit", "ternary"),
        ("prism-ml/bonsai-image-binary-4B-mlx-1bit", "binary"),
        ("seedling", "seedling-ternary"),
        ("seedling-ternary", "seedling-ternary"),
        ("seedling-binary", "seedling-binary"),
        (" Ternary ", "ternary"),
    ],
)
def test_every_name_leads_to_its_entry(name: str, expected: str) -> None:
    assert lookup(name).name == expected
    assert resolve(name) is lookup(name)


@pytest.mark.parametrize("name", ["", "quaternary", "acme/other", "../ternary"])
def test_unknown_names_are_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(CheckpointError, match="ternary, binary, seedling-ternary, seedling-binary"):
        lookup(name)


@pytest.mark.parametrize("entry", EMBEDDED, ids=lambda entry: entry.name)
def test_an_entry_says_of_a_checkpoint_what_the_checkpoint_says_of_itself(entry: catalog.Entry) -> None:
    assert entry.embedded_folder
    described = open_model(entry.embedded_folder).describe()
    assert (entry.family, entry.precision) == (described.family, described.precision)
    assert (entry.recommended_steps, entry.recommended_size) == (
        described.recommended_steps,
        described.recommended_size,
    )


def test_names_that_entries_have_for_each_other_are_names_of_the_catalog() -> None:
    for entry in CATALOG:
        assert entry.compared_with in (None, *catalog.known_names())
        assert entry.stands_in_for in (None, *catalog.published_names())
    assert len({name for entry in CATALOG for name in entry.names}) == sum(len(entry.names) for entry in CATALOG)
    assert catalog.comparisons() == (("ternary", "binary"), ("seedling-ternary", "seedling-binary"))
    assert catalog.stand_in("bonsai-binary").name == catalog.stand_in("seedling-binary").name == "seedling-binary"


def test_any_repository_resolves() -> None:
    entry = resolve("acme/tiny.model_2")
    assert (entry.repo, entry.precision, entry.files) == ("acme/tiny.model_2", None, ())
    assert entry.remedy == "bonsai-mlx download acme/tiny.model_2"


@pytest.mark.parametrize("name", ["acme/../x", "/etc/passwd", "a/b/c", "acme/", "acme/x--y", "https://x/y", "acme/x y"])
def test_what_is_no_repository_does_not_resolve(name: str) -> None:
    with pytest.raises(CheckpointError):
        resolve(name)


@pytest.mark.parametrize("entry", FULL_SIZE, ids=lambda entry: entry.name)
def test_full_size_entries_are_complete_and_allowed(entry: catalog.Entry) -> None:
    paths = [file.path for file in entry.files]
    assert entry.layout.missing(paths) == []
    assert all(entry.layout.allows(path) for path in paths)
    assert is_whole(paths)
    assert len(set(paths)) == len(paths)
    assert all(catalog.is_digest(file.digest) for file in entry.files if file.digest)


def test_what_bonsai_was_made_from_is_offered_behind_it() -> None:
    assert catalog.published_names() == ("ternary", "binary")
    family = {entry.name: entry for entry in CATALOG if entry.name.startswith("klein")}
    assert {name: entry.precision for name, entry in family.items()} == {
        "klein": "4-bit",
        "klein-8bit": "8-bit",
        "klein-bf16": "bf16",
        "klein-base": "bf16",
    }
    assert [entry.recommended_guidance for entry in family.values()] == [1.0, 1.0, 1.0, 4.0]
    assert all("memory" in entry.note or "GB" in entry.note or "time" in entry.note for entry in family.values())


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
        assert catalog._seedling("binary", 1).recommended_size == catalog.SIZE


@pytest.mark.parametrize("entry", EMBEDDED, ids=lambda entry: entry.name)
def test_embedded_entries_lead_to_shipped_folders(entry: catalog.Entry) -> None:
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
def test_every_entry_says_one_honest_sentence(entry: catalog.Entry) -> None:
    assert entry.note.endswith(".")
    assert len(entry.note) < 250
    assert entry.resident_bytes > 0


REPO = "prism-ml/bonsai-image-ternary-4B-mlx-2bit"


@pytest.mark.parametrize(
    "address",
    [
        f"https://huggingface.co/{REPO}",
        f"http://huggingface.co/{REPO}/",
        f"https://www.huggingface.co/{REPO}",
        f"  HTTPS://HuggingFace.co/{REPO}\n",
        f"huggingface.co/{REPO}",
        f"https://hf.co/{REPO}",
        f"hf.co/{REPO}?library=mlx",
        f"hf://{REPO}",
        f"https://huggingface.co/models/{REPO}",
        f"https://huggingface.co/{REPO}/tree/main",
        f"https://huggingface.co/{REPO}/tree/main/vae",
        f"https://huggingface.co/{REPO}/blob/main/vae/config.json?download=true#L1",
        f"https://huggingface.co/{REPO}/resolve/{catalog.lookup('ternary').revision}/model_index.json",
        f"https://huggingface.co/{REPO}/discussions/1",
    ],
)
def test_a_pasted_address_is_a_model(address: str) -> None:
    assert catalog.lookup(address) is catalog.lookup("ternary")
    assert catalog.resolve(address) is catalog.lookup("ternary")


def test_an_address_outside_the_catalog_is_that_repository() -> None:
    plain = catalog.resolve("acme/fox")
    assert catalog.resolve("https://huggingface.co/acme/fox/tree/main") == plain
    other = catalog.resolve("https://hf.co/acme/fox/tree/refs%2Fpr%2F1")
    assert (other.repo, other.revision, other.title) == ("acme/fox", "refs/pr/1", "acme/fox at refs/pr/1")
    assert catalog.resolve(other.name) == other  # which is what its remedy says to download


def test_another_revision_of_a_known_one_is_not_the_known_one() -> None:
    address = f"https://huggingface.co/{REPO}/tree/experiment"
    assert not catalog.is_known(address)
    entry = catalog.resolve(address)
    assert (entry.repo, entry.revision, entry.files) == (REPO, "experiment", ())


@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co/datasets/acme/fox",
        "https://huggingface.co/spaces/acme/fox",
        "https://huggingface.co/acme",
        "https://evil.example/acme/fox",
        "https://huggingface.co.evil.example/acme/fox",
        "https://huggingface.co/acme/fox/tree/..%2F..%2Fetc",
        "https://huggingface.co/../acme/fox",
        "https://huggingface.co/acme/fox/settings",
    ],
)
def test_what_is_no_model_s_address(address: str) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint called"):
        catalog.resolve(address)
