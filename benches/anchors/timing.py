"""What the scripts beside this one share: how a thing is timed, and where figures go.

Times are medians of CUDA events. The second-level cache is written over before every run, so that no
run finds its operands there; matrices and tensors hold random values, since zeros draw less power and
run faster.
"""
import json
import torch
import triton


def median_ms(run, graph=False):
    """Median time of `run` in ms. With `graph` it is recorded as a CUDA graph and replayed."""
    if not graph:
        return triton.testing.do_bench(run, warmup=100, rep=400, return_mode="median")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        run()
    return triton.testing.do_bench(recorded.replay, warmup=100, rep=400, return_mode="median")


def emit(**figures):
    """One line of JSON for one measurement."""
    print(json.dumps({"device": torch.cuda.get_device_name(), **figures}), flush=True)
