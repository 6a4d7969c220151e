"""How the blocks of FLUX.2 are cut for the cores of a CPU; see `nn.shards`.

Heads are cut through q, k and v, channels of the MLP through gate and value; what a part makes of them is one term of
the output, because the projection back is cut by its inputs.
"""

from __future__ import annotations

from copy import copy

from ..nn.limits import share_count
from ..nn.shards import Sharded, Share, cut
from ..runtime import device
from .blocks import DoubleStreamBlock, FeedForward, JointAttention, ParallelAttention, SingleStreamBlock
from .config import TransformerConfig


def shares(config: TransformerConfig) -> int:
    """Into how many parts a block is cut on this device."""
    if device.backend() != "cpu":
        return 1
    return share_count(config.dim, config.mlp_dim, config.num_attention_heads, config.group_size)


def shard(block: DoubleStreamBlock | SingleStreamBlock, count: int) -> None:
    """Cut what a loaded block computes into `count` parts, and read it if its weights are still on the disk."""
    if isinstance(block, SingleStreamBlock):
        block.attn = cut(block.attn, count, _parallel_attention)
    else:
        block.attn = cut(block.attn, count, _joint_attention)
        block.ff = cut(block.ff, count, _feed_forward)
        block.ff_context = cut(block.ff_context, count, _feed_forward)
    for module in block.children().values():
        if isinstance(module, Sharded):
            module.read()


def _joint_attention(whole: JointAttention, share: Share) -> JointAttention:
    heads = share.pieces(whole.width)
    part = copy(whole)
    part.width = whole.width // share.count
    part.to_q, part.to_k, part.to_v = whole.to_q.rows(heads), whole.to_k.rows(heads), whole.to_v.rows(heads)
    part.add_q_proj, part.add_k_proj = whole.add_q_proj.rows(heads), whole.add_k_proj.rows(heads)
    part.add_v_proj = whole.add_v_proj.rows(heads)
    part.to_out, part.to_add_out = [whole.to_out[0].columns(heads)], whole.to_add_out.columns(heads)
    part.fuse_projections()
    return part


def _parallel_attention(whole: ParallelAttention, share: Share) -> ParallelAttention:
    width, mlp_dim = whole.width, whole.mlp_dim
    part = copy(whole)
    part.width, part.mlp_dim = width // share.count, mlp_dim // share.count
    part.to_qkv_mlp_proj = whole.to_qkv_mlp_proj.rows(share.pieces(width, width, width, mlp_dim, mlp_dim))
    part.to_out = whole.to_out.columns(share.pieces(width, mlp_dim))
    return part


def _feed_forward(whole: FeedForward, share: Share) -> FeedForward:
    part = copy(whole)
    part.mlp_dim = whole.mlp_dim // share.count
    part.linear_in = whole.linear_in.rows(share.pieces(whole.mlp_dim, whole.mlp_dim))
    part.linear_out = whole.linear_out.columns(share.pieces(whole.mlp_dim))
    return part
