"""Settings of the whole suite, doc examples included."""

import torch

# On tensors as small as the tests' a second thread costs more than it brings, most of all on a busy machine.
torch.set_num_threads(1)
