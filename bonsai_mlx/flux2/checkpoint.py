"""Open a checkpoint: typed configs, verified files, lazy tensors, clear errors.

`Checkpoint.open` reads JSON and the headers of weights only, so it is quick and needs no MLX. Headers are checked (see
`weights.safetensors`) and held against what the configs imply (names, dtypes, shapes) before MLX sees a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..decoding import Check
from ..errors import CheckpointError
from ..request import MAX_SIZE_PX, MAX_STEPS, MIN_SIZE_PX, SIZE_MULTIPLE_PX
from ..weights.layout import (
    DECODER,
    NOWHERE,
    PACKED,
    PREVIEW,
    SCHEDULER,
    TEXT_ENCODER,
    TRANSFORMER,
    VAE,
    Elsewhere,
    Layout,
)
from ..weights.source import Source
from ..weights.spec import Dimensions, Pair, Tensors, precision_of, up_to
from ..wording import command, user_path
from .parts import elsewhere
from .parts.agreement import disagreements
from .parts.components import Components, Part
from .parts.config import Latents, TextEncoderConfig, TransformerConfig, VaeConfig
from .parts.tiny_decoder import TinyConfig

if TYPE_CHECKING:
    import mlx.core as mx

SCHEDULER_CLASS = "FlowMatchEulerDiscreteScheduler"  # of diffusers
BERNOULLI_CLASS = "BernoulliScheduler"  # of checkpoints whose latents are bits
GUIDED_STEPS, GUIDANCE = 28, 4.0  # of a model that is not distilled; its authors take 50 steps


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified checkpoint. Every file was complete and as its configs say when it was opened."""

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
    sources: Mapping[str, Source] = field(default_factory=dict, compare=False)
    absent: Mapping[str, frozenset[str]] = field(default_factory=dict)  # tensors that a component does without
    distilled: bool = True  # one pass a step; otherwise two, which guidance takes apart
    latents: Latents | None = None  # of another kind than Gaussian ones
    other_decoder: VaeConfig | None = None

    @property
    def scheduler_class(self) -> str:
        return BERNOULLI_CLASS if self.latents else SCHEDULER_CLASS

    @property
    def recommended_guidance(self) -> float:
        """1 for a distilled model."""
        return 1.0 if self.distilled else GUIDANCE

    @property
    def precision(self) -> str:
        """What the transformer's blocks are stored in: "ternary", "binary", "4-bit", "bf16"."""
        config = self.transformer
        return f"{config.bits}-bit" if config.affine else precision_of(config.bits)

    @property
    def learned_references(self) -> bool:
        """Whether the model was trained to look at pictures; training for so few bits was for drawing alone."""
        return self.transformer.bits > 2

    @classmethod
    def open(
        cls,
        root: Path | str,
        *,
        repair: str | None = None,
        layout: Layout | None = None,
        companion: Path | str | None = None,
        elsewhere: Elsewhere = NOWHERE,
    ) -> Checkpoint:
        """Open and verify `root`: a folder, or a file with a transformer, whose other parts are the `companion`'s.

        A text encoder or a decoder that lies `elsewhere` takes the place of its own, and a tiny decoder draws previews
        where the VAE has latents of its kind. Raises CheckpointError; `repair` is the command to suggest for damaged
        files. The layout is told from what is there unless it is given.
        """
        root = user_path(root)
        repair = repair or f"get the checkpoint again ({command()} download --help)"
        if not root.exists():
            raise CheckpointError(f"{root}: there is no such checkpoint folder; {repair}")
        companion = companion or elsewhere.companion
        other = None if companion is None else cls.open(companion, repair=repair)
        return _Reader(root, layout, repair, other, elsewhere).read()

    def weights_file(self, component: str) -> Path:
        """The file of a component, the first of several."""
        return self.sources[component].paths[0]

    @property
    def decoder(self) -> VaeConfig:
        """The VAE whose decoder draws: the checkpoint's own, unless another one was given."""
        return self.other_decoder or self.vae

    @property
    def tiny_preview(self) -> bool:
        """Whether previews are drawn by a tiny decoder."""
        return PREVIEW in self.sources

    def expected(self, component: str) -> Tensors:
        configs: dict[str, TransformerConfig | TextEncoderConfig | VaeConfig | TinyConfig]
        configs = {TRANSFORMER: self.transformer, TEXT_ENCODER: self.text_encoder, VAE: self.vae, DECODER: self.decoder}
        configs[PREVIEW] = TinyConfig()
        absent = self.absent.get(component, frozenset())
        return {name: spec for name, spec in configs[component].tensors().items() if name not in absent}

    def load(self, component: str) -> dict[str, mx.array]:
        """The component's tensors as lazy MLX arrays: a tensor is read from disk when it is first evaluated."""
        return self.sources[component].load(self.expected(component))  # verified again: files may have changed

    def load_rows(self, component: str, tensor: str, rows: Sequence[int]) -> mx.array:
        """Some rows of a two-dimensional tensor, in the given order, without reading the others."""
        return self.sources[component].rows(self.expected(component), tensor, rows)

    def text_encoder_id(self) -> tuple[int, ...]:
        """What tells two text encoders apart; equal for hard links, so that checkpoints can share embeddings."""
        return self.sources[TEXT_ENCODER].identity()


