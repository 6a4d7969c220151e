"""Every setting of a training run, and the three presets.

Owns sizes, rates, time budgets, and what the checkpoint's JSON files say about the model. Knows nothing of torch, so
that a command line can be read, and an export be described, without it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

STAGES = (
    "tokenizer",
    "vae",
    "latents",
    "flow",
    "guidance",
    "steps",
    "ternary",
    "binary",
    "decoder",
    "export",
    "evaluate",
    "report",
)
BITS_STAGES = ("bits-ae", "bits-codes", "bits", "bits-guidance", "bits-binary", "bits-decoder", "bits-export")
PARTS = {"seedling": STAGES, "bits": BITS_STAGES}
VARIANTS = ("ternary", "binary")
OUT_LAYERS = (2, 4, 6)  # hidden states that make the prompt embeddings, as 9, 18, 27 of 36 do in the 4B model
TEXT_LAYERS = 7  # one more than is read, because a final norm would follow the last
TEXT_GROUP, BLOCK_GROUP = 64, 128  # inputs that share a scale: 4-bit text encoder, 1- and 2-bit blocks
PIXELS_PER_TOKEN = 16
TIMED_STAGES = ("vae", "flow", "guidance", "steps", "ternary", "binary", "decoder")
TIMED_BITS_STAGES = tuple(stage for stage in BITS_STAGES if stage not in ("bits-codes", "bits-export"))
TIMED = (*TIMED_STAGES, *TIMED_BITS_STAGES)


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is made with. Rates are per step, times in minutes of `run.worked_seconds`."""

    preset: str
    seed: int = 0
    size: int = 256  # pixels each way

    images: int = 24_000  # rendered once for the VAE and the latents
    workers: int = 2  # processes that render, and that evaluate

    text_tokens: int = 48
    vocabulary: int = 1024
    text_hidden: int = 192
    text_inner: int = 384
    text_heads: int = 6

    dim_heads: int = 4  # heads of 64 channels: the width of the transformer is a multiple of 128
    double_blocks: int = 3
    single_blocks: int = 12

    vae_channels: tuple[int, ...] = (24, 48, 96, 96)
    latent_channels: int = 16
    vae_batch: int = 16
    vae_piece: int | None = None  # samples that are computed at once
    vae_crop: int = 128  # pixels each way of the crops of the first part
    vae_crop_part: float = 0.7  # of the stage's time
    vae_rate: float = 3e-3
    bits_vae_rate: float = 2e-3
    decoder_batch: int = 8
    decoder_rate: float = 2e-3

    batch: int = 64  # a multiple of 16: see distil
    piece: int | None = None  # samples of the full size that are computed at once; None: the whole batch
    muon_rate: float = 2e-3
    adam_rate: float = 1.5e-3
    distil_muon_rate: float = 1e-3
    distil_adam_rate: float = 5e-4
    quantised_muon_rate: float = 2e-3
    warm_up: int = 80  # steps; also after each resume, because the optimiser's moments start again
    decay: float = 0.5  # last part of a stage over which rates fall to zero
    unconditional: float = 0.1  # part of the captions left empty, for guidance
    half_size_part: float = 0.35  # of the time of "flow", on pictures half as wide
    sigma_shift: float = 4.0  # how far training noise levels are shifted towards pure noise
    guidance: float = 3.0
    substeps: int = 6  # Euler steps of the guided model inside one step of the student
    sample_steps: int = 4
    bits_steps: int = 16
    bits_shift: float = 2.0

    prompts: int = 100  # held-out prompts of each category in the evaluation

    compile: bool = True
    log_seconds: float = 15.0
    save_minutes: float = 5.0
    minutes: dict[str, float] = field(default_factory=dict)  # of each stage in TIMED

    @property
    def dim(self) -> int:
        """Width of the transformer."""
        return 64 * self.dim_heads

    @property
    def token_channels(self) -> int:
        """Channels of one image token: 2x2 latent pixels."""
        return 4 * self.latent_channels

    @property
    def grid(self) -> int:
        """Image tokens each way."""
        return self.size // PIXELS_PER_TOKEN

    def transformer_config(self) -> dict[str, Any]:
        """`transformer-packed-mflux/config.json`, which is also what the constructor takes."""
        return {
            "_class_name": "Flux2Transformer2DModel",
            "attention_head_dim": 64,
            "axes_dims_rope": [16, 16, 16, 16],
            "eps": 1e-06,
            "guidance_embeds": False,
            "in_channels": self.token_channels,
            "joint_attention_dim": len(OUT_LAYERS) * self.text_hidden,
            "mlp_ratio": 3.0,
            "num_attention_heads": self.dim_heads,
            "num_layers": self.double_blocks,
            "num_single_layers": self.single_blocks,
            "out_channels": None,
            "patch_size": 1,
            "rope_theta": 2000,
            "timestep_guidance_channels": 256,
        }

    def text_config(self, vocabulary: int) -> dict[str, Any]:
        """`text_encoder-mlx-4bit/config.json`, for a tokenizer of `vocabulary` ids."""
        packing = {"bits": 4, "group_size": TEXT_GROUP}
        return {
            "architectures": ["Qwen3ForCausalLM"],
            "head_dim": 32,
            "hidden_size": self.text_hidden,
            "intermediate_size": self.text_inner,
            "max_position_embeddings": 512,
            "model_type": "qwen3",
            "num_attention_heads": self.text_heads,
            "num_hidden_layers": TEXT_LAYERS,
            "num_key_value_heads": 2,
            "quantization": packing,
            "quantization_config": packing,
            "rms_norm_eps": 1e-06,
            "rope_theta": 10000.0,
            "tie_word_embeddings": True,
            "vocab_size": -(-vocabulary // 64) * 64,
        }

    def vae_config(self) -> dict[str, Any]:
        """`vae/config.json`, which is also what the constructor takes."""
        return {
            "_class_name": "AutoencoderKLFlux2",
            "act_fn": "silu",
            "batch_norm_eps": 0.0001,
            "batch_norm_momentum": 0.1,
            "block_out_channels": list(self.vae_channels),
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "in_channels": 3,
            "latent_channels": self.latent_channels,
            "layers_per_block": 1,
            "mid_block_add_attention": True,
            "norm_num_groups": 8,
            "out_channels": 3,
            "patch_size": [2, 2],
            "sample_size": self.size,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
            "use_post_quant_conv": True,
            "use_quant_conv": True,
        }

    def to_json(self) -> str:
        """All settings, for the run's folder."""
        return json.dumps(asdict(self), indent=2) + "\n"


def preset(name: str, seed: int = 0) -> Options:
    """The preset `name`: one H200-like GPU ("gpu"), two CPU cores over night ("cpu"), or a test ("smoke")."""
    return Options(preset=name, seed=seed, **PRESETS[name])


PRESETS: dict[str, dict[str, Any]] = {
    "gpu": {
        "images": 120_000,
        "workers": 16,
        "vae_batch": 64,
        "decoder_batch": 48,
        "batch": 512,
        "minutes": {
            "vae": 3.0,
            "flow": 9.0,
            "guidance": 1.5,
            "steps": 2.5,
            "ternary": 2.25,
            "binary": 2.25,
            "decoder": 1.25,
            "bits-ae": 4.0,
            "bits": 6.0,
            "bits-guidance": 1.5,
            "bits-binary": 3.0,
            "bits-decoder": 1.25,
        },
    },
    "cpu": {
        "images": 40_000,
        "double_blocks": 2,
        "single_blocks": 8,
        "vae_channels": (16, 32, 64, 64),
        "vae_piece": 4,  # two at once, a core each: 1.6 times as fast as 8 by both
        "text_hidden": 128,
        "text_heads": 4,
        "batch": 48,
        "piece": 24,  # a core each, see `pieces`
        "minutes": {
            "vae": 35.0,
            "flow": 180.0,
            "guidance": 13.0,
            "steps": 25.0,
            "ternary": 36.0,
            "binary": 64.0,
            "decoder": 8.0,
            "bits-ae": 50.0,
            "bits": 120.0,
            "bits-guidance": 15.0,
            "bits-binary": 60.0,
            "bits-decoder": 10.0,
        },
    },
    "smoke": {
        "size": 64,
        "piece": 6,
        "images": 32,
        "workers": 1,
        "vocabulary": 400,
        "text_tokens": 48,
        "text_hidden": 64,
        "text_inner": 64,
        "text_heads": 2,
        "dim_heads": 4,  # two groups of inputs
        "double_blocks": 1,
        "single_blocks": 1,
        "vae_channels": (8, 8, 16, 16),
        "latent_channels": 4,
        "vae_batch": 2,
        "vae_piece": 1,
        "vae_crop": 32,
        "decoder_batch": 2,
        "batch": 16,
        "warm_up": 2,
        "substeps": 2,
        "prompts": 1,
        "compile": False,
        "log_seconds": 0.2,
        "minutes": dict.fromkeys(TIMED, 0.03),
    },
}
