"""Where the parts of a checkpoint lie: the folder of each component, and the files that make it whole.

What is downloaded, what is opened and what is written all follow one `Layout`. Components are called by what they do
("transformer", "vae"), which is also how diffusers names them; the folder that holds one is the layout's choice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

INDEX = "model_index.json"  # a folder without it is no checkpoint
TRANSFORMER, TEXT_ENCODER, VAE = "transformer", "text_encoder", "vae"
DECODER = "decoder"  # of another VAE than the checkpoint's own
PREVIEW = "preview"  # a tiny decoder
TOKENIZER, SCHEDULER = "tokenizer", "scheduler"
SAFE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"  # no leading dot, so no "..", and nothing a shell or a browser interprets
_SAFE_PATH = re.compile(rf"(?:{SAFE_NAME}/)?{SAFE_NAME}")


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a checkpoint: its folder, and names of files in there."""

    name: str
    folder: str  # empty: the checkpoint's own
    required: tuple[str, ...]
    allowed: tuple[str, ...]  # patterns of what is ever downloaded: no pickle, no code, no other weights
    weights: str = ""  # the file with its tensors, one of `required`; empty where it has none

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name


@dataclass(frozen=True, slots=True)
class Layout:
    """The components of a checkpoint, in the order in which missing files are named."""

    components: tuple[Component, ...]
    documents: tuple[str, ...] = ("LICENSE", "NOTICE.md")  # taken along if they are there
    indexed: bool = True  # with a model_index.json

    def component(self, name: str) -> Component:
        """The component of that name; KeyError if there is none."""
        found = {component.name: component for component in self.components}
        return found[name]

    def folder(self, name: str) -> str:
        """The folder of a component, relative to the checkpoint's."""
        return self.component(name).folder

    def weights(self, name: str) -> str:
        """The file with a component's tensors, relative to the checkpoint's folder, with forward slashes."""
        component = self.component(name)
        return component.path(component.weights)

    @property
    def required_files(self) -> tuple[str, ...]:
        """The files without which a checkpoint is incomplete, relative to its folder, with forward slashes."""
        index = (INDEX,) if self.indexed else ()
        return (*index, *(part.path(name) for part in self.components for name in part.required))

    @property
    def allow_patterns(self) -> tuple[str, ...]:
        """Patterns of the only files that are ever downloaded."""
        parts = (part.path(pattern) for part in self.components for pattern in part.allowed)
        return (INDEX, *self.documents, *parts)

    def allows(self, path: str) -> bool:
        """True if a repository's file belongs to the layout and has a harmless name."""
        return _SAFE_PATH.fullmatch(path) is not None and any(fnmatchcase(path, each) for each in self.allow_patterns)

    def missing(self, paths: Iterable[str]) -> list[str]:
        present = set(paths)
        return [path for path in self.required_files if path not in present]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where parts of a model lie that are not those in its own folder."""

    companion: Path | None = None  # a checkpoint whose text encoder and VAE serve a file that has none
    text_encoder: Path | None = None
    decoder: Path | None = None  # a VAE whose decoder draws
    preview: Path | Callable[[], Path | None] | None = None  # a tiny decoder, asked for where it fits the VAE


NOWHERE = Elsewhere()


PACKED = Layout(  # of the published Bonsai Image checkpoints
    (
        Component(SCHEDULER, "scheduler", ("scheduler_config.json",), ("*.json",)),
        Component(
            TEXT_ENCODER,
            "text_encoder-mlx-4bit",
            ("config.json", "model.safetensors"),
            ("config.json", "*.safetensors", "*.safetensors.index.json"),  # its tokenizer files repeat tokenizer/
            "model.safetensors",
        ),
        Component(TOKENIZER, "tokenizer", ("tokenizer.json",), ("*.json", "*.jinja", "*.txt")),
        Component(
            TRANSFORMER,
            "transformer-packed-mflux",
            ("config.json", "quantization_config.json", "diffusion_pytorch_model.safetensors"),
            ("*.json", "*.safetensors"),
            "diffusion_pytorch_model.safetensors",
        ),
        Component(
            VAE,
            "vae",
            ("config.json", "diffusion_pytorch_model.safetensors"),
            ("*.json", "*.safetensors"),
            "diffusion_pytorch_model.safetensors",
        ),
    )
)
_WHOLE = "diffusion_pytorch_model.safetensors"
_TOKENIZER = Component(TOKENIZER, "tokenizer", ("tokenizer.json",), ("*.json", "*.jinja", "*.txt"))
_INDEX = ".index.json"  # ends the name of what says which shards there are


def _diffusers(text_encoder: str, transformer: str) -> Layout:
    """As diffusers writes FLUX.2 [klein], not packed, with the files that each of the two begins with."""
    weights = "" if transformer.endswith(_INDEX) else transformer
    return Layout(
        (
            Component(SCHEDULER, "scheduler", ("scheduler_config.json",), ("*.json",)),
            Component(
                TEXT_ENCODER,
                "text_encoder",
                ("config.json", text_encoder),
                ("config.json", "*.safetensors", "*.safetensors.index.json"),
            ),
            _TOKENIZER,
            Component(TRANSFORMER, "transformer", ("config.json", transformer), ("*.json", "*.safetensors"), weights),
            Component(VAE, "vae", ("config.json", _WHOLE), ("*.json", "*.safetensors"), _WHOLE),
        )
    )


DIFFUSERS = _diffusers("model.safetensors" + _INDEX, _WHOLE)
_OTHERS_OF_DIFFUSERS = (
    _diffusers("model.safetensors", _WHOLE),
    _diffusers("model.safetensors" + _INDEX, _WHOLE + _INDEX),
    _diffusers("model.safetensors", _WHOLE + _INDEX),
)
MFLUX = Layout(  # of the other MLX program: shards that are numbered, and nothing that says what they are
    (
        Component(TEXT_ENCODER, "text_encoder", ("0.safetensors",), ("*.json", "*.safetensors")),
        _TOKENIZER,
        Component(TRANSFORMER, "transformer", ("0.safetensors",), ("*.json", "*.safetensors")),
        Component(VAE, "vae", ("0.safetensors",), ("*.json", "*.safetensors")),
    ),
    indexed=False,
)
QWEN = Layout(  # a text encoder alone, as mlx-lm writes it: files in the repository itself
    (
        Component(
            TEXT_ENCODER,
            "",
            ("config.json", "model.safetensors"),
            ("config.json", "model.safetensors", "model.safetensors.index.json"),
            "model.safetensors",
        ),
    ),
    indexed=False,
)
VAE_ALONE = Layout((Component(VAE, "", ("config.json", _WHOLE), ("config.json", _WHOLE), _WHOLE),), indexed=False)
TINY = Layout(  # a tiny decoder alone
    (Component(PREVIEW, "", ("taef2.safetensors",), ("taef2.safetensors",), "taef2.safetensors"),), indexed=False
)
MODELS = (PACKED, DIFFUSERS, *_OTHERS_OF_DIFFUSERS, MFLUX)  # of what draws
LAYOUTS = (*MODELS, QWEN, VAE_ALONE, TINY)


def is_part(path: str) -> bool:
    return any(layout.allows(path) for layout in LAYOUTS)


def is_whole(paths: Iterable[str]) -> bool:
    """True if files of these names make a checkpoint in some layout."""
    present = set(paths)
    return not all(layout.missing(present) for layout in LAYOUTS)
