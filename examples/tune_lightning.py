"""How much dropout a network wants, by Lightning's Trainer. Data: scikit-learn's digits."""

import logging
import tempfile
import warnings

import lightning
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from thinned.study import tune

images, labels = load_digits(return_X_y=True)
x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")  # of few workers, and of a checkpoint that is not written


class Digits(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.hidden = torch.nn.Linear(64, 128)
        self.drop = torch.nn.Dropout(0.2)
        self.head = torch.nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.drop(self.hidden(x).relu()))

    def training_step(self, batch, index):
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("validation loss", torch.nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def fit(model, rates, seed, budget):
    """Lightning's usual loop; what it logs is what it returns."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    train, validation = (TensorDataset(x[rows], y[rows]) for rows in (order[:100], order[100:600]))
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = lightning.Trainer(max_epochs=budget, accelerator="cpu", logger=False, **quiet)
    trainer.fit(model, DataLoader(train, 50, shuffle=True))
    return trainer.validate(model, DataLoader(validation, 500), verbose=False)[0]


with tempfile.TemporaryDirectory() as folder:
    print(tune(fit, Digits, metric="validation loss", budget=40, trials=16, seeds=3, out=folder))
