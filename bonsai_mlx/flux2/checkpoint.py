"""Open a checkpoint folder in the published layout: typed configs, verified files, lazy tensors, clear errors.

`Checkpoint.open` reads JSON and safetensors headers only, so it is quick and needs no MLX. Headers are checked (see
`weights.safetensors`) and held against what the configs imply (names, dtypes, shapes) before MLX sees a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open

from ..decoding import Check, decode
from ..errors import CheckpointError
from ..fileio import read_bounded
from ..request import MAX_SIZE_PX, MAX_STEPS, MIN_SIZE_PX, SIZE_MULTIPLE_PX
from ..weights.layout import PACKED, SCHEDULER, TEXT_ENCODER, TRANSFORMER, VAE, Layout
from ..weights.safetensors import read_header
from ..weights.spec import Dimensions, Packing, Pair, TensorSpec, precision_of, up_to
from ..wording import command, user_path
from .config import TextEncoderConfig, TransformerConfig, VaeConfig

if TYPE_CHECKING:
    import mlx.core as mx

SCHEDULER_CLASS = "FlowMatchEulerDiscreteScheduler"  # of diffusers
# Formats that can run code when they are read, or that no check here covers.
_REFUSED_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".py", ".npy", ".npz", ".gguf"}
# A server reads these beside everything else, so what is no such file must not be parsed: the published ones have 5 KB
# and less.
_MAX_JSON_BYTES = 64 << 10
_MAX_SIDE = 2**31 - 1  # MLX keeps sides in 32 bits and would cut longer ones off without a word
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified checkpoint folder. Every file was complete and as its configs say when it was opened."""

    root: Path
    transformer: TransformerConfig
    text_encoder: TextEncoderConfig
    vae: VaeConfig
    prompt_layers: tuple[int, ...]  # hidden states that make the prompt embeddings; 0 is the token embedding
    max_sequence_length: int  # tokens; a prompt is always padded to this many
    recommended_steps: int
    recommended_size: tuple[int, int]  # pixels, width x height
    folders: Mapping[str, Path]  # component -> the folder that holds it
    layout: Layout

    @property
    def precision(self) -> str:
        """What the transformer's blocks are packed to: "ternary", "binary", "4-bit"."""
        return precision_of(self.transformer.bits)

    @property
    def learned_references(self) -> bool:
        """Whether the model was trained to look at pictures; training for so few bits was for drawing alone."""
        return self.transformer.bits > 2

    @classmethod
    def open(cls, root: Path | str, *, repair: str | None = None, layout: Layout = PACKED) -> Checkpoint:
        """Open and verify `root`. Raises CheckpointError; `repair` is the command to suggest for damaged files."""
        root = user_path(root)
        reader = _Reader(root, layout, repair or f"get the checkpoint again ({command()} download --help)")
        if not root.is_dir():
            raise CheckpointError(f"{root}: there is no such checkpoint folder; {reader.repair}")
        return reader.read()

    def weights_file(self, component: str) -> Path:
        """The safetensors file of a component."""
        return self.folders[component] / self.layout.component(component).weights

    def expected(self, component: str) -> dict[str, TensorSpec]:
        """Every tensor of a component's file."""
        configs: dict[str, TransformerConfig | TextEncoderConfig | VaeConfig]
        configs = {TRANSFORMER: self.transformer, TEXT_ENCODER: self.text_encoder, VAE: self.vae}
        return configs[component].tensors()

    def load(self, component: str) -> dict[str, mx.array]:
        """The component's tensors as lazy MLX arrays: a tensor is read from disk when it is first evaluated."""
        import mlx.core as mx  # here, so that opening a checkpoint needs no MLX

        path = self.weights_file(component)
        verify_weights(path, self.expected(component))  # the file may have changed since the folder was opened
        return mx.load(str(path))  # type: ignore[return-value]

    def text_encoder_id(self) -> tuple[int, int, int, int]:
        """What tells two text encoder files apart; equal for hard links, so that checkpoints can share embeddings."""
        stat = self.weights_file(TEXT_ENCODER).stat()
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns

    def load_rows(self, component: str, tensor: str, rows: Sequence[int]) -> mx.array:
        """Some rows of a two-dimensional tensor, in the given order, without reading the others."""
        import mlx.core as mx

        path = self.weights_file(component)
        verify_weights(path, self.expected(component))
        start, entry = read_header(path)
        count, width = entry[tensor]["shape"]
        if max(rows) >= count:
            raise CheckpointError(f"{path}: {tensor} has {count} rows, but the tokenizer gives token {max(rows)}")
        offset = start + entry[tensor]["data_offsets"][0]
        if entry[tensor]["dtype"] == "U32":
            table = np.memmap(path, np.uint32, "r", offset, tuple(entry[tensor]["shape"]))
            return mx.array(table[np.asarray(rows)])
        table = np.memmap(path, np.uint16, "r", offset, tuple(entry[tensor]["shape"]))
        half = mx.bfloat16 if entry[tensor]["dtype"] == "BF16" else mx.float16
        return mx.array(table[np.asarray(rows)]).view(half).reshape(-1, width)


