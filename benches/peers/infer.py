"""Runs a network of `network.rs` in ncnn or PyTorch, to compare speeds with.

`cargo bench --bench peers -- inference` starts it: ncnn or torch, network, HEIGHTxWIDTH, threads
or `gpu:` (ncnn through Vulkan, PyTorch through CUDA in 16 bit), file of weights (beside it one with the layers), file for the answer. It answers each line on
standard input with seconds by the clock, seconds of the processor and the peak of its memory in KiB.
"""

import os
import resource
import sys
import time

who, network, size, threads, weights, answer = sys.argv[1:]
graphics = threads.startswith("gpu:")
threads = "1" if graphics else threads
os.environ["OMP_NUM_THREADS"] = threads
try:
    import numpy as np

    if who == "ncnn":
        import ncnn
    else:
        import torch
        import torch.nn.functional as F
except ImportError as error:
    print(f"missing {error.name}", flush=True)
    sys.exit(3)

if graphics and who == "torch" and not torch.cuda.is_available():
    print("missing CUDA", flush=True)
    sys.exit(3)
if who == "torch":
    place, kind = ("cuda", torch.float16) if graphics else ("cpu", torch.float32)
SCALE = 4
HEIGHT, WIDTH = map(int, size.split("x"))


def picture():
    places = np.arange(3 * HEIGHT * WIDTH, dtype=np.uint32) * np.uint32(2654435761)
    values = (places >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)
    return values.reshape(3, HEIGHT, WIDTH)


def in_ncnn():
    net = ncnn.Net()
    net.opt.use_vulkan_compute = graphics
    net.opt.num_threads = int(threads)
    net.load_param(weights.replace(".bin", ".param"))
    net.load_model(weights)
    values = picture()
    mat = ncnn.Mat(values).clone()

    def run():
        extractor = net.create_extractor()
        extractor.input("data", mat)
        # The answer lies in memory of the extractor's.
        return extractor, extractor.extract("output")[1]

    return ncnn.__version__, run, lambda result: np.array(result[1])


class Layers:
    """The convolutions of the file, in their order."""

    def __init__(self):
        self.values = np.fromfile(weights, np.float32)
        self.at = 0

    def take(self, *shape):
        count = int(np.prod(shape))
        self.at += count
        return torch.from_numpy(self.values[self.at - count : self.at].reshape(shape).copy())

    def conv(self, inputs, outputs, sloped):
        self.take(1)
        weight = self.take(outputs, inputs, 3, 3).to(place, kind, memory_format=torch.channels_last)
        bias = self.take(outputs).to(place, kind)
        slope = self.take(outputs).to(place, kind) if sloped else None

        def run(x):
            x = F.conv2d(x, weight, bias, padding=1)
            return x if slope is None else F.prelu(x, slope)

        return run


def in_torch():
    torch.set_num_threads(int(threads))
    layers = Layers()
    compact = network.startswith("compact")
    channels = 64 if compact else 48
    head = layers.conv(3, channels, compact)
    if compact:
        body = [layers.conv(channels, channels, True) for _ in range(int(network[11:]))]
    else:
        body = [[layers.conv(channels, channels, first) for first in (True, False)] for _ in range(8)]
        body_conv = layers.conv(channels, channels, False)
    tail = layers.conv(channels, 3 * SCALE**2, False)
    assert layers.at == len(layers.values)
    from_host = torch.from_numpy(picture())[None].to(memory_format=torch.channels_last)

    def run():
        with torch.inference_mode():
            x = from_host.to(place, kind)
            first = features = head(x)
            for layer in body:
                if compact:
                    features = layer(features)
                else:
                    features = features + layer[1](layer[0](features))
            if compact:
                large = F.interpolate(x, scale_factor=SCALE, mode="nearest")
            else:
                features = first + body_conv(features)
                large = F.interpolate(x, scale_factor=SCALE, mode="bilinear")
            # On the way back too: what counts is a picture that the program has.
            return (large + F.pixel_shuffle(tail(features), SCALE)).cpu()

    return torch.__version__, run, lambda result: result[0].float().contiguous().numpy()


version, run, array = in_ncnn() if who == "ncnn" else in_torch()
print("ready", version, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
for number, _ in enumerate(sys.stdin):
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if number == 0:
        array(result).astype("<f4").tofile(answer)
    del result
    print(wall, cpu, peak, flush=True)
