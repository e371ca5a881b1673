"""Trains the starter's architecture in PyTorch, to compare speeds with.

Alone it prints what a step takes. `cargo bench --bench peers` starts it with --serve: then it
answers each line `f32 10` or `bf16 10` on standard input with the seconds that ten steps took.
"""

import argparse
import sys
import time

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
except ImportError as error:
    print(f"missing {error.name}", flush=True)
    sys.exit(3)

BATCH, CROP, SCALE, CHANNELS, BLOCKS = 16, 32, 4, 48, 8
WARM_UP = 3


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.act = nn.PReLU(CHANNELS)
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(self.act(self.conv1(x)))


class Network(nn.Module):
    """`ResidualConfig` with `Upsampler::Direct`, without batch normalisation."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.body = nn.Sequential(*[Block() for _ in range(BLOCKS)])
        self.body_conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.upsample = nn.Conv2d(CHANNELS, 3 * SCALE**2, 3, padding=1)

    def forward(self, x):
        features = self.head(x)
        features = features + self.body_conv(self.body(features))
        large = F.interpolate(x, scale_factor=SCALE, mode="bilinear")
        return large + F.pixel_shuffle(self.upsample(features), SCALE)


class Run:
    """One training: L1, Adam, gradients clipped, a moving average of the weights."""

    def __init__(self, precision):
        torch.manual_seed(0)
        self.half = precision == "bf16"
        # PyTorch's convolutions on the CPU are at their fastest so.
        layout = torch.channels_last
        self.network = Network().to(memory_format=layout)
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(0.999))
        self.adam = torch.optim.Adam(
            self.network.parameters(), lr=2e-4, betas=(0.9, 0.99), fused=True
        )
        side = CROP * SCALE
        self.small = torch.rand(BATCH, 3, CROP, CROP).to(memory_format=layout)
        self.large = torch.rand(BATCH, 3, side, side).to(memory_format=layout)

    def step(self):
        self.adam.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.half):
            loss = F.l1_loss(self.network(self.small), self.large)
        value = loss.item()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.adam.step()
        self.average.update_parameters(self.network)
        return value

    def seconds(self, steps):
        begin = time.perf_counter()
        for _ in range(steps):
            self.step()
        return time.perf_counter() - begin


def serve(runs):
    parameters = sum(p.numel() for p in runs["f32"].network.parameters())
    print(f"ready {torch.__version__} {torch.get_num_threads()} {parameters}", flush=True)
    for line in sys.stdin:
        precision, steps = line.split()
        print(runs[precision].seconds(int(steps)), flush=True)


def report(runs, rounds, steps):
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, ms per step")
    print("round       f32      bf16")
    for number in range(1, rounds + 1):
        times = [1e3 * run.seconds(steps) / steps for run in runs.values()]
        print(f"{number:5} {times[0]:9.1f} {times[1]:9.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help="answer requests on standard input")
    parser.add_argument("--threads", type=int, help="PyTorch's own choice if not given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="steps of a round")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    runs = {precision: Run(precision) for precision in ("f32", "bf16")}
    for run in runs.values():
        run.seconds(WARM_UP)
    if arguments.serve:
        serve(runs)
    else:
        report(runs, arguments.rounds, arguments.steps)


main()
