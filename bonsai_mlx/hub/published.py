"""The known checkpoints: where each comes from, which files it needs, and what those files must be, byte for byte.

Plain data, which `catalog` looks things up in. Sizes are bytes, GB in sentences is 1e9 bytes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..weights import layout
from ..weights.layout import Layout
from .entry import SIZE, STEPS, CheckpointFile, Entry

_TEXT_ENCODER, _TRANSFORMER = layout.PACKED.folder(layout.TEXT_ENCODER), layout.PACKED.folder(layout.TRANSFORMER)
_WEIGHTS = layout.PACKED.weights(layout.TRANSFORMER)
_SHARED_WEIGHTS = (  # the same files in both repositories
    CheckpointFile(
        f"{_TEXT_ENCODER}/model.safetensors",
        2_263_022_529,
        "e240c0bdc0ebb0681bf0da0f98d9719fd6ebe269a3633f81542c13e81345651d",
    ),
    CheckpointFile(
        "tokenizer/tokenizer.json", 11_422_654, "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4"
    ),
    CheckpointFile(
        "vae/diffusion_pytorch_model.safetensors",
        168_120_878,
        "ca70d2202afe6415bdbcb8793ba8cd99fd159cfe6192381504d6c4d3036e0f04",
    ),
)
_TERNARY_SMALL = (
    CheckpointFile("LICENSE", 10_174, "66a27ec5ff940d3a9652d2948746ebac4c9d0188"),
    CheckpointFile("NOTICE.md", 623, "ef55b08ef826c87f883a2ac4e7e3a96fe8b694c5"),
    CheckpointFile("model_index.json", 81, "23fc54204818a55722be53d2a8e6e40c21d878b2"),
    CheckpointFile("scheduler/scheduler_config.json", 486, "7e53605e2643440b310fa554f087641893883c5f"),
    CheckpointFile(f"{_TEXT_ENCODER}/config.json", 937, "032ad326a0daaaeeec00f2a585262acf5f692861"),
    CheckpointFile(f"{_TEXT_ENCODER}/model.safetensors.index.json", 63_924, "07e230a328dd17a09d96ee045d49b27596656aff"),
    CheckpointFile("tokenizer/chat_template.jinja", 4_168, "01be9b307daa2d425f7c168c9fb145a286e0afb4"),
    CheckpointFile("tokenizer/tokenizer_config.json", 5_404, "ddaf69808214a44fdd26d3785b66c1367c78277a"),
    CheckpointFile(f"{_TRANSFORMER}/config.json", 619, "b8badc8006699c24e8851f1929e44190bb5b2074"),
    CheckpointFile(f"{_TRANSFORMER}/quantization_config.json", 5_054, "07ffa32da5666f3f643892595c6e9f578afeab9b"),
    CheckpointFile("vae/config.json", 821, "c3f38eb4c188a96a462519159356bd0fcc28cd14"),
)
# Small files of a branch may be edited any day, so for the binary repository only the big shared ones are held to the
# ternary one's digests.
_BINARY_SMALL = tuple(replace(file, digest="") for file in _TERNARY_SMALL)


BITS = "bits"  # the family of models whose latents are bits
_SEEDLINGS = Path(__file__).parents[1] / "seedling"
_SEEDLING = (
    "A tiny model that ships with the program and needs no download: it draws simple things and scenes at "
    "{width}x{height} pixels, to try everything out, and knows nothing else."
)
_SEEDLING_OF_BITS = (
    "A tiny model that ships with the program and draws in bits: a picture of {width}x{height} pixels begins as coins "
    "and ends as 2 KB, which are a code that can be sent, kept and printed. It draws what the other seedlings draw."
)


def _seedling(precision: str, resident_bytes: int, note: str = _SEEDLING, **more: Any) -> Entry:
    """The embedded checkpoint of a precision; what it was made for is in its own index."""
    folder = _SEEDLINGS / precision
    try:
        index = json.loads((folder / "model_index.json").read_text("utf-8"))
        (width, height), steps = index["recommended_size"], index["recommended_steps"]
    except (OSError, ValueError, KeyError, TypeError):  # what is wrong with it is for Checkpoint.open to say
        (width, height), steps = SIZE, STEPS
    title = f"Seedling {precision}"
    own: dict[str, Any] = {"title": title, "label": title, "precision": precision, "stands_in_for": precision}
    return Entry(
        name=f"seedling-{precision}",
        note=note.format(width=width, height=height),
        embedded_folder=folder,
        recommended_steps=steps,
        recommended_size=(width, height),
        resident_bytes=resident_bytes,
        **own | more,
    )


def embedded_autoencoder() -> Path | None:
    """The folder of the autoencoder of bits that the package brings, if it does; it may be no more than that."""
    folder = _SEEDLINGS / BITS
    return folder if (folder / "model_index.json").is_file() else None


def seedling_of_bits() -> tuple[Entry, ...]:
    """The embedded checkpoint whose latents are bits, in a package that has all of it."""
    if not (_SEEDLINGS / BITS / _WEIGHTS).is_file():
        return ()
    title = "Seedling of bits"
    own = {"title": title, "label": title, "precision": "binary", "stands_in_for": None, "family": BITS}
    return (_seedling(BITS, 2_000_000, _SEEDLING_OF_BITS, aliases=(BITS,), **own),)


# Sizes to the nearest 10 MB where the repository's own list is not known here; what the Hub lists is what counts.
_KLEIN_VAE = CheckpointFile(f"{layout.VAE}/diffusion_pytorch_model.safetensors", 168_120_878)
_KLEIN_TOKENIZER = _SHARED_WEIGHTS[1]
_DENSE_KLEIN = (
    CheckpointFile("model_index.json", 500),
    CheckpointFile("scheduler/scheduler_config.json", 500),
    CheckpointFile("text_encoder/config.json", 1_000),
    CheckpointFile("text_encoder/model.safetensors.index.json", 33_000),
    CheckpointFile("text_encoder/model-00001-of-00002.safetensors", 4_970_000_000),
    CheckpointFile("text_encoder/model-00002-of-00002.safetensors", 3_080_000_000),
    _KLEIN_TOKENIZER,
    CheckpointFile("transformer/config.json", 600),
    CheckpointFile("transformer/diffusion_pytorch_model.safetensors", 7_751_109_744),
    CheckpointFile("vae/config.json", 800),
    _KLEIN_VAE,
)


def _packed_klein(transformer_bytes: int, encoder_bytes: int) -> tuple[CheckpointFile, ...]:
    return (
        CheckpointFile("text_encoder/0.safetensors", encoder_bytes),
        _KLEIN_TOKENIZER,
        CheckpointFile("transformer/0.safetensors", transformer_bytes),
        CheckpointFile("vae/0.safetensors", 168_000_000),
    )


# Packed here, as `conversion.download` does it.
_BASE_4BIT = (
    *(file for file in _DENSE_KLEIN if file.path.partition("/")[0] in ("model_index.json", "scheduler", "vae")),
    _KLEIN_TOKENIZER,
    CheckpointFile(f"{_TEXT_ENCODER}/config.json", 1_000),
    CheckpointFile(f"{_TEXT_ENCODER}/model.safetensors", 2_263_000_000),
    CheckpointFile(f"{_TRANSFORMER}/config.json", 600),
    CheckpointFile(f"{_TRANSFORMER}/quantization_config.json", 200),
    CheckpointFile(_WEIGHTS, 2_345_000_000),
)


def _klein(
    name: str,
    title: str,
    precision: str,
    repo: str | None,
    files: tuple[CheckpointFile, ...],
    resident_bytes: int,
    *,
    layout: Layout = layout.MFLUX,
    **more: Any,
) -> Entry:
    return Entry(
        name=name,
        title=title,
        precision=precision,
        repo=repo,
        files=files,
        resident_bytes=resident_bytes,
        layout=layout,
        public_name=f"flux2-{name}-4b" if name == "klein" else f"flux2-{name}",
        **more,
    )


CATALOG = (
    Entry(
        name="ternary",
        title="Bonsai Image 4B ternary",
        label="Ternary",
        plain="Better",
        summary="The more faithful of the two (weights of −1, 0 and +1).",
        precision="ternary",
        note="The better of the two: by the published benchmarks it keeps 94 % of FLUX.2 klein 4B's quality, for a "
        "3.9 GB download.",
        repo="prism-ml/bonsai-image-ternary-4B-mlx-2bit",
        revision="2c24c81b934a658ba5590cf39088ba929985b4a8",
        files=(
            *_TERNARY_SMALL,
            *_SHARED_WEIGHTS,
            CheckpointFile(_WEIGHTS, 1_425_271_472, "b21737bdf02690b7d662907781c4dc8b8bf22a2c98b823b1ca3336f48371a84f"),
        ),
        public_name="bonsai-ternary",
        demo_name="bonsai-ternary-mlx",
        resident_bytes=1_060_000_000,
        featured=True,
        compared_with="binary",
    ),
    Entry(
        name="binary",
        title="Bonsai Image 4B binary",
        label="Binary",
        plain="Smaller",
        summary="0.46 GB smaller, not faster, and a little less faithful (weights of −1 and +1).",
        precision="binary",
        note="The smaller of the two: it needs about half a gigabyte less memory and keeps 88 % of FLUX.2 klein 4B's "
        "quality by the published benchmarks; beside the ternary one it downloads only 1 GB.",
        repo="prism-ml/bonsai-image-binary-4B-mlx-1bit",
        files=(*_BINARY_SMALL, *_SHARED_WEIGHTS, CheckpointFile(_WEIGHTS, 965_208_752)),
        public_name="bonsai-binary",
        demo_name="bonsai-binary-mlx",
        resident_bytes=600_000_000,
        featured=True,
    ),
    _seedling("ternary", 3_300_000, aliases=("seedling",), compared_with="seedling-binary"),
    _seedling("binary", 2_000_000),
    *seedling_of_bits(),
    _klein(
        "klein",
        "FLUX.2 klein 4B, 4 bits",
        "4-bit",
        "mflux-community/flux2-klein-4b-mflux-q4",
        _packed_klein(2_180_000_000, 2_260_000_000),
        2_090_000_000,
        made_from="klein-bf16",
        note="Trained for editing and for lettering, which Bonsai was not: the companion for both, at twice the "
        "memory; about 2.4 GB while it draws 512x512 on a GPU, by the plan.",
    ),
    _klein(
        "klein-8bit",
        "FLUX.2 klein 4B, 8 bits",
        "8-bit",
        "mlx-community/flux2-klein-4b-8bit",
        _packed_klein(4_120_000_000, 4_280_000_000),
        3_930_000_000,
        made_from="klein-bf16",
        note="Nearer to the original than 4 bits, for 1.8 GB more memory; about 4.2 GB while it draws 512x512 on a "
        "GPU, by the plan.",
    ),
    _klein(
        "klein-bf16",
        "FLUX.2 klein 4B, bfloat16",
        "bf16",
        "black-forest-labs/FLUX.2-klein-4B",
        _DENSE_KLEIN,
        7_380_000_000,
        revision="e7b7dc27f91deacad38e78976d1f2b499d76a294",
        layout=layout.DIFFUSERS,
        note="The original, a 16 GB download: 7.8 GB while it draws 512x512 on a GPU, or 0.7 GB with --memory-limit, "
        "read from the disk in every step, by the plan.",
    ),
    _klein(
        "klein-base",
        "FLUX.2 klein base 4B, bfloat16",
        "bf16",
        "black-forest-labs/FLUX.2-klein-base-4B",
        _DENSE_KLEIN,
        7_380_000_000,
        revision="a3b4f4849157f664bdbc776fd7453c2783562f4d",
        layout=layout.DIFFUSERS,
        recommended_steps=28,
        recommended_guidance=4.0,
        note="Not distilled: guidance and a negative prompt, in two passes a step and seven times as many steps, so "
        "about fourteen times the time; adapters are trained on it.",
    ),
    _klein(
        "klein-base-4bit",
        "FLUX.2 klein base 4B, 4 bits",
        "4-bit",
        None,
        _BASE_4BIT,
        1_980_000_000,
        layout=layout.PACKED,
        made_from="klein-base",
        recommended_steps=28,
        recommended_guidance=4.0,
        note="The same in 4 bits, packed on this machine while the original's 16 GB come, one file after the other: "
        "2.2 GB of memory while it draws 512x512 on a GPU, by the plan, where the original takes 7.8 GB.",
    ),
)

PartKind = Literal["text encoder", "decoder", "preview decoder"]
# Parts that take the place of a model's own. Nobody has published what pictures the retrained encoders give.
TEXT_ENCODERS = (
    Entry(
        name="ternary-bonsai",
        title="Ternary Bonsai 4B, 2 bits",
        precision="ternary",
        note="A Qwen3-4B that was trained again for three values a weight: half the size of the encoder that models "
        "bring, and not the one that they were trained with. Nobody has measured what pictures it gives.",
        repo="prism-ml/Ternary-Bonsai-4B-mlx-2bit",
        files=(CheckpointFile("config.json", 1_000), CheckpointFile("model.safetensors", 1_130_000_000)),
        layout=layout.QWEN,
    ),
    Entry(
        name="bonsai-1bit",
        title="Bonsai 4B, 1 bit",
        precision="binary",
        note="The same for two values a weight, a quarter of the size. Nobody has measured what pictures it gives.",
        repo="prism-ml/Bonsai-4B-mlx-1bit",
        files=(CheckpointFile("config.json", 1_000), CheckpointFile("model.safetensors", 630_000_000)),
        layout=layout.QWEN,
    ),
)
DECODERS = (
    Entry(
        name="small-decoder",
        title="FLUX.2 small decoder",
        note="28 million parameters instead of 50 million, and pictures near the full one's (31 to 41 dB, as its "
        "authors say); the encoder stays the model's own.",
        repo="black-forest-labs/FLUX.2-small-decoder",
        revision="a3efc24f613ef42d9428af62fdbd6f5fd8856c4a",
        files=(
            CheckpointFile("config.json", 1_000),
            CheckpointFile("diffusion_pytorch_model.safetensors", 125_000_000),
        ),
        aliases=("small",),
        layout=layout.VAE_ALONE,
    ),
)
PREVIEW_DECODERS = (
    Entry(
        name="taef2",
        title="TAEF2, for previews",
        note="A tiny decoder: while a picture is drawn it shows at full size what there is so far, for about a "
        "hundredth of the work of a step. For downloaded models, Bonsai too; the finished picture stays the same.",
        repo="madebyollin/taef2",
        files=(CheckpointFile("taef2.safetensors", 10_700_000),),
        layout=layout.TINY,
        licence="MIT",
    ),
)
PARTS = (*TEXT_ENCODERS, *DECODERS, *PREVIEW_DECODERS)


def parts(kind: PartKind) -> tuple[Entry, ...]:
    return {"text encoder": TEXT_ENCODERS, "decoder": DECODERS, "preview decoder": PREVIEW_DECODERS}[kind]


def kind_of(entry: Entry) -> PartKind | Literal["model"]:
    """Which kind of part it is; a model draws."""
    return next((kind for kind in get_args(PartKind) if entry in parts(kind)), "model")
