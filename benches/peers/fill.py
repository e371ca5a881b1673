"""How well a mask is filled, beside OpenCV.

python fill.py PIXMEND MODEL PHOTOS RECIPE [SEED]
    The marked pictures and masks are those of `pixmend eval`: picture i of a folder, by name, is
    drawn with SEED + i.
python fill.py PIXMEND MODEL PHOTOS MASKS
    A folder of masks of the photos' names, black where a photo is to be filled (as MI-GAN's
    examples are). Nothing of what is under them is shown to anyone.

Prints the mean PSNR in dB of red, green and blue inside the masks, and seconds for each picture,
start of the program included.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time

import cv2
import numpy

RADIUS = 3  # pixels, as in OpenCV's own example
METHODS = {"Telea": cv2.INPAINT_TELEA, "Navier-Stokes": cv2.INPAINT_NS}


def inside(result, original, mask):
    error = (result.astype(float) - original.astype(float))[mask > 0]
    mse = (error**2).mean()
    return math.inf if mse == 0 else 10 * math.log10(255**2 / mse)


class Table:
    def __init__(self, names):
        self.scores = {name: [] for name in names}
        self.seconds = {name: [] for name in names}
        self.shares = []

    def add(self, name, score, seconds=None):
        self.scores[name].append(score)
        if seconds is not None:
            self.seconds[name].append(seconds)

    def beside(self, marked, original, mask):
        """What needs no network."""
        self.shares.append((mask > 0).mean())
        self.add("given", inside(marked, original, mask))
        for name, method in METHODS.items():
            begin = time.perf_counter()
            filled = cv2.inpaint(marked, mask, RADIUS, method)
            self.add(name, inside(filled, original, mask), time.perf_counter() - begin)

    def show(self):
        print(f"{len(self.shares)} pictures, {100 * numpy.mean(self.shares):.1f} % of them masked")
        for name, values in self.scores.items():
            seconds = self.seconds[name]
            spent = f" {numpy.mean(seconds):8.3f} s" if seconds else ""
            print(f"{name:<28} {numpy.mean(values):7.3f} dB{spent}")


def by_recipe(pixmend, model, photos, recipe, seed):
    command = [pixmend, "eval", "--model", model, "--hr", photos, "--degradation", recipe]
    command += ["--seed", str(seed), "--device", "cpu", "--json"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["pictures"]
    files = {path.stem: path for path in pathlib.Path(photos).iterdir()}
    table = Table(["given", *METHODS, model])
    with tempfile.TemporaryDirectory() as folder:
        for index, row in enumerate(rows):
            if row.get("inside") is None:
                continue  # nothing was drawn on it
            marked, mask = f"{folder}/{index}.png", f"{folder}/{index}-mask.png"
            command = [pixmend, "degrade", files[row["name"]], "-o", marked, "--mask", mask]
            command += ["--recipe", recipe, "--scale", "1", "--seed", str(seed + index)]
            subprocess.run(command, check=True, capture_output=True)
            mask = cv2.imread(mask, cv2.IMREAD_GRAYSCALE)
            marked = cv2.imread(marked)
            original = cv2.imread(str(files[row["name"]]))[: marked.shape[0], : marked.shape[1]]
            table.beside(marked, original, mask)
            if abs(table.scores["given"][-1] - row["bicubic"]["inside"]) > 1e-3:
                raise SystemExit(f"{row['name']}: not the picture that eval made")
            table.add(model, row["inside"])
    table.show()


def by_masks(pixmend, model, photos, masks):
    table = Table(["given", *METHODS, model])
    masks = {path.stem: path for path in pathlib.Path(masks).iterdir()}
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(pathlib.Path(photos).iterdir()):
            original = cv2.imread(str(path))
            mask = 255 - cv2.imread(str(masks[path.stem]), cv2.IMREAD_GRAYSCALE)
            mask = (mask > 127).astype(numpy.uint8) * 255
            hidden = original.copy()
            hidden[mask > 0] = 127
            cv2.imwrite(f"{folder}/mask.png", mask)
            cv2.imwrite(f"{folder}/in.png", hidden)
            table.beside(hidden, original, mask)
            command = [pixmend, "mend", f"{folder}/in.png", "--mask", f"{folder}/mask.png"]
            command += ["--object", "--model", model, "--device", "cpu", "--overwrite"]
            command += ["-o", f"{folder}/out.png"]
            begin = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            spent = time.perf_counter() - begin
            table.add(model, inside(cv2.imread(f"{folder}/out.png"), original, mask), spent)
    table.show()


def main():
    pixmend, model, photos, how = sys.argv[1:5]
    if pathlib.Path(how).is_dir():
        by_masks(pixmend, model, photos, how)
    else:
        by_recipe(pixmend, model, photos, how, int(sys.argv[5]) if len(sys.argv) > 5 else 0)


main()
