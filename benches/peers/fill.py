"""How well a mask is filled, beside OpenCV: python fill.py PIXMEND MODEL PHOTOS RECIPE [SEED]

The masks and marked pictures are those of `pixmend eval`: picture i of a folder, by name, is drawn
with SEED + i. Prints the mean PSNR in dB of red, green and blue inside the masks.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

import cv2
import numpy

RADIUS = 3  # pixels, as in OpenCV's own example


def inside(result, original, mask):
    error = (result.astype(float) - original.astype(float))[mask > 0]
    mse = (error**2).mean()
    return math.inf if mse == 0 else 10 * math.log10(255**2 / mse)


def main():
    pixmend, model, photos, recipe = sys.argv[1:5]
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    command = [pixmend, "eval", "--model", model, "--hr", photos, "--degradation", recipe]
    command += ["--seed", str(seed), "--device", "cpu", "--json"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["pictures"]
    files = {path.stem: path for path in pathlib.Path(photos).iterdir()}
    methods = {"Telea": cv2.INPAINT_TELEA, "Navier-Stokes": cv2.INPAINT_NS}
    scores = {name: [] for name in ["given", *methods, model]}
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        for index, row in enumerate(rows):
            marked, mask = f"{folder}/{index}.png", f"{folder}/{index}-mask.png"
            command = [pixmend, "degrade", files[row["name"]], "-o", marked, "--mask", mask]
            command += ["--recipe", recipe, "--scale", "1", "--seed", str(seed + index)]
            subprocess.run(command, check=True, capture_output=True)
            mask = cv2.imread(mask, cv2.IMREAD_GRAYSCALE)
            if row["model"].get("inside") is None:
                continue  # nothing was drawn on it
            marked = cv2.imread(marked)
            original = cv2.imread(str(files[row["name"]]))[: marked.shape[0], : marked.shape[1]]
            given = inside(marked, original, mask)
            if abs(given - row["bicubic"]["inside"]) > 1e-3:
                raise SystemExit(f"{row['name']}: not the picture that eval made")
            shares.append((mask > 0).mean())
            scores["given"].append(given)
            scores[model].append(row["model"]["inside"])
            for name, method in methods.items():
                filled = cv2.inpaint(marked, mask, RADIUS, method)
                scores[name].append(inside(filled, original, mask))
    print(f"{len(shares)} pictures, {100 * numpy.mean(shares):.1f} % of them masked")
    for name, values in scores.items():
        print(f"{name:<20} {numpy.mean(values):7.3f} dB")


main()
