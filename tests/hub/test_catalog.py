"""Names, addresses and repositories lead to the entries that they stand for, and nothing else does."""

import pytest

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.hub import catalog
from bonsai_mlx.hub.catalog import lookup, resolve
from bonsai_mlx.hub.published import CATALOG

REPO = "prism-ml/bonsai-image-ternary-4B-mlx-2bit"


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