def _drawable(size: tuple[int, int]) -> None:
    width, height = size
    if any(not MIN_SIZE_PX <= side <= MAX_SIZE_PX or side % SIZE_MULTIPLE_PX for side in size):
        raise ValueError(f"{width}x{height} is no size that can be drawn")


@dataclass(frozen=True, slots=True)
class _Recommendations:
    """What model_index.json may say about using the model; the defaults are the 4B model's."""

    text_encoder_out_layers: Dimensions = (9, 18, 27)
    max_sequence_length: Annotated[int, up_to(1 << 14)] = 512
    recommended_steps: Annotated[int, up_to(MAX_STEPS)] | None = None
    recommended_size: Annotated[Pair, Check(_drawable)] = (512, 512)
    is_distilled: bool | None = None


class _Reader:
    """Reads one checkpoint; keeps what every error message needs."""

    def __init__(
        self, root: Path, layout: Layout | None, repair: str, companion: Checkpoint | None, elsewhere: Elsewhere
    ) -> None:
        self.root, self.repair, self.companion, self.elsewhere = root, repair, companion, elsewhere
        self.given = layout
        self.parts = Components(repair)

    def read(self) -> Checkpoint:
        index = self._index()
        if index is not None and index.get("_class_name") != "Flux2KleinPipeline":
            raise CheckpointError(
                f"{self.root}: model_index.json names {index.get('_class_name')!r}, not Flux2KleinPipeline; "
                "this program runs Bonsai Image and FLUX.2 [klein] checkpoints only"
            )
        folders = self._folders(index)
        recommended = self._recommendations()
        distilled = recommended.is_distilled
        if distilled is None:  # single files and the other program's folders are told by their names
            distilled = index is not None or not any("base" in name.lower() for name in self._names())
        transformer, text_encoder, vae = self._parts(folders)
        decoder, preview = self._decoder(), self._preview(vae.config)
        sources = {TRANSFORMER: transformer.source, TEXT_ENCODER: text_encoder.source, VAE: vae.source}
        others = {name: part for name, part in ((DECODER, decoder), (PREVIEW, preview)) if part}
        checkpoint = Checkpoint(
            root=self.root,
            transformer=transformer.config,
            text_encoder=text_encoder.config,
            vae=vae.config,
            prompt_layers=recommended.text_encoder_out_layers,
            max_sequence_length=recommended.max_sequence_length,
            recommended_steps=recommended.recommended_steps or (4 if distilled else GUIDED_STEPS),
            recommended_size=recommended.recommended_size,
            folders=folders,
            layout=self.given or PACKED,
            sources=sources | {name: part.source for name, part in others.items()},
            absent={VAE: vae.absent} | {name: part.absent for name, part in others.items()},
            distilled=distilled,
            latents=self.parts.latents(self.root / "model_index.json", (index or {}).get("latents")),
            other_decoder=decoder.config if decoder else None,
        )
        if SCHEDULER in folders:
            self._check_scheduler(folders[SCHEDULER] / "scheduler_config.json", checkpoint.scheduler_class)
        parts = (checkpoint.transformer, checkpoint.text_encoder, checkpoint.vae, checkpoint.decoder)
        for what in disagreements(*parts, checkpoint.prompt_layers):
            raise CheckpointError(f"{self.root}: {what} do not agree; {self.repair}")
        for component, source in checkpoint.sources.items():
            source.verify(checkpoint.expected(component))
        return checkpoint

    def _names(self) -> Iterator[str]:
        """Of the file or folder, and of the repository that it is a snapshot of in the Hugging Face cache."""
        yield self.root.name
        if self.root.parent.name == "snapshots":
            yield self.root.parent.parent.name

    def _index(self) -> dict[str, Any] | None:
        """model_index.json; None for what others write without one."""
        path = self.root / "model_index.json"
        if self.root.is_file() or (not path.exists() and not path.is_symlink() and self._is_bare()):
            return None
        return self.parts.json(path)

    def _is_bare(self) -> bool:
        """Whether there are weights as other programs leave them, which have no model_index.json."""
        folder = self.root / TRANSFORMER
        place = folder if folder.is_dir() else self.root
        return any(path.suffix in (".safetensors", ".gguf") for path in place.iterdir())

    def _recommendations(self) -> _Recommendations:
        path = self.root / "model_index.json"
        if path.is_file():
            return self.parts.config(path, _Recommendations)
        if self.companion is None:
            return _Recommendations()
        layers, length = self.companion.prompt_layers, self.companion.max_sequence_length
        return _Recommendations(layers, length, None, self.companion.recommended_size)

    def _parts(
        self, folders: Mapping[str, Path]
    ) -> tuple[Part[TransformerConfig], Part[TextEncoderConfig], Part[VaeConfig]]:
        own, parts, other = self.given is not None, self.parts, self.companion
        place = {component: folders[component] for component in (TRANSFORMER, TEXT_ENCODER, VAE)}
        published = {component: own or folder.name == PACKED.folder(component) for component, folder in place.items()}
        published[VAE] = published[TRANSFORMER] and published[TEXT_ENCODER]
        transformer = parts.transformer(place[TRANSFORMER], published=published[TRANSFORMER])
        if self.elsewhere.text_encoder is not None:
            encoder = elsewhere.text_encoder(self.elsewhere.text_encoder, self.root.name)
        elif other and place[TEXT_ENCODER] == other.folders[TEXT_ENCODER]:
            encoder = Part(other.text_encoder, other.sources[TEXT_ENCODER])
        else:
            encoder = parts.text_encoder(place[TEXT_ENCODER], published=published[TEXT_ENCODER])
        if other and place[VAE] == other.folders[VAE]:
            return transformer, encoder, Part(other.vae, other.sources[VAE], other.absent.get(VAE, frozenset()))
        return transformer, encoder, parts.vae(place[VAE], published=published[VAE])

    def _decoder(self) -> Part[VaeConfig] | None:
        place = self.elsewhere.decoder
        return None if place is None else elsewhere.decoder(place, self.root.name)

    def _preview(self, config: VaeConfig) -> Part[TinyConfig] | None:
        if config.latent_channels != TinyConfig().latent_channels:
            return None
        given = self.elsewhere.preview
        place = given if given is None or isinstance(given, Path) else given()
        return None if place is None else elsewhere.preview_decoder(place)

    def _folders(self, index: Mapping[str, Any] | None) -> dict[str, Path]:
        """Where each component is: in the folder itself, or in a neighbouring folder that several checkpoints share."""
        roots = [self.root]
        if common := (index or {}).get("_common_folder"):
            shared = (self.root / str(common)).resolve()
            if shared.parent != self.root.resolve().parent:
                raise CheckpointError(f"{self.root}: _common_folder {common!r} is not a neighbour of this folder")
            roots.append(shared)
        folders: dict[str, Path] = {}
        for component in (self.given or PACKED).components:
            names = [component.folder] if self.given else list(dict.fromkeys([component.folder, component.name]))
            found = [root / name for root in roots for name in names if (root / name).is_dir()]
            if not found and component.name == TRANSFORMER and not self.given and self._is_single():
                found = [self.root]
            if not found and self.companion:
                found = [self.companion.folders[component.name]] if component.name in self.companion.folders else []
            if not found and not (component.name == SCHEDULER and index is None):
                raise CheckpointError(f"{self.root}: {self._lacks(component.name, component.folder)}")
            if found:
                folders[component.name] = found[0]
        if self.companion and not set(folders.values()) & set(self.companion.folders.values()):
            message = f"{self.root} is a whole checkpoint and takes nothing of another; leave out {self.companion.root}"
            raise CheckpointError(message)
        for place in folders.values():
            if place.is_dir():
                elsewhere.refuse_unsafe_files(place, self.repair)
        return folders

    def _is_single(self) -> bool:
        return self.root.is_file() or not (self.root / "model_index.json").exists()

    def _lacks(self, component: str, folder: str) -> str:
        if self.root.is_file():
            return f"it is a transformer alone; name a checkpoint with a {component.replace('_', ' ')} (--companion)"
        return f"the folder {folder} is missing; {self.repair}"

    def _check_scheduler(self, path: Path, expected: str) -> None:
        """A kind of latents has one schedule here; a model that was made for another would draw badly."""
        named = self.parts.json(path).get("_class_name")
        if named != expected:
            raise CheckpointError(f"{path}: names {named!r}, not {expected}; {self.repair}")
