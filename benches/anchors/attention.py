"""Differential attention as a PyTorch user would write it: cuDNN attention over 2h heads, then a
compiled subtraction of the strided halves.

    python3 benches/anchors/attention.py [prefill|decode]

Prints one line of JSON for each size. `minuend bench --attention` takes the same sizes; see README.
Needs PyTorch 2.9 or later with CUDA and cuDNN, and Triton.
"""
import sys
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from timing import emit, median_ms

# Output heads, key/value heads, head width.
WIDE, NARROW = (16, 4, 128), (32, 8, 64)


@torch.compile
def subtract(heads, gate):
    return heads[:, 0::2] - torch.sigmoid(gate).unsqueeze(-1) * heads[:, 1::2]


def differential(q, k, v, gate, causal):
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
    return subtract(heads, gate)


def tensors(batch, heads, kv_heads, width, queries, keys):
    random = lambda *shape: torch.randn(*shape, device="cuda", dtype=torch.bfloat16)
    return (
        random(batch, 2 * heads, queries, width),
        random(batch, kv_heads, keys, width),
        random(batch, kv_heads, keys, width),
        random(batch, heads, queries),
    )


def prefill():
    sizes = [(s, shape, True) for shape in (WIDE, NARROW) for s in (1024, 2048, 4096, 8192, 16384, 32768)]
    sizes += [(4096, WIDE, False), (16384, WIDE, False)]
    for tokens, (heads, kv_heads, width), causal in sizes:
        batch = max(1, 16384 // tokens)
        operands = tensors(batch, heads, kv_heads, width, tokens, tokens)
        ms = median_ms(lambda: differential(*operands, causal))
        work = 4 * batch * 2 * heads * tokens * tokens * width * (0.5 if causal else 1.0)
        emit(what="cuDNN + subtract", batch=batch, tokens=tokens, pairs=heads, kv_heads=kv_heads,
             head_dim=width, causal=causal, ms=ms, tflops=work / ms / 1e9)


def decode():
    heads, kv_heads, width = 32, 8, 128
    sizes = [(1, 1024), (1, 2048), (1, 8192), (1, 65536), (1, 131072), (8, 8192), (32, 8192), (16, 32768)]
    for batch, keys in sizes:
        for queries in (1, 2, 4, 8) if keys == 8192 else (1,):
            operands = tensors(batch, heads, kv_heads, width, queries, keys)
            # Without a mask: every query sees every key, which favours this side a little.
            ms = median_ms(lambda: differential(*operands, False), graph=True)
            emit(what="cuDNN + subtract, CUDA graph", batch=batch, tokens=queries, keys=keys, pairs=heads,
                 kv_heads=kv_heads, head_dim=width, us=ms * 1e3)


if __name__ == "__main__":
    torch.manual_seed(0)
    wanted = sys.argv[1:] or ["prefill", "decode"]
    for name in wanted:
        {"prefill": prefill, "decode": decode}[name]()
