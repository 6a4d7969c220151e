"""Adapters against diffusers and PEFT in float32: every format of their files, several at once, LoRA and LoKr."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from bonsai_mlx import Pipeline
from bonsai_mlx.flux2.checkpoint import Checkpoint

from .reference import load_reference, reference_run
from .test_engine import assert_same_picture
from .test_family import saved as in_its_own_folder

PROMPT, STEPS, RANK = "a red fox", 2, 4
Tensors = dict[str, torch.Tensor]
QKV = {"img_attn": ("to_q", "to_k", "to_v"), "txt_attn": ("add_q_proj", "add_k_proj", "add_v_proj")}
DOUBLE = {
    "img_attn.proj": "attn.to_out.0",
    "txt_attn.proj": "attn.to_add_out",
    "img_mlp.0": "ff.linear_in",
    "img_mlp.2": "ff.linear_out",
    "txt_mlp.0": "ff_context.linear_in",
    "txt_mlp.2": "ff_context.linear_out",
}
SINGLE = {"linear1": "attn.to_qkv_mlp_proj", "linear2": "attn.to_out"}
EDGES = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_guidance_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_guidance_embed.timestep_embedder.linear_2",
    "double_stream_modulation_img.lin": "double_stream_modulation_img.linear",
    "double_stream_modulation_txt.lin": "double_stream_modulation_txt.linear",
    "single_stream_modulation.lin": "single_stream_modulation.linear",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint("ternary")


@pytest.fixture(scope="module")
def ours(folder: Path) -> Pipeline:
    """One for all: what an adapter has added must be gone for the next."""
    return Pipeline.from_pretrained(folder)


@pytest.fixture
def theirs(folder: Path) -> Iterator[Flux2KleinPipeline]:
    return load_reference(folder)


@pytest.fixture(scope="module")
def latents(folder: Path, noise: Callable[..., np.ndarray]) -> np.ndarray:
    return noise(Checkpoint.open(folder).transformer.in_channels, 96, 64)


def bfl_names(ours: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """BFL's names, each with those of ours that it stands for."""
    found = {theirs: (name,) for theirs, name in EDGES.items()}
    for block in {name.split(".attn.")[0] for name in ours if ".attn." in name}:
        kind, index = block.split(".")
        if kind == "single_transformer_blocks":
            found |= {f"single_blocks.{index}.{theirs}": (f"{block}.{name}",) for theirs, name in SINGLE.items()}
            continue
        found |= {f"double_blocks.{index}.{theirs}": (f"{block}.{name}",) for theirs, name in DOUBLE.items()}
        for attention, names in QKV.items():
            found[f"double_blocks.{index}.{attention}.qkv"] = tuple(f"{block}.attn.{name}" for name in names)
    return found


def lora(folder: Path, seed: int = 0, *, edges: bool = False) -> Tensors:
    """A random LoRA in BFL's names, down and up; without `edges` of the blocks alone."""
    linears, random = Checkpoint.open(folder).transformer.linears(), torch.Generator().manual_seed(seed)
    tensors: Tensors = {}
    for name, parts in sorted(bfl_names(list(linears)).items()):
        if "blocks" in name or edges:
            rows, columns = sum(linears[part][0] for part in parts), linears[parts[0]][1]
            tensors[f"{name}.down"] = torch.randn(RANK, columns, generator=random) / columns**0.5
            tensors[f"{name}.up"] = 0.7 * torch.randn(rows, RANK, generator=random) / RANK**0.5
    return tensors


def in_our_names(tensors: Tensors, linears: Sequence[str]) -> Tensors:
    names, found = bfl_names(linears), {}
    for key, value in tensors.items():
        stem, _, slot = key.rpartition(".")
        pieces = value.chunk(len(names[stem])) if slot == "up" else [value] * len(names[stem])
        if stem == "final_layer.adaLN_modulation.1" and slot == "up":  # shift and scale there, scale and shift here
            pieces = [torch.cat(value.chunk(2)[::-1])]
        found |= {f"{name}.{slot}": piece.contiguous() for name, piece in zip(names[stem], pieces, strict=True)}
    return found


