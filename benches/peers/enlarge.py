"""How an enlarger of ncnn's does on the pictures that ours is measured on:
python enlarge.py PIXMEND PARAM PHOTOS RECIPE FEATURES LPIPS

The small pictures are those of `pixmend eval --degradation RECIPE`: picture i of a folder, by name,
is drawn with seed i. PARAM has its .bin beside it and enlarges four times, from `data` to `output`.
Prints means of PSNR in dB and SSIM on Y and of the feature distance, by `pixmend compare`.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import cv2
import ncnn
import numpy

SCALE = 4


def main():
    pixmend, param, photos, recipe, features, lpips = sys.argv[1:7]
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.load_param(param)
    net.load_model(param.replace(".param", ".bin"))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        small, large, truth = (f"{folder}/{name}.png" for name in ("small", "large", "truth"))
        for index, path in enumerate(sorted(pathlib.Path(photos).iterdir())):
            command = [pixmend, "degrade", path, "-o", small, "--recipe", recipe, "--overwrite"]
            command += ["--scale", str(SCALE), "--seed", str(index)]
            subprocess.run(command, check=True, capture_output=True)
            picture = cv2.cvtColor(cv2.imread(small), cv2.COLOR_BGR2RGB)
            values = numpy.ascontiguousarray(picture.astype(numpy.float32).transpose(2, 0, 1) / 255)
            extractor = net.create_extractor()
            extractor.input("data", ncnn.Mat(values).clone())
            answer = numpy.array(extractor.extract("output")[1]).transpose(1, 2, 0)
            answer = (answer.clip(0, 1) * 255 + 0.5).astype(numpy.uint8)
            cv2.imwrite(large, cv2.cvtColor(answer, cv2.COLOR_RGB2BGR))
            original = cv2.imread(str(path))[: answer.shape[0], : answer.shape[1]]
            cv2.imwrite(truth, original)
            command = [pixmend, "compare", large, truth, "--scale", str(SCALE), "--json"]
            command += ["--features", features, "--lpips", lpips]
            done = subprocess.run(command, check=True, capture_output=True)
            rows.append(json.loads(done.stdout))
    means = [numpy.mean([row[name] for row in rows]) for name in ("psnr", "ssim", "distance")]
    print("{} pictures: {:.3f} dB, {:.4f}, distance {:.4f}".format(len(rows), *means))


main()
