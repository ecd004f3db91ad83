"""What the rules find in the zoo, by kind: which findings are expected, and why each kind of them is right."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from tests.zoo.architectures import ARCHITECTURES
from tests.zoo.count import seeded

import thinned
from thinned.model.check.finding import Finding


class Kind(NamedTuple):
    """Findings of one rule that are right for one reason; patterns as in a shell, several with spaces between."""

    code: str
    architectures: str
    places: str
    why: str

    def matches(self, architecture: str, finding: Finding) -> bool:
        """Whether this kind accounts for the finding."""
        return finding.code == self.code and self.in_architecture(architecture) and any_of(self.places, finding.place)

    def in_architecture(self, name: str) -> bool:
        return any_of(self.architectures, name)


def any_of(patterns: str, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns.split())


def found_in(name: str) -> list[Finding]:
    """The findings of every rule in one architecture, from one seed."""
    model, args, kwargs = ARCHITECTURES[name].made()
    seeded(0)
    return list(thinned.check(model, *args, **kwargs))


def unexplained(name: str, findings: Iterable[Finding]) -> list[str]:
    """Findings of no known kind, and kinds that were not found where they are known to be."""
    findings = list(findings)
    kinds = [kind for kind in KINDS if kind.in_architecture(name)]
    new = [f for f in findings if not any(kind.matches(name, f) for kind in kinds)]
    gone = [kind for kind in kinds if not any(kind.matches(name, finding) for finding in findings)]
    return [
        *(
            f"{finding.code} at {finding.place or finding.file} is of no known kind: {finding.message}"
            for finding in new
        ),
        *(f"{kind.code} was found at {kind.places} before, and is not now" for kind in gone),
    ]


KINDS = [
    Kind(
        "THN107",
        "transformers/Albert* transformers/Esm* transformers/XLNet*",
        "*.albert_layers.0.dropout esm.embeddings.dropout transformer.layer.?.dropout",
        "The class builds a dropout that its forward never calls (in ESM's the call is commented out).",
    ),
    Kind(
        "THN107",
        "transformers/Falcon*",
        "*.self_attention.attention_dropout",
        "Beside fused attention Falcon passes `dropout_p=0.0`: `attention_dropout=0.1` does nothing.",
    ),
    Kind(
        "THN108",
        "transformers/SpeechT5*",
        "*.prenet:bernoulli",
        "The decoder's prenet drops in evaluation on purpose, as Tacotron 2: that predictions differ, one should know.",
    ),
    Kind(
        "THN202",
        "torch/gcn",
        ":dropout",
        "Half of the features that go in are dropped, as in the paper; there the features are sparse bags of words.",
    ),
    Kind(
        "THN206",
        "timm/tnt_*",
        "*.attn_drop",
        "`attn_drop` writes into the softmax's result, which the backward pass needs: training stops with an error.",
    ),
    Kind(
        "THN301",
        "torch/wide_resnet torchvision/densenet121 torchvision/fcn_resnet50 torchvision/squeezenet1_1",
        "?:dropout features.* classifier.?",
        "Element-wise dropout on a map that goes into another convolution, whose fields hold the neighbours, too.",
    ),
    Kind(
        "THN301",
        "transformers/SpeechT5* transformers/Vits*",
        "*.dropout",
        "The same along time: a convolution reads the neighbours of what was dropped.",
    ),
    Kind(
        "THN302",
        "torch/lstm_tagger torch/word_language_model",
        "dropout drop",
        "A recurrent layer gets a fresh mask at each step. AWD-LSTM, whose masks are locked, has no finding.",
    ),
    Kind(
        "THN403",
        "timm/cait_* timm/gmlp_* timm/levit_* timm/mixer_* timm/resmlp_* timm/sequencer2d_* timm/xcit_*",
        "*.drop_path*",
        "The library gives every block the same p. CaiT's paper does so, too; the rule only informs.",
    ),
    Kind(
        "THN501",
        "torch/pointnet",
        "dropout",
        "Dropout straight before batch normalisation, as in the widely copied code.",
    ),
    Kind(
        "THN501",
        "torchvision/deeplabv3_* transformers/SpeechT5*",
        "classifier.0.project.3 speech_decoder_postnet.*",
        "A convolution stands between dropout and batch normalisation, and the shift passes through it.",
    ),
    Kind(
        "THN501",
        "torchvision/densenet121 transformers/PatchTST*",
        "features.* model.encoder.*",
        "What was dropped reaches later batch normalisation along the skips, from several places at once.",
    ),
    Kind(
        "THN501",
        "timm/ese_vovnet19b_dw timm/mobilevitv2_050",
        "*.drop_path",
        "Stochastic depth on blocks without a skip: the whole map of an example is zeroed before the next stage.",
    ),
    Kind(
        "THN502",
        "torch/lstm_tagger torch/word_language_model",
        "dropout drop",
        "One module drops words and the recurrent layer's output, as in torch's own example.",
    ),
    Kind(
        "THN502",
        "transformers/BigBird* transformers/MPNet* transformers/XLMRobertaForSequenceClassification",
        "classifier.dropout",
        "RoBERTa's head drops its input and its hidden layer by one module.",
    ),
    Kind(
        "THN502",
        "transformers/XLNet* transformers/T5* transformers/Seg* transformers/Swi[nt][!v]* timm/pvt_v2_b0",
        "*drop*",
        "One module drops twice: a stack's input and output, or results of attention and of a perceptron's layers.",
    ),
]
