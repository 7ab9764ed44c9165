"""A whole DIFF V2 model in compiled PyTorch, as a user would run it today: packed projections, static
key/value cache, every layer compiled, decode steps replayed as a CUDA graph.

    python3 benches/anchors/model.py [CONFIG.json ...]

Reads the same configs as `minuend bench --random-weights CONFIG.json`; without arguments the 1B and 8B of
`examples/configs`. Prints one line of JSON for each measurement. Needs PyTorch 2.9 or later with CUDA and
cuDNN, and Triton.
"""
import json
import pathlib
import sys
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from timing import emit, median_ms

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "examples" / "configs"
KEYS = 2048
PROMPT = 4096


def rms_norm(x, weight, eps):
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype) * weight


def rotate(x, cos, sin):
    low, high = x.float().chunk(2, -1)
    return torch.cat([low * cos - high * sin, high * cos + low * sin], -1).to(x.dtype)


@torch.compile(dynamic=False)
def layer(x, weights, keys, values, cos, sin, positions, heads, kv_heads, width, eps):
    batch, tokens, _ = x.shape
    split = lambda part, count: part.view(batch, tokens, count, width).transpose(1, 2)
    packed = F.linear(rms_norm(x, weights["input_norm"], eps), weights["qkv_lambda"])
    sizes = [2 * heads * width, kv_heads * width, kv_heads * width, heads]
    q, k, v, gate = packed.split(sizes, -1)
    q, k, v = split(q, 2 * heads), split(k, kv_heads), split(v, kv_heads)
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    keys[:, :, positions], values[:, :, positions] = k, v
    if tokens == 1:
        heads_out = F.scaled_dot_product_attention(q, keys, values, enable_gqa=True)
    else:
        heads_out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    heads_out = heads_out.transpose(1, 2)
    mixed = heads_out[:, :, 0::2] - torch.sigmoid(gate).unsqueeze(-1) * heads_out[:, :, 1::2]
    x = x + F.linear(mixed.reshape(batch, tokens, -1), weights["out"])
    gate, up = F.linear(rms_norm(x, weights["mlp_norm"], eps), weights["gate_up"]).chunk(2, -1)
    return x + F.linear(F.silu(gate) * up, weights["down"])


@torch.compile(dynamic=False)
def head(x, norm, table, eps):
    return F.linear(rms_norm(x[:, -1], norm, eps), table).argmax(-1)


class Model:
    def __init__(self, config, batch, keys):
        random = lambda *shape: torch.randn(*shape, device="cuda", dtype=torch.bfloat16) * 0.02
        ones = lambda: torch.ones(hidden, device="cuda", dtype=torch.bfloat16)
        hidden, inner = config["hidden_size"], config["intermediate_size"]
        self.heads, self.kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.width, self.eps = config["head_dim"], config["rms_norm_eps"]
        self.table, self.norm = random(config["vocab_size"], hidden), ones()
        packed = (2 * self.heads + 2 * self.kv_heads) * self.width + self.heads
        self.layers = [
            {
                "qkv_lambda": random(packed, hidden),
                "out": random(hidden, self.heads * self.width),
                "gate_up": random(2 * inner, hidden),
                "down": random(hidden, inner),
                "input_norm": ones(),
                "mlp_norm": ones(),
            }
            for _ in range(config["num_hidden_layers"])
        ]
        cache = (len(self.layers), batch, self.kv_heads, keys, self.width)
        self.keys, self.values = random(*cache), random(*cache)
        exponents = torch.arange(0, self.width, 2, device="cuda").float() / self.width
        angles = torch.outer(torch.arange(keys, device="cuda").float(), config["rope_theta"] ** -exponents)
        self.cos, self.sin = angles.cos(), angles.sin()

    def step(self, ids, positions):
        x = F.embedding(ids, self.table)
        cos, sin = self.cos[positions], self.sin[positions]
        sizes = (self.heads, self.kv_heads, self.width, self.eps)
        for index, weights in enumerate(self.layers):
            x = layer(x, weights, self.keys[index], self.values[index], cos, sin, positions, *sizes)
        return head(x, self.norm, self.table, self.eps)


def measure(path):
    config = json.loads(path.read_text())
    for batch, tokens in ((1, 1), (16, 1), (1, PROMPT)):
        keys = KEYS if tokens == 1 else tokens
        model = Model(config, batch, keys)
        ids = torch.randint(0, 1000, (batch, tokens), device="cuda")
        positions = torch.arange(keys - tokens, keys, device="cuda")
        with torch.no_grad(), sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            ms = median_ms(lambda: model.step(ids, positions), graph=tokens == 1)
        what = "decode" if tokens == 1 else "prefill"
        emit(what=f"compiled PyTorch, {what}", model=path.stem, batch=batch, tokens=tokens, keys=keys, ms=ms)
        del model
        torch.cuda.empty_cache()


if __name__ == "__main__":
    torch.manual_seed(0)
    torch._dynamo.config.cache_size_limit = 64
    for path in [pathlib.Path(argument) for argument in sys.argv[1:]] or [CONFIGS / "diffv2-1b.json", CONFIGS / "diffv2-8b.json"]:
        measure(path)
