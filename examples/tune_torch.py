"""How much dropout a network wants, by a training loop of one's own in plain torch. Data: scikit-learn's digits."""

import tempfile

import torch
from sklearn.datasets import load_digits

import thinned
from thinned.study import tune

images, labels = load_digits(return_X_y=True)
x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)


def build():
    layers = torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 128), torch.nn.ReLU()
    return torch.nn.Sequential(*layers, torch.nn.Linear(128, 10))


def fit(model, rates, seed, budget):
    """Train on 100 rows that the seed draws. All sets of rates have the same rows, first weights and steps."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    train, validation, test = order[:100], order[100:600], order[600:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(budget):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[train]), y[train]).backward()
        optimizer.step()
    model.eval()
    with thinned.eval_guard(model), torch.no_grad():
        return {
            name: torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).item()
            for name, rows in (("validation loss", validation), ("test loss", test))
        }


plan = thinned.plan(build(), x[:8])
with tempfile.TemporaryDirectory() as folder:
    print(tune(fit, build, plan=plan, metric="validation loss", judge="test loss", budget=300, trials=18, out=folder))
