"""A character model with locked dropout between layers and DropConnect on the recurrent weights (as AWD-LSTM has)."""

from pathlib import Path

import torch

import thinned.nn as nn

text = (Path(__file__).parent.parent / "LICENSE").read_text()[:4000]
letters = sorted(set(text))
codes = torch.tensor([letters.index(letter) for letter in text])
x, y = (part[:3968].view(32, 124).T for part in (codes[:-1], codes[1:]))  # 124 steps of 32 sequences

torch.manual_seed(0)
embed = torch.nn.Embedding(len(letters), 32)
lstm = nn.drop_connect(nn.LSTM(32, 64, num_layers=2, dropout=0.2), "weight_hh_l0", p=0.3)
head = torch.nn.Linear(64, len(letters))
model = torch.nn.ModuleList([embed, lstm, head])
optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)


def loss() -> torch.Tensor:
    return torch.nn.functional.cross_entropy(head(lstm(embed(x))[0]).flatten(0, 1), y.flatten())


for step in range(41):
    value = loss()
    if step % 20 == 0:
        print(f"step {step:2}: {value.item():.2f} nats a letter with noise")
    optimiser.zero_grad()
    value.backward()
    optimiser.step()
model.eval()
print(f"at inference:  {loss().item():.2f} nats a letter")
