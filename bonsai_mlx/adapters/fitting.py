"""An adapter's file held against the linears of a model: every key is accounted for, or the file is refused.

The sentence that refuses it says what the file is for. Nothing here imports MLX.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .file import AdapterError, AdapterFile, scalar
from .names import Target, known_names, taken_apart, without_prefix
from .origin import FAMILIES, made_for, other_kind

MAX_RANK = 2048
_DTYPES = ("BF16", "F16", "F32")
_AGAIN = "get it again, or another one"
Linears = Mapping[str, tuple[int, int]]  # a model's: name -> (out, in)
Slots = dict[str, str]  # slot -> key, see names.Key


@dataclass(frozen=True, slots=True)
class Part:
    """What an adapter adds to one linear, as keys of its file.

    `down` and `up` are a LoRA's two; a LoKr has `first` and `second`, each of one key or of two whose product it is.
    """

    module: str
    scale: float  # alpha / rank
    down: str = ""
    up: str = ""
    first: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    rows: tuple[slice, ...] = ()  # of what the keys make, where that is more than this linear or in another order

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.down, self.up) if self.down else (*self.first, *self.second)


@dataclass(frozen=True, slots=True)
class FittedAdapter:
    """An adapter that fits a model, linear by linear."""

    file: AdapterFile
    digest: str
    parts: Mapping[str, Part]

    def values(self, module: str) -> int:
        part = self.parts.get(module)
        return sum(math.prod(self._kept(part, key)) for key in part.keys) if part else 0

    def _kept(self, part: Part, key: str) -> tuple[int, ...]:
        """The shape of what is kept of a tensor for a part: of a LoRA's `up`, its rows alone."""
        shape = self.file.tensors[key].shape
        if key == part.up and part.rows:
            return sum(piece.stop - piece.start for piece in part.rows), shape[1]
        return shape

    @property
    def kind(self) -> str:
        """ "LoRA, rank 16", "LoKr" or both, for people."""
        ranks = sorted({self.file.tensors[part.down].shape[0] for part in self.parts.values() if part.down})
        lora = f"LoRA, rank {' to '.join(map(str, sorted({ranks[0], ranks[-1]})))}" if ranks else ""
        return " and ".join(filter(None, (lora, "LoKr" if any(part.first for part in self.parts.values()) else "")))


def fitted(file: AdapterFile, linears: Linears) -> FittedAdapter:
    """What the file adds to a model with these linears. AdapterError says why it does not fit."""
    return FittedAdapter(file, file.verified(), parts_of(file, linears))


def parts_of(file: AdapterFile, linears: Linears) -> dict[str, Part]:
    """As `fitted`, from the header and a few single numbers alone."""
    groups = _grouped(file)
    if not groups:
        raise AdapterError(f"{file.path.name}: there is no adapter in it, it is an empty file; {_AGAIN}")
    known = known_names(linears)
    if any(stem not in known for stem in groups) or _fits_nowhere(file, groups, known, linears):
        raise AdapterError(f"{file.path.name}: {_mismatch(file, groups, known, linears)}")
    parts: dict[str, Part] = {}
    for stem, slots in groups.items():
        for part in _Reader(file, stem, slots, known[stem], linears).parts():
            if part.module in parts:
                raise AdapterError(f"{file.path.name}: changes {part.module} twice, under different names; {_AGAIN}")
            parts[part.module] = part
    return parts


def origin_of(file: AdapterFile) -> str:
    return made_for(_inputs(file, _grouped(file)))


def _grouped(file: AdapterFile) -> dict[str, Slots]:
    """Keys by the linear that they belong to. AdapterError for a key of a kind that is not known."""
    if kind := other_kind(file.tensors):
        raise AdapterError(
            f"{file.path.name}: it is {kind}, made for {_rough_origin(file)}; LoRA and LoKr are what can be used here"
        )
    groups: dict[str, Slots] = {}
    for key, stored in file.tensors.items():
        parts = taken_apart(key)
        if parts is None:
            raise AdapterError(f"{file.path.name}: {_unread(file, key)}")
        if stored.dtype not in _DTYPES and parts.slot != "alpha":
            raise AdapterError(
                f"{file.path.name}: {key} has numbers of the type {stored.dtype}; get the adapter in BF16, F16 or F32"
            )
        slots = groups.setdefault(parts.stem, {})
        if parts.slot in slots:
            raise AdapterError(f"{file.path.name}: {key} and {slots[parts.slot]} say the same thing twice; {_AGAIN}")
        slots[parts.slot] = key
    return groups


