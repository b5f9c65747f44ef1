"""What a real card does with Mayfly: is it right, how fast is it beside PyTorch, does it learn as PyTorch does?

    make gpu-probe                      the card and its rates, PyTorch's baseline
    make gpu-check STAGE=kernels        every operation, short trainings, every kernel, beside references
    make gpu-check STAGE=bench          GPT-2 of 124M, 350M and 1.5B parameters beside PyTorch
    make gpu-check STAGE=train          three minutes of 124M beside PyTorch's losses on the same tokens

Needs PyTorch and pytest for the Python that runs it. A stage ends within its --seconds, the most important things
first, and writes STAGE.json and STAGE.md as it goes. It fails (1) only where something is wrong; a missed goal is said.
Without a GPU it ends with 69, without what it runs or reads with 66. `--tiny` tries it all without a GPU: Mayfly on the
CUDA driver for tests, which MAYFLY_CUDA_PATH names, PyTorch on the CPU.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from gpu_bench import bench
from gpu_kernels import kernels
from gpu_sides import SHAPES, TINY, Mode, measure_peer, measure_rates, runs_table
from gpu_stage import CARRIED, Stage, open_device, program, run
from gpu_train import train
from machine import say
from tables import table



def probe(stage: Stage) -> None:
    open_device(stage)
    measure_rates(stage)
    ended = run(stage, program("gpu-check"), "products", *((64, 64, 300) if stage.tiny else (16384, 768, 50257)))
    products = list(ended.lines)
    if products:
        rows = [
            [p["name"], f"{p['rows']:,}", f"{p['from']:,}", f"{p['to']:,}", f"{1e3 * p['seconds']:.3f}",
             f"{p['tflops']:,.1f}"]
            for p in products
        ]
        stage.write(
            f"Mayfly's matrix products as training runs them, {products[0]['precision']}:\n\n"
            + table(["product", "rows", "from", "to", "ms", "TFLOP/s"], "lrrrrr", rows), products=products)
    if ended.code != 0:
        stage.fail(f"gpu-check products: {ended.reason}")
    shape = TINY if stage.tiny else SHAPES[0]
    for mode in (Mode("fp32", "cudnn"), Mode("fp32", "flash")):
        if stage.has_time(60, f"PyTorch, {mode.name}"):
            measure_peer(stage, shape, shape.batches[1], mode)
    stage.write(f"PyTorch's baseline:\n\n{runs_table(stage, shape)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = {"probe": probe, "kernels": kernels, "bench": bench, "train": train}
    parser.add_argument("stage", choices=stages)
    parser.add_argument("--seconds", type=float, default=450)
    parser.add_argument("--out", type=Path, default=CARRIED / "results", help="a folder")
    parser.add_argument("--tiny", action="store_true", help="tiny models, to try this where there is no GPU")
    options = parser.parse_args()
    # PyTorch's libraries serve us, too, where the machine has no others; the kernels' tests must take the real ones.
    os.environ.setdefault("VIRTUAL_ENV", sys.prefix)
    os.environ.setdefault("MAYFLY_CUDA_PATH", "")
    stage = Stage(options.stage, options.out.absolute(), options.seconds, options.tiny)
    try:
        stages[options.stage](stage)
        stage.keep(finished=True)
    finally:
        say(f"written to {options.out}/{options.stage}.json and .md")
    print((options.out / f"{options.stage}.md").read_text())
    sys.exit(1 if stage.document["wrong"] else 0)


if __name__ == "__main__":
    main()
