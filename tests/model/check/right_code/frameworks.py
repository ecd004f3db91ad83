"""Right code with other libraries: Lightning, transformers, timm, skorch, ignite, notebooks' style."""

from __future__ import annotations

FRAMEWORKS = {
    "Lightning": """
import lightning as L


class Lit(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = Net()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        return self.dropout(self.model(x))

    def training_step(self, batch, _):
        x, y = batch
        return F.cross_entropy(self(F.dropout(x, 0.1)), y)

    def validation_step(self, batch, _):
        x, y = batch
        with torch.no_grad():
            self.log("val_loss", F.cross_entropy(self.model(x), y))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


model = Lit()
trainer = L.Trainer(max_epochs=3)
trainer.fit(model, loader, val_loader)
predictions = trainer.predict(model, val_loader)
""",
    "Lightning by itself": """
import pytorch_lightning as pl


class Lit(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 2))

    def forward(self, x):
        return self.net(x)


model = Lit.load_from_checkpoint("lit.ckpt")
model.eval()
model.freeze()
with torch.no_grad():
    y = model(x)
""",
    "a callback": """
from lightning.pytorch.callbacks import Callback


class Pictures(Callback):
    def __init__(self):
        self.judge = Net()

    def on_train_epoch_end(self, trainer, module):
        module.eval()
        with torch.no_grad():
            y = module(self.x)
        module.train()
""",
    "Fabric": """
from lightning.fabric import Fabric

fabric = Fabric(accelerator="auto")
fabric.launch()
model, optimizer = fabric.setup(Net(), torch.optim.Adam(Net().parameters()))
for epoch in range(3):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        fabric.backward(F.cross_entropy(model(x), y))
        optimizer.step()
    model.eval()
    with torch.no_grad():
        print(sum(F.cross_entropy(model(x), y) for x, y in val_loader))
""",
    "from_pretrained": """
from transformers import AutoModelForSequenceClassification, AutoTokenizer

name = "distilbert-base-uncased-finetuned-sst-2-english"
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForSequenceClassification.from_pretrained(name).to("cuda")
with torch.no_grad():
    logits = model(**tokenizer("fine", return_tensors="pt").to("cuda")).logits
""",
    "a pipeline": """
from transformers import pipeline

classify = pipeline("text-classification", model="distilbert-base-uncased", device=0)
print(classify("what a day"))
with torch.inference_mode():
    print(classify(["one", "two"]))
""",
    "a class of one's own from_pretrained": """
from transformers import BertModel, BertPreTrainedModel


class Classifier(BertPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.head = nn.Linear(config.hidden_size, 2)

    def forward(self, **inputs):
        return self.head(self.dropout(self.bert(**inputs).pooler_output))


model = Classifier.from_pretrained("bert-base-uncased")
with torch.no_grad():
    y = model(**batch)
""",
    "the Trainer": """
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

model = AutoModelForSequenceClassification.from_pretrained("bert-base-uncased")
trainer = Trainer(model=model, args=TrainingArguments("out"), train_dataset=train, eval_dataset=val)
trainer.train()
print(trainer.evaluate())
""",
    "LoRA": """
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("gpt2")
model = get_peft_model(model, LoraConfig(r=8, lora_dropout=0.05))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
for epoch in range(3):
    model.train()
    for batch in loader:
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        print(sum(model(**batch).loss for batch in val_loader))
""",
    "generation": """
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("gpt2")
model = AutoModelForCausalLM.from_pretrained("gpt2", torch_dtype=torch.float16)
model.to("cuda")
with torch.no_grad():
    ids = model.generate(**tokenizer("Once", return_tensors="pt").to("cuda"), max_new_tokens=20)
""",
    "timm": """
import timm

model = timm.create_model("convnext_tiny", pretrained=True, drop_path_rate=0.1)
model = model.eval()
config = timm.data.resolve_model_data_config(model)
with torch.no_grad():
    top = model(image.unsqueeze(0)).softmax(1).topk(5)
""",
    "timm, features only": """
import timm

encoder = timm.create_model("resnet50", pretrained=True, num_classes=0)
encoder.requires_grad_(False).to("cuda").eval()


@torch.no_grad()
def embed(x):
    return F.normalize(encoder(x))
""",
    "transfer learning": """
from torchvision import models

model = models.resnet18(weights="DEFAULT")
for p in model.parameters():
    p.requires_grad = False
width = model.fc.in_features
model.fc = nn.Sequential(nn.Dropout(0.2), nn.Linear(width, 2))
model = model.to("cuda")
optimizer = torch.optim.SGD(model.fc.parameters(), lr=1e-3)
for epoch in range(10):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
model.eval()
with torch.no_grad():
    print(model(next(iter(val_loader))[0]))
""",
    "skorch": """
from skorch import NeuralNetClassifier

net = NeuralNetClassifier(Net, max_epochs=10, module__p=0.3)
net.fit(X, y)
print(net.predict_proba(X_test))
""",
    "ignite": """
from ignite.engine import create_supervised_evaluator, create_supervised_trainer

model = Net()
optimizer = torch.optim.Adam(model.parameters())
trainer = create_supervised_trainer(model, optimizer, F.cross_entropy)
evaluator = create_supervised_evaluator(model)
trainer.run(loader, max_epochs=3)
""",
    "fastai": """
from fastai.vision.all import Learner

learn = Learner(data, Net(), loss_func=F.cross_entropy)
learn.fit_one_cycle(3)
predictions, targets = learn.get_preds()
""",
    "sentence embeddings": """
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("all-MiniLM-L6-v2")
embeddings = model.encode(["one", "two"])
""",
    "a hub": """
model = torch.hub.load("pytorch/vision", "resnet18", weights="DEFAULT")
model.eval()
with torch.no_grad():
    y = model(x)
""",
    "diffusion": """
from diffusers import UNet2DModel

unet = UNet2DModel(sample_size=32)
optimizer = torch.optim.AdamW(unet.parameters())
for x in loader:
    noise = torch.randn_like(x)
    loss = F.mse_loss(unet(x + noise, t).sample, noise)
    loss.backward()
    optimizer.step()
unet.eval()
with torch.no_grad():
    for t in range(1000, 0, -1):
        x = x - unet(x, t).sample
""",
    "a config and a registry": """
import hydra
from mmengine.registry import MODELS


@MODELS.register_module()
class Head(nn.Module):
    def __init__(self, p=0.1):
        super().__init__()
        self.dropout = nn.Dropout(p)

    def forward_train(self, x, target):
        return F.cross_entropy(F.dropout(x, 0.1), target)

    def forward(self, x):
        return self.dropout(x)


@hydra.main(config_path=".")
def main(config):
    model = hydra.utils.instantiate(config.model)
    model.eval()
    with torch.no_grad():
        print(model(torch.load(config.x)))
""",
    "cells of a notebook": """
model = Net(128)
model

# the next cell
opt = torch.optim.Adam(model.parameters())
losses = []
for i in range(500):
    loss = F.cross_entropy(model(xb), yb)
    opt.zero_grad(); loss.backward(); opt.step()
    losses.append(loss.item())

# and the last
model.eval();
with torch.no_grad():
    pred = model(xt)
(pred.argmax(1) == yt).float().mean()
""",
    "a test": """
def test_output_is_the_same_in_evaluation():
    model = Net()
    model.eval()
    x = torch.randn(4, 8)
    with torch.no_grad():
        assert torch.equal(model(x), model(x))


def test_dropout_is_on_in_training():
    model = Net()
    x = torch.randn(4, 8)
    with torch.no_grad():
        assert not torch.equal(model(x), model(x))
""",
    "a fixture": """
import pytest


@pytest.fixture
def model():
    net = Net()
    net.eval()
    yield net


def test_shape(model):
    with torch.no_grad():
        assert model(torch.randn(4, 8)).shape == (4, 2)
""",
    "quantised": """
from torch.ao.quantization import get_default_qconfig_mapping, quantize_fx

model = Net()
model.eval()
prepared = quantize_fx.prepare_fx(model, get_default_qconfig_mapping(), (example,))
with torch.inference_mode():
    for x in calibration:
        prepared(x)
quantised = quantize_fx.convert_fx(prepared)
""",
    "explained": """
from captum.attr import IntegratedGradients

model = Net()
model.load_state_dict(torch.load("net.pt"))
model.zero_grad()
model.cpu().eval()
attributions = IntegratedGradients(model).attribute(x, target=1)
""",
    "a schedule of p": """
import thinned

model = Net()
schedule = thinned.Schedule(model, thinned.schedules.linear(0.0, 0.3, 1000))
optimizer = torch.optim.Adam(model.parameters())
for x, y in loader:
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    schedule.step()
with thinned.disabled(model), torch.no_grad():
    print(model(x_val))
""",
    "predictions with their spread": """
import thinned

model = Net()
model.load_state_dict(torch.load("net.pt"))
prediction = thinned.predict(model, x, n=50)
with torch.no_grad():
    print(prediction.mean, prediction.std)
""",
}