def verify_weights(path: Path, expected: Mapping[str, TensorSpec], repair: str = "download it again") -> None:
    """Raise CheckpointError unless `path` holds exactly the expected tensors and nothing else."""
    try:
        read_header(path)
        with safe_open(str(path), "np") as file:
            slices = {name: file.get_slice(name) for name in list(file.keys())}
            found = {name: (item.get_dtype(), tuple(item.get_shape())) for name, item in slices.items()}
    except FileNotFoundError:
        raise CheckpointError(f"{path}: the file is missing; {repair}") from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a complete safetensors file ({error}); {repair}") from error
    if missing := sorted(expected.keys() - found.keys()):
        raise CheckpointError(f"{path}: tensor {missing[0]} is missing ({len(missing)} in all); {repair}")
    if extra := sorted(found.keys() - expected.keys()):
        raise CheckpointError(f"{path}: unexpected tensor {extra[0]} ({len(extra)} in all); {repair}")
    for name, spec in expected.items():
        dtype, shape = found[name]
        if any(side > _MAX_SIDE for side in shape):
            raise CheckpointError(f"{path}: tensor {name} is {list(shape)}, longer than can be loaded; {repair}")
        if dtype not in spec.dtypes or shape != spec.shape:
            wanted = f"{' or '.join(spec.dtypes)} {list(spec.shape)}"
            raise CheckpointError(f"{path}: tensor {name} is {dtype} {list(shape)}, expected {wanted}; {repair}")


def _packed_widths(config: TextEncoderConfig) -> tuple[int, ...]:
    """Inputs of the text encoder's packed matrices."""
    return config.hidden_size, config.intermediate_size, config.num_attention_heads * config.head_dim


def _drawable(size: tuple[int, int]) -> None:
    width, height = size
    if any(not MIN_SIZE_PX <= side <= MAX_SIZE_PX or side % SIZE_MULTIPLE_PX for side in size):
        raise ValueError(f"{width}x{height} is no size that can be drawn")


@dataclass(frozen=True, slots=True)
class _Recommendations:
    """What model_index.json may say about using the model; the defaults are the 4B model's."""

    text_encoder_out_layers: Dimensions = (9, 18, 27)
    max_sequence_length: Annotated[int, up_to(1 << 14)] = 512
    recommended_steps: Annotated[int, up_to(MAX_STEPS)] = 4
    recommended_size: Annotated[Pair, Check(_drawable)] = (512, 512)


