"""Scaled dot-product attention whose scratch memory is bounded on every device."""

from __future__ import annotations

import mlx.core as mx

from ..runtime import device
from .activations import softmax
from .limits import SCORES_LIMIT_BYTES


def attend(queries: mx.array, keys: mx.array, values: mx.array, scale: float, mask: mx.array | None = None) -> mx.array:
    """Softmax(q k^T * scale) v over [batch, heads, tokens, head_dim].

    Keys and values may have fewer heads than the queries: each then serves several in a row. `mask` is boolean
    [queries, keys]: which keys a query sees. Without a fused kernel the scores are made a few heads, or some rows of
    one head, at a time: each row's softmax sees all keys, so the result is the same, and at 1024x1024 the scores need
    16 MB instead of 2 GB. They are float32 whatever the inputs are, as they are in a fused kernel: in bfloat16 a score
    of 50 is off by up to 0.1, and its weight by a tenth.
    """
    _, heads, tokens, head_dim = queries.shape
    if device.has_fused_attention(head_dim):
        return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
    if (repeats := heads // keys.shape[1]) > 1:
        keys, values = mx.repeat(keys, repeats, axis=1), mx.repeat(values, repeats, axis=1)
    fitting = max(1, SCORES_LIMIT_BYTES // (keys.shape[0] * keys.shape[2] * 4))  # rows of scores
    rows, group = min(tokens, fitting), max(1, min(heads, fitting // tokens))
    out = mx.zeros(queries.shape, dtype=queries.dtype)
    for head in range(0, heads, group):
        these = slice(head, head + group)
        transposed, weighted = keys[:, these].swapaxes(-1, -2).astype(mx.float32), values[:, these]
        for start in range(0, tokens, rows):
            strip = slice(start, start + rows)
            scores = (queries[:, these, strip].astype(mx.float32) * scale) @ transposed
            if mask is not None:
                scores = mx.where(mask[strip], scores, -mx.inf)
            out[:, these, strip] = softmax(scores).astype(values.dtype) @ weighted
            mx.eval(out)
            del scores
    return out
