"""Whether the parts of a checkpoint fit together: each may be whole, and another model's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .config import TextEncoderConfig, TransformerConfig, VaeConfig


def disagreements(
    transformer: TransformerConfig,
    encoder: TextEncoderConfig,
    vae: VaeConfig,
    decoder: VaeConfig,
    prompt_layers: Sequence[int],
) -> Iterator[str]:
    """What does not agree, in a few words each."""
    axes, groups = transformer.axes_dims_rope, vae.norm_num_groups
    for ok, what in (
        (len(axes) == 4 and not any(axis % 2 for axis in axes), "axes_dims_rope and four axes of channel pairs"),
        (transformer.timestep_guidance_channels % 2 == 0, "timestep_guidance_channels and pairs of waves"),
        (
            all(width % transformer.widest_group == 0 for width in (transformer.dim, transformer.mlp_dim)),
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
            encoder.hidden_size * len(prompt_layers) == transformer.joint_attention_dim,
            "the text encoder's hidden_size, the prompt layers and joint_attention_dim",
        ),
        (
            (decoder.latent_channels, decoder.scale_factor) == (vae.latent_channels, vae.scale_factor),
            "the decoder's latents and the VAE's",
        ),
        (
            len(decoder.decoder_channels) == len(vae.block_out_channels)
            and all(width % decoder.norm_num_groups == 0 for width in decoder.decoder_channels),
            "the decoder's channels and norm_num_groups",
        ),
        (
            all(0 < layer < encoder.num_hidden_layers for layer in prompt_layers),
            "text_encoder_out_layers and the number of layers",
        ),
    ):
        if not ok:
            yield what


def _packed_widths(config: TextEncoderConfig) -> tuple[int, ...]:
    return config.hidden_size, config.intermediate_size, config.num_attention_heads * config.head_dim