class _Reader:
    """Reads one folder; keeps what every error message needs."""

    def __init__(self, root: Path, layout: Layout, repair: str) -> None:
        self.root = root
        self.layout = layout
        self.repair = repair

    def read(self) -> Checkpoint:
        index = self._json(self.root / "model_index.json")
        if index.get("_class_name") != "Flux2KleinPipeline":
            raise CheckpointError(
                f"{self.root}: model_index.json names {index.get('_class_name')!r}, not Flux2KleinPipeline; "
                "this program runs Bonsai Image checkpoints only"
            )
        folders = self._folders(index)
        recommended = self._config(self.root / "model_index.json", _Recommendations)
        checkpoint = Checkpoint(
            root=self.root,
            transformer=self._transformer(folders[TRANSFORMER]),
            text_encoder=self._text_encoder(folders[TEXT_ENCODER]),
            vae=self._config(folders[VAE] / "config.json", VaeConfig),
            prompt_layers=recommended.text_encoder_out_layers,
            max_sequence_length=recommended.max_sequence_length,
            recommended_steps=recommended.recommended_steps,
            recommended_size=recommended.recommended_size,
            folders=folders,
            layout=self.layout,
        )
        self._check_scheduler(folders[SCHEDULER] / "scheduler_config.json")
        self._check_agreement(checkpoint)
        for component in (TRANSFORMER, TEXT_ENCODER, VAE):
            verify_weights(checkpoint.weights_file(component), checkpoint.expected(component), self.repair)
        return checkpoint

    def _folders(self, index: Mapping[str, Any]) -> dict[str, Path]:
        """Where each component is: in the folder itself, or in a neighbouring folder that several checkpoints share."""
        roots = [self.root]
        if common := index.get("_common_folder"):
            shared = (self.root / str(common)).resolve()
            if shared.parent != self.root.resolve().parent:
                raise CheckpointError(f"{self.root}: _common_folder {common!r} is not a neighbour of this folder")
            roots.append(shared)
        folders = {}
        for component in self.layout.components:
            found = [root / component.folder for root in roots if (root / component.folder).is_dir()]
            if not found:
                raise CheckpointError(f"{self.root}: the folder {component.folder} is missing; {self.repair}")
            folders[component.name] = found[0]
            self._refuse_unsafe_files(found[0])
        return folders

    def _refuse_unsafe_files(self, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in _REFUSED_SUFFIXES:
                raise CheckpointError(
                    f"{path}: files of this type can carry code and are never part of a checkpoint; delete it, or "
                    f"{self.repair}"
                )

    def _transformer(self, folder: Path) -> TransformerConfig:
        config = self._config(folder / "config.json", TransformerConfig)
        packing = self._config(folder / "quantization_config.json", Packing)
        return replace(config, bits=packing.bits, group_size=packing.group_size)

    def _text_encoder(self, folder: Path) -> TextEncoderConfig:
        path = folder / "config.json"
        values = self._json(path)
        stored = values.get("quantization") or values.get("quantization_config")
        if not isinstance(stored, dict):
            raise CheckpointError(f"{path}: quantization must say how the text encoder is packed; {self.repair}")
        packing = self._decoded(path, Packing, stored)
        config = self._decoded(path, TextEncoderConfig, values)
        return replace(config, bits=packing.bits, group_size=packing.group_size)

    def _check_scheduler(self, path: Path) -> None:
        """There is one schedule here, see `scheduler`; a model that was made for another would draw badly."""
        named = self._json(path).get("_class_name")
        if named != SCHEDULER_CLASS:
            raise CheckpointError(f"{path}: names {named!r}, not {SCHEDULER_CLASS}; {self.repair}")

    def _check_agreement(self, checkpoint: Checkpoint) -> None:
        """The parts must fit together, or shapes would clash deep inside a run."""
        transformer, encoder, vae = checkpoint.transformer, checkpoint.text_encoder, checkpoint.vae
        axes, groups = transformer.axes_dims_rope, vae.norm_num_groups
        for ok, what in (
            (len(axes) == 4 and not any(axis % 2 for axis in axes), "axes_dims_rope and four axes of channel pairs"),
            (transformer.timestep_guidance_channels % 2 == 0, "timestep_guidance_channels and pairs of waves"),
            (
                all(width % transformer.group_size == 0 for width in (transformer.dim, transformer.mlp_dim)),
                "the transformer's widths and the group size",
            ),
            (encoder.num_attention_heads % encoder.num_key_value_heads == 0, "attention heads and key-value heads"),
            (encoder.head_dim % 2 == 0, "the text encoder's head_dim and pairs of channels"),
            (
                all(width % encoder.group_size == 0 for width in _packed_widths(encoder)),
                "the text encoder's widths and the group size",
            ),
            (all(width % groups == 0 for width in vae.block_out_channels), "block_out_channels and norm_num_groups"),
            ((vae.in_channels, vae.out_channels) == (3, 3), "the VAE and red, green and blue"),
            (sum(transformer.axes_dims_rope) == transformer.attention_head_dim, "axes_dims_rope and the head size"),
            (vae.latent_channels * 4 == transformer.in_channels, "the VAE's latents and the transformer's in_channels"),
            (vae.scale_factor == 8 and vae.patch_size == (2, 2), "the VAE's scale and 16 pixels a token"),
            (
                encoder.hidden_size * len(checkpoint.prompt_layers) == transformer.joint_attention_dim,
                "the prompt layers and joint_attention_dim",
            ),
            (
                all(0 < layer < encoder.num_hidden_layers for layer in checkpoint.prompt_layers),
                "text_encoder_out_layers and the number of layers",
            ),
        ):
            if not ok:
                raise CheckpointError(f"{self.root}: {what} do not agree; {self.repair}")

    def _config(self, path: Path, kind: type[C]) -> C:
        return self._decoded(path, kind, self._json(path))

    def _decoded(self, path: Path, kind: type[C], values: Mapping[str, Any]) -> C:
        try:
            return decode(kind, values)
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}; {self.repair}") from None

    def _json(self, path: Path) -> dict[str, Any]:
        try:
            value = json.loads(read_bounded(path, _MAX_JSON_BYTES, follow_symlinks=True))
        except FileNotFoundError:
            raise CheckpointError(f"{path}: the file is missing; {self.repair}") from None
        except OSError as error:
            raise CheckpointError(f"{path}: {error.strerror or error}; {self.repair}") from error
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path}: not readable as JSON ({error}); {self.repair}") from error
        if not isinstance(value, dict):
            raise CheckpointError(f"{path}: a JSON object is expected; {self.repair}")
        return value
