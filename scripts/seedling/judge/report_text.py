"""The prose of docs/seedling.md and of the model card; `report` fills in tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..options import Options


def facts(options: Options, progress: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the prose says about one run."""
    return {
        "preset": options.preset,
        "seed": options.seed,
        "size": options.size,
        "images": f"{options.images:,}",
        "double_blocks": options.double_blocks,
        "single_blocks": options.single_blocks,
        "dim": options.dim,
        "text_hidden": options.text_hidden,
        "text_tokens": options.text_tokens,
        "vae_channels": ", ".join(str(width) for width in options.vae_channels),
        "latent_channels": options.latent_channels,
        "guidance": options.guidance,
        "substeps": options.substeps,
        "prompts": options.prompts,
        "sample_steps": options.sample_steps,
        "vae_psnr": progress.get("vae", {}).get("psnr", "-"),
        "decoder_psnr": progress.get("decoder", {}).get("psnr", "-"),
    }


_FIGURES = """\
Share of pictures that show what the prompt says, at {sample_steps} steps: {prompts} prompts of each category and sixty
free ones as people write them, three seeds each. What the six categories ask for (pairs, counts, colours, a thing on a
ground) never occurs in training, except a thing alone on a ground that is not named, which is most of "single". Of the
free prompts only the sentences are kept out, those of three words and more, not what they speak of. ± is one standard
error; rewordings and other grounds of what is asked for count as one.

{scores}
"""

_LIMITS = """\
- A closed world: twenty kinds of things, ten colours, a handful of landscapes. Other words draw something near, or
  nothing.
- The judge is a program for these drawings. Its scores say how the variants compare, and must not be set beside
  published GenEval scores.
- No held-out prompt was trained on, but part of the first list were looked at while the recipe, its times and the
  judge were chosen. On the second list, which was not: {second_overall}.
- The free prompts have no second list; part of them were looked at too.
- Up to four things of a kind are counted; relations are left, right, above and below.
- {size}x{size} pixels is the native size. Others run, and look worse the further away they are.
- Text inside pictures, people and photographs are outside of what was drawn.
"""

PAGE = (
    """\
# The seedling: an embedded model, and what rounding costs

The package carries a small Bonsai, ternary and binary: same architecture, same file layout and same code as the 4B
checkpoints. It lets a fresh machine draw at once, and it is where the claims of low-bit weights are measured in small.
This page is written by `scripts/train_seedling.py` (preset `{preset}`, seed {seed}).

![Thirty random prompts, ternary](seedling/thirty.webp)

## Results

{headline} PrismML's figures for its 4B model, on other tests, are about 94% and 88%.

"""
    + _FIGURES
    + """
The same at other numbers of steps:

{steps}

![The same prompts and noise, every model](seedling/models.webp)

The first twelve free prompts that name a bonsai, ternary, first seed, none picked out:

![Twelve bonsai scenes](seedling/bonsai.webp)

**Full precision** is the student in bfloat16 that the two variants were made from; **rounded** is that student with its
block weights rounded by the same rules and nothing trained. A ternary picture of a new prompt takes {seconds} s on the
machine that trained it, model loaded and all else at rest. What the evaluation drew, each process on one core:

{runners}

"engine" is `bonsai_mlx`; full precision runs through it too, with the packed products replaced by plain ones. "torch"
draws the same pictures on a GPU, up to the rounding of bfloat16 (in float32 they are at most one level of 255 apart).

## The second list

Another {prompts} prompts of each category, none of them worded as one above. Nobody looked at their pictures before
weights, recipe and judge were final, so they say how far the scores above are flattered. Three seeds each:

{second_scores}

## The judge

A program judges: it finds the things in a picture, compares their outlines with those of drawings by the training's own
code, and asks for number, colours, relation, ground and landscape. It is tried on drawings that show exactly what a
prompt says, one for each prompt: clean, drawn by a shaky hand (points off by three pixels, neighbours alike, and
noise), beside a caption that belongs to another drawing, and cut into pieces of four pixels in any order:

{judge}

## Variety

Mean absolute difference, in levels of 255, between pictures of one prompt from eight seeds:

{varieties}

![One prompt a row, four seeds](seedling/seeds.webp)

## The model

| part | |
| --- | --- |
| transformer | width {dim}, {double_blocks} double-stream and {single_blocks} single-stream blocks, groups of 128 |
| text encoder | Qwen3, width {text_hidden}, 4 bits in groups of 64; {text_tokens} tokens, hidden states 2, 4 and 6 |
| VAE | AutoencoderKLFlux2, channels {vae_channels}, {latent_channels} latent channels |
| PSNR on pictures never trained on | {vae_psnr} dB, after the decoder's fine-tuning {decoder_psnr} dB |
| size | {size}x{size}, {sample_steps} steps |

{sizes}

## Training

Everything is made from nothing; no data or weights come from elsewhere. {images} pictures are drawn by the code in
`scripts/seedling/`, each with captions in several phrasings. One command makes it again, and goes on where it was
stopped:

```sh
pip install -e ".[train]"
python scripts/train_seedling.py --preset {preset} --seed {seed} --out RUN --install
```

{stages}

Time is that of the GPU, or of the processors where there is none. It ends a stage, so that another run takes other
numbers of steps and gives other weights.

1. **vae**: reconstruction with Muon, crops first, then whole pictures.
2. **flow**: transformer and text encoder together, flow matching, one caption in ten empty.
   The first part of the time goes to pictures half as wide.
3. **guidance**: a student learns the velocity at guidance {guidance}, so that drawing needs one evaluation a step.
4. **steps**: that student learns to land in one step where the guided model lands in {substeps}. Half of the samples
   lie on the noise levels of a {sample_steps}-step drawing, half of those on drawings of its own.
5. **ternary**, **binary**: the block weights are rounded in every forward pass, gradients pass straight through, and
   the target is the full-precision student's velocity. The text encoder is fixed at its 4 bits.
6. **decoder**: the VAE's decoder alone, on slightly noisy latents.

![VAE](seedling/vae.svg)
![Flow matching](seedling/flow.svg)
![Distillation](seedling/distillation.svg)

## Limits

"""
    + _LIMITS
)

CARD = (
    """\
---
license: apache-2.0
library_name: mlx
pipeline_tag: text-to-image
tags: [bonsai, ternary, binary, demonstration]
---

# Seedling (ternary and binary)

A small demonstration model in the layout of Bonsai Image 4B. It draws simple scenes, {size}x{size} pixels in
{sample_steps} steps: shapes and things in ten colours, counted and arranged, landscapes, and bonsai trees.

**Data.** {images} pictures drawn by the project's own code, with captions made by the same code. Nothing else.

**Training.** Flow matching, guidance distillation, step distillation, then training of ternary and binary copies with
rounded weights; preset `{preset}`, seed {seed}. See `docs/seedling.md` in the project for the recipe and all figures.

**Figures.** """
    + _FIGURES
    + """
**Sizes.**

{sizes}

**Limits.**

"""
    + _LIMITS
    + """
**Licence.** Apache-2.0, weights and code.
"""
)
