"""Networks trained in a moment, in a study's files, so that tests of predictions do not wait for a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from thinned.fit.perceptron import Perceptron
from thinned.study import Dataset
from thinned.study.answer.together import SeedNetwork, residuals_of, temperature_of
from thinned.study.data.fit import fit
from thinned.study.network.files import save
from thinned.study.network.model import EnsembleMember
from thinned.study.trial.config import Level, Recipe
from thinned.study.trial.fold import Fold

RECIPE = Recipe(key=0, hidden=(16,), batch=50, max_steps=100)


def trained(data: Dataset, folder: Path, p: float, seeds: int, steps: int = 100) -> Path:
    """Networks of several seeds on random halves of the data, trained a hundred steps, in a study's files."""
    outputs = len(data.classes)
    members, judged = [], []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(data.rows)
        train, val = order[: data.rows // 2], order[data.rows // 2 :]
        preparation = fit(data.features.iloc[train])
        mean, scale = (0.0, 1.0) if outputs else (float(data.y[train].mean()), float(data.y[train].std()))
        y: Any = data.y if outputs else ((data.y - mean) / scale).astype(np.float32)
        generator = torch.Generator().manual_seed(seed)
        network = Perceptron(preparation.inputs, RECIPE.hidden, outputs or 1, p, generator=generator)
        x, target = torch.from_numpy(preparation(data.features.iloc[train])), torch.from_numpy(y[train])
        optimiser = torch.optim.AdamW(network.parameters(), 0.02)
        for step in range(steps):
            output = network(x, keys=[step * 7 + seed, 1])
            loss = functional.cross_entropy(output, target) if outputs else functional.mse_loss(output[:, 0], target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        weights = {name: value.detach().numpy() for name, value in network.state_dict().items()}
        members.append(EnsembleMember(seed, 0.02, preparation, weights, mean, scale))
        with torch.no_grad():
            answer = network.eval()(torch.from_numpy(preparation(data.features.iloc[val]))).numpy()
        none = np.zeros((0, 1), dtype=np.float32)
        fold = Fold(none, y[:0], none, y[val], none, y[:0], val, val[:0], outputs, mean, scale)
        judged.append(SeedNetwork(fold, answer, none))
    folder.mkdir()
    save(
        folder,
        data,
        members,
        Level("dropout", p),
        RECIPE,
        temperature=temperature_of(judged),
        residuals=residuals_of(judged),
    )
    return folder
