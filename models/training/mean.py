"""The mean of the best weights of a run and of its last ones.

python mean.py MODEL.safetensors OUT.safetensors

MODEL.safetensors is what `pixmend train` wrote: its best weights by the measure of the run. Its last
ones, averaged over the last steps, are in MODEL.safetensors.checkpoint. For a network that colours
the best are too grey, since PSNR would rather have grey than a colour that might be another; the
last are too bold. Their mean lies between (M. Wortsman et al., "Model soups", ICML 2022).
"""

import array
import json
import struct
import sys


def read(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        head = json.loads(file.read(length))
        return head, file.read()


def floats(data, entry):
    if entry["dtype"] != "F32":
        raise SystemExit("only numbers of 32 bit can be averaged")
    start, end = entry["data_offsets"]
    return array.array("f", data[start:end])


def main():
    model, out = sys.argv[1:3]
    head, best = read(model)
    kept, last = read(model + ".checkpoint")
    mean = bytearray(best)
    for name, entry in head.items():
        if name == "__metadata__":
            continue
        pairs = zip(floats(best, entry), floats(last, kept["generator.average." + name]))
        start, end = entry["data_offsets"]
        mean[start:end] = array.array("f", ((a + b) / 2 for a, b in pairs)).tobytes()
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(out, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + mean)


main()