def renamed(tensors: Tensors, prefix: str, down: str, up: str, *, underscores: bool = False) -> Tensors:
    """With a program's prefix and slots."""
    found = {}
    for key, value in tensors.items():
        stem, _, slot = key.rpartition(".")
        stem = stem.replace(".", "_") if underscores else stem
        found[f"{prefix}{stem}.{down if slot == 'down' else up}"] = value
    return found


def with_alpha(tensors: Tensors, slot: str, factor: float = 2.0) -> Tensors:
    """The same deltas, halved in `up` and with an alpha of twice the rank."""
    alphas = {key.replace(slot, "alpha"): torch.tensor(factor * RANK) for key in tensors if key.endswith(slot)}
    return {key: value / factor if ".lora_up" in key else value.clone() for key, value in tensors.items()} | alphas


def a(tensors: Tensors, prefix: str, **more: Any) -> Tensors:
    return renamed(tensors, prefix, "lora_A.weight", "lora_B.weight", **more)


def down_up(tensors: Tensors, prefix: str, **more: Any) -> Tensors:
    named = renamed(tensors, prefix, "lora_down.weight", "lora_up.weight", **more)
    return with_alpha(named, "lora_down.weight")


# Formats by what they make of a LoRA in BFL's names and one in ours.
FORMATS: dict[str, Callable[[Tensors, Tensors], Tensors]] = {
    "diffusers": lambda _, own: a(own, "transformer."),
    "without a prefix": lambda _, own: a(own, ""),
    "PEFT with the adapter's name": lambda _, own: renamed(own, "", "lora_A.default.weight", "lora_B.default.weight"),
    "without .weight": lambda _, own: renamed(own, "transformer.", "lora_A", "lora_B"),
    "ai-toolkit": lambda bfl, _: a(bfl, "diffusion_model."),
    "ComfyUI": lambda bfl, _: down_up(bfl, "diffusion_model."),
    "fal": lambda bfl, _: a(bfl, "base_model.model."),
    "kohya": lambda bfl, _: down_up(bfl, "lora_unet_", underscores=True),
    "OneTrainer": lambda _, own: down_up(own, "lora_transformer_", underscores=True),
    "SimpleTuner": lambda _, own: down_up(own, "lycoris_", underscores=True),
    "cut": lambda _, own: {
        key.replace("transformer.transformer_blocks", "transformer.sformer_blocks"): value
        for key, value in a(own, "transformer.").items()
    },
}


def picture(pipe: Pipeline, latents: np.ndarray, *loras: tuple[Path, float]) -> np.ndarray:
    height, width = (16 * side for side in latents.shape[2:])
    result = pipe.generate(PROMPT, steps=STEPS, width=width, height=height, latents=latents, loras=loras)
    return np.asarray(result.image)


