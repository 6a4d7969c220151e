"""The trained tokenizer is read by the engine as by training; the encoder is Qwen3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bonsai_mlx.text.tokenizer import Tokenizer  # noqa: E402
from seedling.model.text import PromptTokenizer, TextEncoder, train_tokenizer  # noqa: E402
from seedling.options import OUT_LAYERS, preset  # noqa: E402

CAPTIONS = ["a red circle", "two blue houses at night", "a bonsai, in snow", "draw a fish, please"] * 4
PROMPTS = ["a red house", "", "ein Fisch, bitte! 🐟", "two  bonsai\nat night" * 9]
TOKENS = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer trained on a few captions."""
    path = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(CAPTIONS, 400, path)
    return path


def test_ids_are_the_engines(folder: Path) -> None:
    ids, lengths = PromptTokenizer(folder, TOKENS)(PROMPTS)
    engine = Tokenizer.from_folder(folder)
    for row, length, prompt in zip(ids, lengths, PROMPTS, strict=True):
        expected = engine.encode_prompt(prompt, TOKENS)
        assert row.tolist() == expected.ids
        assert length == expected.length


def test_words_of_the_captions_are_single_tokens(folder: Path) -> None:
    tokenizer = PromptTokenizer(folder, TOKENS)
    _, lengths = tokenizer(["", "a red house", "a red red house"])
    assert lengths[2] - lengths[1] == 1


def test_the_vocabulary_is_bounded(folder: Path) -> None:
    assert PromptTokenizer(folder, TOKENS).vocabulary <= 400


@pytest.mark.parity
def test_embeddings_are_those_of_transformers(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = preset("smoke").text_config(400)
    encoder = TextEncoder(config, TOKENS)
    settings = {key: value for key, value in config.items() if key not in ("rope_theta", "architectures")}
    settings = {key: value for key, value in settings.items() if "quantization" not in key}
    rope = {"rope_type": "default", "rope_theta": config["rope_theta"]}
    theirs = transformers.Qwen3Model(transformers.Qwen3Config(**settings, rope_parameters=rope)).eval()
    theirs.load_state_dict(encoder.state_dict(), strict=False)
    tokens, lengths = PromptTokenizer(folder, TOKENS)(PROMPTS)
    ids, counts = torch.from_numpy(tokens).long(), torch.from_numpy(lengths).long()
    mask = (torch.arange(TOKENS) < counts[:, None]).long()
    with torch.no_grad():
        ours = encoder(ids, counts)
        states = theirs(ids, attention_mask=mask, output_hidden_states=True).hidden_states
    expected = torch.cat([states[layer] for layer in OUT_LAYERS], -1)
    np.testing.assert_allclose(ours.numpy(), expected.numpy(), atol=2e-5)