def _unread(file: AdapterFile, key: str) -> str:
    adapts = any("lora" in one or "lokr" in one for one in file.tensors)
    if not adapts:
        model = _rough_origin(file)
        return f"it is no adapter but weights of a model ({model}), such as {key[:100]!r}; choose it with --model"
    here = f"holds something that no LoRA or LoKr has, such as {key[:100]!r}"
    return f"{here}; it looks like one for {_rough_origin(file)}; {_AGAIN}"


def _rough_origin(file: AdapterFile) -> str:
    """As `origin_of`, of a file whose keys are not all known."""
    inputs: dict[str, int] = {}
    for key, stored in file.tensors.items():
        parts = taken_apart(key)
        weights = key.endswith(".weight") and parts is None
        stem = parts.stem if parts else without_prefix(key).rsplit(".", 1 + (not weights))[0]
        inner = stored.shape[-1] if weights or (parts and parts.slot == "down") else 0
        inputs[stem] = max(inputs.get(stem, 0), inner if len(stored.shape) == 2 else 0)
    return made_for(inputs)


def _inputs(file: AdapterFile, groups: Mapping[str, Slots]) -> dict[str, int]:
    """The numbers of inputs that the linears must have; 0 where a file does not say."""
    return {stem: _columns(file, slots, "down") or _columns_of_product(file, slots) for stem, slots in groups.items()}


def _columns_of_product(file: AdapterFile, slots: Slots) -> int:
    """Of a Kronecker product, whose factors are whole or in two parts."""
    first, second = (_columns(file, slots, name) or _columns(file, slots, f"{name}_b") for name in ("w1", "w2"))
    return first * second


def _columns(file: AdapterFile, slots: Slots, slot: str) -> int:
    shape = file.tensors[slots[slot]].shape if slot in slots else ()
    return shape[1] if len(shape) > 1 else 0


def _fits_nowhere(
    file: AdapterFile, groups: Mapping[str, Slots], known: Mapping[str, Target], linears: Linears
) -> bool:
    """Whether names are right and sizes are those of another model: no LoRA in it has the inputs that it should."""
    inputs = _inputs(file, groups)
    sized = [stem for stem, count in inputs.items() if count]
    return bool(sized) and all(inputs[stem] != linears[known[stem].modules[0]][1] for stem in sized)


def _mismatch(file: AdapterFile, groups: Mapping[str, Slots], known: Mapping[str, Target], linears: Linears) -> str:
    made, here = made_for(_inputs(file, groups)), made_for({name: size[1] for name, size in linears.items()})
    unknown = [stem for stem in groups if stem not in known]
    if unknown and len(unknown) < len(groups) and made == here:
        return f"changes {unknown[0][:100]!r}, which this model does not have; {_AGAIN}"
    family = here.partition(":")[0]
    remedy = f", and takes adapters for {family}" if family in FAMILIES else ", and takes adapters for just that"
    return f"made for {made}; this model has {_blocks(linears)} of width {_width(linears)}{remedy}"


def _blocks(linears: Linears) -> str:
    names = {name.split(".attn.")[0] for name in linears if ".attn." in name}
    double = sum(name.startswith("transformer_blocks") for name in names)
    return f"{double} double and {len(names) - double} single blocks"


def _width(linears: Linears) -> int:
    return next(size[1] for name, size in linears.items() if name.endswith((".to_q", ".to_qkv_mlp_proj")))