def saved(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> Path:
    save_file({key: value.clone() for key, value in tensors.items()}, path, metadata)
    return path


@pytest.mark.parametrize("edges", [False, True])
def test_every_format_is_the_same_lora(
    edges: bool, folder: Path, ours: Pipeline, theirs: Flux2KleinPipeline, latents: np.ndarray, tmp_path: Path
) -> None:
    """On blocks alone, then on embedders, modulation and the last layers too."""
    bfl = lora(folder, edges=edges)
    own = in_our_names(bfl, list(Checkpoint.open(folder).transformer.linears()))
    theirs.load_lora_weights(saved(tmp_path / "reference.safetensors", a(own, "transformer.")))
    expected = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    plain = picture(ours, latents)
    assert np.abs(plain.astype(int) - expected).mean() > 3  # it makes a difference
    for name, format_ in FORMATS.items():
        path = saved(tmp_path / f"{name}.safetensors", format_(bfl, own))
        assert_same_picture(picture(ours, latents, (path, 1.0)), expected)
    assert np.array_equal(picture(ours, latents, (path, 0.0)), plain)
    assert np.array_equal(picture(ours, latents), plain)


@pytest.mark.parametrize("name", ["ai-toolkit", "kohya", "fal"])
def test_what_diffusers_makes_of_other_formats(
    name: str, folder: Path, ours: Pipeline, theirs: Flux2KleinPipeline, latents: np.ndarray, tmp_path: Path
) -> None:
    bfl = lora(folder, seed=1)
    path = saved(tmp_path / "style.safetensors", FORMATS[name](bfl, {}))
    theirs.load_lora_weights(path)
    expected = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    assert_same_picture(picture(ours, latents, (path, 1.0)), expected)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
def test_two_adapters_with_strengths(
    folder: Path, ours: Pipeline, theirs: Flux2KleinPipeline, latents: np.ndarray, tmp_path: Path
) -> None:
    """On every linear: those of blocks, and those that modulation, context and the first tokens are made with."""
    paths, linears = [], list(Checkpoint.open(folder).transformer.linears())
    for place, name in enumerate("ab"):
        own = in_our_names(lora(folder, seed=2 + place, edges=True), linears)
        paths.append(saved(tmp_path / f"{name}.safetensors", a(own, "transformer.")))
        theirs.load_lora_weights(paths[-1], adapter_name=name)
    theirs.set_adapters(["a", "b"], [0.7, -0.5])
    expected = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    assert_same_picture(picture(ours, latents, (paths[0], 0.7), (paths[1], -0.5)), expected)
    theirs.set_adapters(["a", "b"], [0.1, 1.2])
    expected = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    assert_same_picture(picture(ours, latents, (paths[0], 0.1), (paths[1], 1.2)), expected)


def test_files_that_peft_writes(
    ours: Pipeline, theirs: Flux2KleinPipeline, latents: np.ndarray, tmp_path: Path
) -> None:
    """Through diffusers, which writes alpha into the header, and by PEFT itself, which writes it beside the file."""
    torch.manual_seed(0)
    config = LoraConfig(
        r=RANK,
        lora_alpha=6,
        use_rslora=True,
        init_lora_weights=False,
        target_modules=["to_q", "to_v", "to_add_out", "linear_in", "to_qkv_mlp_proj", "norm_out.linear", "x_embedder"],
        rank_pattern={"attn.to_v": 8},
        alpha_pattern={"attn.to_v": 3},
    )
    model = get_peft_model(copy.deepcopy(theirs.transformer), config)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            value.data *= 0.1
    model.save_pretrained(tmp_path / "by-peft")
    layers = {key.removeprefix("base_model.model."): value for key, value in get_peft_model_state_dict(model).items()}
    metadata = {key: value for key, value in config.to_dict().items() if not isinstance(value, set | type(None))}
    metadata["target_modules"] = sorted(config.target_modules)
    theirs.save_lora_weights(
        tmp_path, layers, weight_name="by-diffusers.safetensors", transformer_lora_adapter_metadata=metadata
    )
    theirs.transformer = model
    expected = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    assert np.abs(picture(ours, latents).astype(int) - expected).mean() > 3
    assert_same_picture(picture(ours, latents, (tmp_path / "by-diffusers.safetensors", 1.0)), expected)
    assert_same_picture(picture(ours, latents, (tmp_path / "by-peft", 1.0)), expected)


def lokr(folder: Path) -> Tensors:
    """A random LoKr in BFL's names: whole factors, a second one in two, and both in two, with an alpha."""
    linears, random = Checkpoint.open(folder).transformer.linears(), torch.Generator().manual_seed(7)

    def values(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    tensors: Tensors = {}
    for place, (name, parts) in enumerate(sorted(bfl_names(list(linears)).items())):
        rows, columns = sum(linears[part][0] for part in parts), linears[parts[0]][1]
        if "blocks" not in name:
            continue
        first, second = (4, 4), (rows // 4, columns // 4)
        if place % 3 == 2:
            tensors[f"{name}.lokr_w1_a"], tensors[f"{name}.lokr_w1_b"] = values(first[0], 2), values(2, first[1]) / 2
        else:
            tensors[f"{name}.lokr_w1"] = values(*first) / 2
        if place % 3:
            tensors[f"{name}.lokr_w2_a"] = values(second[0], RANK)
            tensors[f"{name}.lokr_w2_b"] = 0.3 * values(RANK, second[1]) / columns**0.5
            tensors[f"{name}.alpha"] = torch.tensor(3.0)
        else:
            tensors[f"{name}.lokr_w2"] = 0.3 * values(*second) / columns**0.5
            tensors[f"{name}.alpha"] = torch.tensor(9e9)  # of no consequence where no factor is split
    return tensors


def merged(pipe: Flux2KleinPipeline, tensors: Tensors) -> None:
    """Add a LoKr to the reference's weights by its definition: alpha / rank where a factor is split."""
    linears = dict(pipe.transformer.named_modules())
    names = bfl_names([name for name, module in linears.items() if isinstance(module, torch.nn.Linear)])
    for stem in {key.rsplit(".", 1)[0] for key in tensors}:
        found = {key.rsplit(".", 1)[1]: value for key, value in tensors.items() if key.rsplit(".", 1)[0] == stem}
        factors = [
            found[f"lokr_{one}"] if f"lokr_{one}" in found else found[f"lokr_{one}_a"] @ found[f"lokr_{one}_b"]
            for one in ("w1", "w2")
        ]
        scale = float(found["alpha"]) / RANK if "lokr_w2_b" in found else 1.0
        delta = scale * torch.kron(*factors)
        for name, rows in zip(names[stem], delta.chunk(len(names[stem])), strict=True):
            linears[name].weight.data += rows


def test_lokr_also_over_fused_projections(
    folder: Path, ours: Pipeline, theirs: Flux2KleinPipeline, latents: np.ndarray, tmp_path: Path
) -> None:
    path = saved(tmp_path / "k.safetensors", {f"diffusion_model.{key}": value for key, value in lokr(folder).items()})
    merged(theirs, lokr(folder))
    expected = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    assert np.abs(picture(ours, latents).astype(int) - expected).mean() > 3
    assert_same_picture(picture(ours, latents, (path, 1.0)), expected)


FACTOR, LOKR_RANK = 16, 3  # small enough a rank for PEFT to make both factors of a tiny linear in parts


def lokr_of_one_kind(folder: Path, kind: str) -> Tensors:
    """As trainers write it: each linear's delta in the same way, with an alpha that counts where a factor is split."""
    linears, random = Checkpoint.open(folder).transformer.linears(), torch.Generator().manual_seed(11)

    def values(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    tensors: Tensors = {}
    for name, parts in sorted(bfl_names(list(linears)).items()):
        rows, columns = sum(linears[part][0] for part in parts) // FACTOR, linears[parts[0]][1] // FACTOR
        if "blocks" not in name:
            continue
        size = 0.3 / columns**0.5
        if kind == "both in parts":
            tensors[f"{name}.lokr_w1_a"] = values(FACTOR, LOKR_RANK) / 4
            tensors[f"{name}.lokr_w1_b"] = values(LOKR_RANK, FACTOR) / 2
        else:
            tensors[f"{name}.lokr_w1"] = values(FACTOR, FACTOR) / 4
        if kind == "whole":
            tensors[f"{name}.lokr_w2"] = size * values(rows, columns)
        else:
            tensors[f"{name}.lokr_w2_a"] = values(rows, LOKR_RANK)
            tensors[f"{name}.lokr_w2_b"] = size * values(LOKR_RANK, columns)
        tensors[f"{name}.alpha"] = torch.tensor(9e9 if kind == "whole" else 2.0)
    return tensors


@pytest.mark.parametrize("kind", ["whole", "second in parts", "both in parts"])
def test_lokr_as_diffusers_loads_it(
    kind: str, folder: Path, ours: Pipeline, theirs: Flux2KleinPipeline, latents: np.ndarray, tmp_path: Path
) -> None:
    """Of one kind in a file, and of ranks below half of what they split: of others its loader drops factors."""
    tensors = lokr_of_one_kind(folder, kind)
    path = saved(tmp_path / "k.safetensors", {f"diffusion_model.{key}": value for key, value in tensors.items()})
    theirs.load_lora_weights(path)
    assert not any(one.is_meta for one in theirs.transformer.parameters())
    expected = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    assert np.abs(picture(ours, latents).astype(int) - expected).mean() > 3
    assert_same_picture(picture(ours, latents, (path, 1.0)), expected)


def test_lokr_by_lycoris(
    folder: Path, ours: Pipeline, theirs: Flux2KleinPipeline, latents: np.ndarray, tmp_path: Path
) -> None:
    names, tensors = bfl_names(list(Checkpoint.open(folder).transformer.linears())), {}
    for key, value in lokr(folder).items():
        stem, slot = key.rsplit(".", 1)
        if len(names[stem]) == 1:
            tensors[f"lycoris_{names[stem][0].replace('.', '_')}.{slot}"] = value
    path = saved(tmp_path / "k.safetensors", tensors)
    merged(theirs, {key: value for key, value in lokr(folder).items() if len(names[key.rsplit(".", 1)[0]]) == 1})
    expected = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    assert_same_picture(picture(ours, latents, (path, 1.0)), expected)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
@pytest.mark.parametrize("precision", ["4-bit", "bf16", "float32"])
def test_adapters_on_other_weights(
    precision: str, tiny_checkpoint: Callable[..., Path], latents: np.ndarray, tmp_path: Path
) -> None:
    """Two LoRA, on everything, and a LoKr: on weights of 4 bits, and on the folder that diffusers writes."""
    folder = tiny_checkpoint("4-bit", group_size=64)
    theirs = load_reference(folder, torch.bfloat16 if precision == "bf16" else torch.float32)
    if precision != "4-bit":
        folder = in_its_own_folder(theirs, tmp_path / "dense")
        theirs = theirs.to(torch.float32)
    own = Pipeline.from_pretrained(folder)
    names = list(own.model.checkpoint.transformer.linears())
    loras = []
    for place, strength in enumerate((0.7, -0.5)):
        values = a(in_our_names(lora(folder, seed=20 + place, edges=True), names), "transformer.")
        loras.append((saved(tmp_path / f"{place}.safetensors", values), strength))
        theirs.load_lora_weights(loras[-1][0], adapter_name=str(place))
    theirs.set_adapters(["0", "1"], [0.7, -0.5])
    expected = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    assert np.abs(picture(own, latents).astype(int) - expected).mean() > 3
    assert_same_picture(picture(own, latents, *loras), expected)
    theirs.unload_lora_weights()
    tensors = lokr_of_one_kind(folder, "second in parts")
    path = saved(tmp_path / "k.safetensors", {f"diffusion_model.{key}": value for key, value in tensors.items()})
    theirs.load_lora_weights(path)
    assert_same_picture(picture(own, latents, (path, 1.0)), reference_run(theirs, PROMPT, latents, STEPS)["image"])


def test_metadata_is_read_as_diffusers_reads_it(
    folder: Path, ours: Pipeline, theirs: Flux2KleinPipeline, latents: np.ndarray, tmp_path: Path
) -> None:
    own = in_our_names(lora(folder, seed=5), list(Checkpoint.open(folder).transformer.linears()))
    said = {"transformer.r": RANK, "transformer.lora_alpha": 1, "transformer.peft_type": "LORA"}
    said["transformer.target_modules"] = sorted({key.rsplit(".", 1)[0] for key in own})
    path = saved(tmp_path / "m.safetensors", a(own, "transformer."), {"lora_adapter_metadata": json.dumps(said)})
    theirs.load_lora_weights(path, low_cpu_mem_usage=False)
    expected = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    assert_same_picture(picture(ours, latents, (path, 1.0)), expected)
