"""Addresses of the Hub as people paste them, and what may be a repository, a revision or a digest."""

import pytest

from bonsai_mlx.hub.addresses import from_address, is_commit, is_digest, is_repository, is_revision


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acme/fox", ("acme/fox", None)),
        ("https://huggingface.co/acme/fox", ("acme/fox", None)),
        ("https://hf.co/acme/fox/tree/v2/vae", ("acme/fox", "v2")),
        ("hf://acme/fox", ("acme/fox", None)),
        ("https://huggingface.co/acme/fox/tree/refs%2Fpr%2F1", ("acme/fox", "refs/pr/1")),
        ("https://huggingface.co/acme/fox/tree/..%2Fx", ("https://huggingface.co/acme/fox/tree/..%2Fx", None)),
        ("https://huggingface.co/spaces/acme/fox", ("https://huggingface.co/spaces/acme/fox", None)),
    ],
)
def test_an_address_is_taken_apart(text: str, expected: tuple[str, str | None]) -> None:
    assert from_address(text) == expected


def test_what_becomes_a_part_of_a_path_leads_nowhere_else() -> None:
    assert is_repository("acme/tiny.model_2")
    assert not any(map(is_repository, ("acme", "a/b/c", "acme/..", "acme/x--y", "/x", "acme/x y")))
    assert all(map(is_revision, ("main", "v1.0", "refs/pr/1")))
    assert not any(map(is_revision, ("", "../main", "a..b", "/main", "main/")))
    assert is_commit("0" * 40)
    assert not any(map(is_commit, ("0" * 39, "G" * 40)))
    assert is_digest("0" * 64)
    assert not any(map(is_digest, ("0" * 41, 40 * 4, "../" + "0" * 37)))
