"""The average of k thinned networks against weight scaling, as in Srivastava et al. 2014, figure 11.

    python -m benchmarks.averages    # about 3 minutes; appends its rows to benchmarks/results/averages.csv

The networks and test digits of `benchmarks.shift`, unchanged ones. Every digit has thinned networks of its own, as in
the paper; the average of k takes the first k of them. Beside it `thinned_networks` makes a few of the networks that
are shared by all digits, as modules, and their average is compared with `predict(..., shared_masks=True)`.
"""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from torch import Tensor

import thinned

from .harness import RESULTS, Row, machine, record
from .shift import UPDATES, options_of, parts, trained

FILE = RESULTS / "averages.csv"
COUNTS = (1, 2, 5, 10, 20, 50, 100)
MODULES = 5
SCALED = "weight scaling"


def run(seed: int, path: Path, updates: int, samples: int) -> None:
    train, _, test = parts(seed)
    net = trained(seed, train, updates=updates)
    drawn = thinned.predict(net, test.x, samples, seed=seed, task="classification", samples=True).samples
    assert drawn is not None
    found = {SCALED: thinned.weight_scaling(net, test.x).softmax(1)}
    found |= {str(k): drawn[:k].mean(0) for k in COUNTS if k <= samples}
    apart, share = compared(net, test.x, seed)
    rows = []
    for name, probability in found.items():
        row = {"seed": str(seed), "updates": str(updates), "networks": name, **_scores(probability, test.y)}
        rows.append({**machine(), **row, "modules_apart": f"{apart:.2g}", "parameters_left": f"{share:.4f}"})
        print(f"seed {seed}: {name}: error {row['error']}, NLL {row['nll']}", flush=True)
    print(f"  modules: probabilities {apart:.2g} apart at most, {share:.1%} of the parameters", flush=True)
    record(path, rows)


def compared(net: torch.nn.Module, x: Tensor, seed: int) -> tuple[float, float]:
    """How far the modules' average is from `predict`'s, at most, and the modules' share of the parameters."""
    modules = thinned.thinned_networks(net, MODULES, x[:2], seed=seed)
    with torch.no_grad():
        average = torch.stack([module(x).softmax(1) for module in modules]).mean(0)
    same = thinned.predict(net, x, MODULES, seed=seed, task="classification", shared_masks=True).probability
    sizes = [sum(parameter.numel() for parameter in module.parameters()) for module in (net, *modules)]
    return float((average - same).abs().max()), sum(sizes[1:]) / MODULES / sizes[0]


def _scores(probability: Tensor, target: Tensor) -> Row:
    wrong = (probability.argmax(1) != target).double().mean()
    nll = -probability.gather(1, target[:, None]).clamp_min(1e-38).log().mean()
    return {"error": f"{wrong:.4f}", "nll": f"{nll:.5f}"}


def rows_of(path: Path, updates: int = UPDATES) -> list[Row]:
    """The recorded rows of networks trained so long; a seed's last ones."""
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["updates"] == str(updates)]
    return list({(row["seed"], row["networks"]): row for row in rows}.values())


def main() -> None:
    options = options_of(__doc__, FILE, max(COUNTS))
    for seed in options.seeds:
        if any(row["seed"] == str(seed) for row in rows_of(options.csv, options.updates)):
            print(f"seed {seed}: recorded before", flush=True)
        else:
            run(seed, options.csv, options.updates, options.samples)


if __name__ == "__main__":
    main()
