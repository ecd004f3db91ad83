"""The zoo: architectures that people use, which the checker and the inspection must be right about."""

from __future__ import annotations

from tests.zoo import of_timm, of_torch, of_torchvision, of_transformers
from tests.zoo.architecture import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for library in (of_torch, of_torchvision, of_timm, of_transformers)
    for architecture in library.ARCHITECTURES
}
