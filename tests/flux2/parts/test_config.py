"""The published layout: the 4B model's own figures, and what a config may and may not hold."""

from __future__ import annotations

import subprocess
import sys

from bonsai_mlx.decoding import decode
from bonsai_mlx.flux2.parts.config import TextEncoderConfig, TransformerConfig, VaeConfig
from bonsai_mlx.weights.spec import TensorSpec, tensor_bytes

TRANSFORMER_4B = {
    "in_channels": 128,
    "num_layers": 5,
    "num_single_layers": 20,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 7680,
    "axes_dims_rope": [32, 32, 32, 32],
}
TEXT_ENCODER_4B = {
    "vocab_size": 151936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
VAE_4B = {
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 32,
    "norm_num_groups": 32,
}


def test_the_transformer_has_the_published_bytes() -> None:
    tensors = decode(TransformerConfig, TRANSFORMER_4B).tensors()
    assert tensor_bytes(tensors) == 1_425_226_752
    packed = [spec.shape for name, spec in tensors.items() if spec.dtypes == ("U32",)]
    assert len(packed) == 100
    assert sum(rows * columns * 16 for rows, columns in packed) == 3_680_501_760


def test_the_binary_transformer_has_half_the_codes() -> None:
    ternary, binary = (decode(TransformerConfig, TRANSFORMER_4B | {"bits": bits}) for bits in (2, 1))
    assert tensor_bytes(ternary.tensors()) - tensor_bytes(binary.tensors()) == 3_680_501_760 // 8


def test_the_vae_has_the_published_tensors() -> None:
    tensors = decode(VaeConfig, VAE_4B).tensors()
    assert len(tensors) == 251
    assert 168_120_878 - 40_000 < tensor_bytes(tensors) < 168_120_878  # the rest of the file is its header


def test_the_text_encoder_has_the_published_bytes() -> None:
    tensors = decode(TextEncoderConfig, TEXT_ENCODER_4B).tensors()
    assert 2_263_022_529 - 120_000 < tensor_bytes(tensors) < 2_263_022_529


def test_packed_and_plain_tensors() -> None:
    tensors = decode(TransformerConfig, TRANSFORMER_4B | {"bits": 1}).tensors()
    name = "single_transformer_blocks.19.attn.to_out"
    assert tensors[f"{name}.weight"] == TensorSpec(("U32",), (3072, (3072 + 9216) // 32))
    assert tensors[f"{name}.scales"] == TensorSpec(("BF16", "F16"), (3072, (3072 + 9216) // 128))
    assert tensors["norm_out.linear.weight"].shape == (6144, 3072)


def test_unknown_keys_are_ignored_and_lists_become_tuples() -> None:
    config = decode(TransformerConfig, TRANSFORMER_4B | {"_class_name": "Flux2Transformer2DModel"})
    assert config.axes_dims_rope == (32, 32, 32, 32)
    assert (config.dim, config.mlp_dim) == (3072, 9216)


def test_numbers_become_floats() -> None:
    config = decode(TransformerConfig, TRANSFORMER_4B | {"rope_theta": 2000, "mlp_ratio": 3})
    assert (type(config.rope_theta), type(config.mlp_ratio), config.mlp_dim) == (float, float, 9216)


def test_needs_no_mlx() -> None:
    code = "import sys, bonsai_mlx.flux2.parts.config; sys.exit(any(n.split('.')[0] == 'mlx' for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