class _Reader:
    """Reads what belongs to one name; keeps what every error message needs."""

    def __init__(self, file: AdapterFile, stem: str, slots: Slots, target: Target, linears: Linears) -> None:
        self.file, self.stem, self.slots, self.target = file, stem, slots, target
        self.widths = [linears[module][0] for module in target.modules]
        self.outputs, self.inputs = sum(self.widths), linears[target.modules[0]][1]

    def parts(self) -> list[Part]:
        kinds = self.slots.keys() - {"alpha"}
        whole = self._lora() if kinds & {"down", "up"} else self._lokr()
        return [
            Part(module, whole.scale, whole.down, whole.up, whole.first, whole.second, rows)
            for module, rows in zip(self.target.modules, self._rows(), strict=True)
        ]

    def _rows(self) -> list[tuple[slice, ...]]:
        if self.target.swapped:
            half = self.outputs // 2
            return [(slice(half, self.outputs), slice(0, half))]
        if len(self.widths) == 1:
            return [()]
        ends = [sum(self.widths[:place]) for place in range(len(self.widths) + 1)]
        return [(slice(start, stop),) for start, stop in pairwise(ends)]

    def _lora(self) -> Part:
        down, up = self._key("down", "up"), self._key("up", "down")
        self._only("down", "up", "alpha")
        (rank, inputs), (outputs, other_rank) = self._shape(down), self._shape(up)
        if rank != other_rank or (outputs, inputs) != (self.outputs, self.inputs):
            self._refuse(f"{down} is {[rank, inputs]} and {up} {[outputs, other_rank]}")
        self._check_rank(rank)
        return Part("", self._lora_scale(rank), down=down, up=up)

    def _lokr(self) -> Part:
        first, second = self._factor("w1"), self._factor("w2")
        self._only("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "alpha")
        (a, b), (c, d) = self._product(first), self._product(second)
        if (a * c, b * d) != (self.outputs, self.inputs):
            self._refuse(f"its factors are {[a, b]} and {[c, d]}")
        return Part("", self._lokr_scale(first, second), first=first, second=second)

    def _factor(self, name: str) -> tuple[str, ...]:
        if name in self.slots:
            if {f"{name}_a", f"{name}_b"} & self.slots.keys():
                self._fail(f"has {name} whole and in parts; {_AGAIN}")
            return (self.slots[name],)
        return self._key(f"{name}_a", name), self._key(f"{name}_b", name)

    def _product(self, keys: tuple[str, ...]) -> tuple[int, int]:
        rows, rank = self._shape(keys[0])
        if len(keys) == 1:
            return rows, rank
        other_rank, columns = self._shape(keys[1])
        if rank != other_rank:
            self._refuse(f"{keys[0]} is {[rows, rank]} and {keys[1]} {[other_rank, columns]}")
        self._check_rank(rank)
        return rows, columns

    def _lora_scale(self, rank: int) -> float:
        if "alpha" in self.slots:
            return scalar(self.file, self.slots["alpha"]) / rank
        config = self.file.config
        alpha = _of_pattern(config.get("alpha_pattern"), self.stem, config.get("lora_alpha", rank))
        if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not math.isfinite(alpha):
            self._fail(f"has the alpha {str(alpha)[:40]!r}, which is no number; {_AGAIN}")
        if config.get("use_dora"):
            self._fail("says that it is a DoRA, which cannot be used here")
        return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") is True else rank)

    def _lokr_scale(self, first: tuple[str, ...], second: tuple[str, ...]) -> float:
        """alpha / rank where a factor is split. PEFT's own, which says so, has its alpha / r in any case."""
        config = self.file.config
        if config.get("peft_type") == "LOKR":
            alpha, rank = config.get("alpha", 1), config.get("r", 1)
            numbers = all(isinstance(one, int | float) and math.isfinite(one) and one > 0 for one in (alpha, rank))
            return (
                float(alpha) / float(rank)
                if numbers
                else self._fail(f"has an alpha or a rank that is no number; {_AGAIN}")
            )
        split = [keys for keys in (second, first) if len(keys) == 2]
        if "alpha" not in self.slots or not split:
            return 1.0
        return scalar(self.file, self.slots["alpha"]) / self.file.tensors[split[0][1]].shape[0]

    def _key(self, slot: str, other: str) -> str:
        if slot not in self.slots:
            lacking = slot if slot in ("down", "up") else other
            self._fail(f"has only one half of what makes a change: {lacking} is missing; {_AGAIN}")
        return self.slots[slot]

    def _only(self, *slots: str) -> None:
        if extra := sorted(self.slots.keys() - set(slots)):
            self._fail(f"is a LoRA and a LoKr at once: {self.slots[extra[0]]}; {_AGAIN}")

    def _shape(self, key: str) -> tuple[int, int]:
        shape = self.file.tensors[key].shape
        if len(shape) != 2 or 0 in shape:
            self._fail(f"has {key} of {list(shape)}, which is no matrix; {_AGAIN}")
        return shape[0], shape[1]

    def _check_rank(self, rank: int) -> None:
        if rank > MAX_RANK:
            self._fail(f"has rank {rank}; at most {MAX_RANK} is read; get one of a smaller rank")

    def _refuse(self, found: str) -> Any:
        self._fail(
            f"does not fit: {found}, and the model has {[self.outputs, self.inputs]} there; it was made for another "
            "model, or is damaged"
        )

    def _fail(self, message: str) -> Any:
        raise AdapterError(f"{self.file.path.name}: {self.stem} {message}")


def _of_pattern(pattern: Any, stem: str, default: Any) -> Any:
    """A value by a linear's name, or by the end of it. Read as plain names: a file may hold any pattern."""
    for name, value in pattern.items() if isinstance(pattern, dict) else ():
        plain = str(name).lstrip("^").replace("\\", "")
        if stem == plain or stem.endswith(f".{plain}"):
            return value
    return default


def bytes_held(adapters: Iterable[FittedAdapter], modules: Iterable[str], item_bytes: int) -> int:
    """What the adapters' parts of these linears take in memory, at so many bytes a number."""
    names = list(modules)
    return sum(item_bytes * adapter.values(name) for adapter in adapters for name in names)
