"""Bounds on scratch memory, and into how many shares a block is cut: numbers for layers and for the plan of memory.

Nothing here imports MLX or knows a model's config.
"""

from __future__ import annotations

from collections.abc import Mapping

BLOCK_BYTES = 16 << 20  # of a linear's values in float32 that are expanded at a time
SCORES_LIMIT_BYTES = 16 << 20  # for attention scores, where a device has no fused kernel
# Channels of the stream in a share of a CPU's work on a block (see `shards`): with fewer in each it takes longer, with
# more it needs more memory. A model as small as the seedling is done whole.
LEAST_SHARE = 256
# Values (rows x columns x channels) in a VAE strip. MLX's CPU convolution unrolls 9 copies of one, which stay in cache
# if they are few (1.6 times faster than four times as many); a GPU's unrolls none, see `winograd`.
STRIP_VALUES: Mapping[str, int] = {"metal": 1 << 22, "cuda": 1 << 22, "cpu": 1 << 19}
SMALL_STRIP_VALUES = 1 << 20
# The same in a preview's chain of layers, which holds some forty of them (see `flux2.preview`).
PREVIEW_STRIP_VALUES: Mapping[str, int] = {"metal": 1 << 20, "cuda": 1 << 20, "cpu": 1 << 17}


def share_count(dim: int, mlp_dim: int, heads: int, group_size: int) -> int:
    """Into how many shares of whole heads and whole groups a CPU cuts a block of these channels; see `shards`."""

    def fits(count: int) -> bool:
        return heads % count == 0 and all(size % (count * group_size) == 0 for size in (dim, mlp_dim))

    return max(count for count in range(1, max(2, dim // LEAST_SHARE + 1)) if fits(count))
