"""Right code, as people write it in scripts: loops, functions, k-fold, exports. No rule may find anything in it."""

from __future__ import annotations

NET = """\
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self, width=64, p=0.3):
        super().__init__()
        self.hidden = nn.Linear(8, width)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(p)
        self.out = nn.Linear(width, 2)

    def forward(self, x):
        return self.out(self.dropout(self.norm(self.hidden(x)).relu()))


"""

SCRIPTS = {
    "a chain that ends in eval": """
from torchvision.models import resnet50

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = resnet50(weights="DEFAULT")
model.to(device).eval()

with torch.no_grad():
    for images, _ in loader:
        print(model(images.to(device)).argmax(1))
""",
    "a chain of three": """
model = Net()
model.load_state_dict(torch.load("net.pt", map_location="cpu"))
model.cuda().half().eval()

with torch.inference_mode():
    scores = model(batch.cuda().half())
""",
    "eval at once": """
model = Net().eval()
with torch.no_grad():
    y = model(torch.load("x.pt"))
""",
    "the chain is kept": """
model = Net()
model = model.to("cuda").eval()
with torch.no_grad():
    y = model(batch)
""",
    "train(False)": """
net = Net()
net.load_state_dict(torch.load("net.pt"))
net.train(False)
with torch.no_grad():
    print(net(inputs))
""",
    "train(mode=False)": """
model = Net()
model.train(mode=False)
with torch.no_grad():
    print(model(inputs))
""",
    "frozen and in evaluation": """
backbone = Net()
backbone.requires_grad_(False).eval()

@torch.no_grad()
def features(x):
    return backbone(x)
""",
    "a helper puts it in evaluation": """
def prepare(net, path):
    net.load_state_dict(torch.load(path))
    net.eval()
    return net


model = Net()
prepare(model, "net.pt")
with torch.no_grad():
    y = model(x)
""",
    "a helper returns it": """
def load(path):
    net = Net()
    net.load_state_dict(torch.load(path))
    return net.eval()


model = load("net.pt")
with torch.no_grad():
    y = model(x)
""",
    "a loop over models": """
encoder, head = Net(), Net()
for module in (encoder, head):
    module.eval()
with torch.no_grad():
    y = head(encoder(x))
""",
    "a list of models": """
models = [Net(width) for width in (16, 32, 64)]
for m in models:
    m.eval()
with torch.no_grad():
    y = torch.stack([m(x) for m in models]).mean(0)
""",
    "a list of names": """
first = Net(16)
second = Net(32)
ensemble = [first, second]
[m.eval() for m in ensemble]
with torch.inference_mode():
    y = (first(x) + second(x)) / 2
""",
    "map": """
a, b = Net(), Net()
list(map(lambda m: m.eval(), (a, b)))
with torch.no_grad():
    print(a(x), b(x))
""",
    "every module by itself": """
model = Net()
for module in model.modules():
    module.eval()
with torch.no_grad():
    print(model(x))
""",
    "only the dropouts": """
model = Net()
for name, child in model.named_children():
    if isinstance(child, (nn.Dropout, nn.BatchNorm1d)):
        child.train(False)
with torch.no_grad():
    print(model(x))
""",
    "by apply": """
model = Net()
model.apply(lambda m: m.eval())
with torch.no_grad():
    print(model(x))
""",
    "the flag itself": """
model = Net()
for m in model.modules():
    m.training = False
with torch.no_grad():
    print(model(x))
""",
    "the flag of the model": """
model = Net()
model.training = False
model.dropout.training = False
model.norm.training = False
with torch.no_grad():
    print(model(x))
""",
    "a with that evaluates": """
from contextlib import contextmanager


@contextmanager
def evaluating(model):
    was = model.training
    model.eval()
    try:
        yield model
    finally:
        model.train(was)


net = Net()
with evaluating(net), torch.no_grad():
    print(net(x))
""",
    "a with from a library": """
from timm.utils import set_layer_config
from mylib import eval_mode

net = Net()
with eval_mode(net):
    with torch.no_grad():
        y = net(x)
""",
    "compiled, then in evaluation": """
model = torch.compile(Net())
model.eval()
with torch.no_grad():
    y = model(x)
""",
    "in evaluation, then compiled": """
model = Net()
model.eval()
model = torch.compile(model)
with torch.no_grad():
    y = model(x)
""",
    "parallel": """
net = nn.DataParallel(Net()).cuda()
net.load_state_dict(torch.load("net.pt"))
net.eval()
with torch.no_grad():
    y = net(x)
""",
    "parallel, by its module": """
net = nn.DataParallel(Net()).cuda()
net.module.eval()
with torch.no_grad():
    y = net.module(x)
""",
    "scripted": """
model = torch.jit.load("net.ts")
with torch.no_grad():
    y = model(x)
""",
    "scripted here": """
model = Net()
scripted = torch.jit.script(model)
scripted.eval()
with torch.no_grad():
    y = scripted(x)
""",
    "saved whole": """
model = torch.load("whole.pt", weights_only=False)
with torch.no_grad():
    y = model(x)
""",
    "plain training and validation": """
model = Net()
optimizer = torch.optim.Adam(model.parameters())
for epoch in range(10):
    model.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        right = sum((model(x).argmax(1) == y).sum() for x, y in val_loader)
    print(epoch, right)
""",
    "training and validation by functions": """
def train(model, loader, optimizer, criterion, device):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x.to(device)), y.to(device))
        loss.backward()
        optimizer.step()


@torch.no_grad()
def evaluate(model, loader, device):
    model.eval()
    return sum((model(x.to(device)).argmax(1).cpu() == y).sum().item() for x, y in loader)


def main():
    model = Net().to("cuda")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(90):
        train(model, train_loader, optimizer, nn.CrossEntropyLoss(), "cuda")
        print(evaluate(model, val_loader, "cuda"))


if __name__ == "__main__":
    main()
""",
    "two phases": """
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(25):
    for phase in ["train", "val"]:
        if phase == "train":
            model.train()
        else:
            model.eval()
        for inputs, labels in dataloaders[phase]:
            optimizer.zero_grad()
            with torch.set_grad_enabled(phase == "train"):
                loss = F.cross_entropy(model(inputs), labels)
                if phase == "train":
                    loss.backward()
                    optimizer.step()
""",
    "two phases, by a flag": """
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(25):
    for training in (True, False):
        model.train(training)
        for inputs, labels in loaders[training]:
            with torch.set_grad_enabled(training):
                loss = F.cross_entropy(model(inputs), labels)
            if training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
""",
    "validation in between, and back": """
model = Net()
optimizer = torch.optim.AdamW(model.parameters())
model.train()
for step, (x, y) in enumerate(loader):
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if step % 100 == 0:
        model.eval()
        with torch.no_grad():
            print(F.cross_entropy(model(x_val), y_val))
        model.train()
""",
    "validation that puts back what was": """
@torch.no_grad()
def estimate_loss(model, loader):
    was = model.training
    model.eval()
    losses = [F.cross_entropy(model(x), y).item() for x, y in loader]
    model.train(was)
    return sum(losses) / len(losses)


model = Net()
optimizer = torch.optim.AdamW(model.parameters())
while True:
    x, y = next(batches)
    if step % 250 == 0:
        print(estimate_loss(model, val_loader))
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    step += 1
    if step > 5000:
        break
""",
    "the end of training": """
model = Net()
optimizer = torch.optim.AdamW(model.parameters())
for step, (x, y) in enumerate(loader):
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    if step == 10_000:
        model.eval()
        torch.save(model.state_dict(), "net.pt")
        break
""",
    "k-fold": """
from sklearn.model_selection import KFold

scores = []
for train_rows, test_rows in KFold(5, shuffle=True).split(X):
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(50):
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(model(X[train_rows]), y[train_rows]).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        scores.append((model(X[test_rows]).argmax(1) == y[test_rows]).float().mean())
""",
    "a search with optuna": """
import optuna


def objective(trial):
    model = Net(p=trial.suggest_float("p", 0.0, 0.6))
    optimizer = torch.optim.Adam(model.parameters(), lr=trial.suggest_float("lr", 1e-4, 1e-2, log=True))
    for _ in range(20):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            loss = sum(F.cross_entropy(model(x), y).item() for x, y in val_loader)
    return loss


optuna.create_study().optimize(objective, n_trials=50)
""",
    "accelerate": """
from accelerate import Accelerator

accelerator = Accelerator()
model = Net()
optimizer = torch.optim.AdamW(model.parameters())
model, optimizer, loader, val_loader = accelerator.prepare(model, optimizer, loader, val_loader)
for epoch in range(3):
    model.train()
    for x, y in loader:
        accelerator.backward(F.cross_entropy(model(x), y))
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    for x, y in val_loader:
        with torch.no_grad():
            predictions = accelerator.gather(model(x).argmax(-1))
""",
    "several processes": """
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel as DDP


def run(rank):
    dist.init_process_group("nccl")
    model = DDP(Net().to(rank), device_ids=[rank])
    model.eval()
    with torch.no_grad():
        for x in loader:
            yield model(x.to(rank))
""",
    "exports": """
model = Net()
model.load_state_dict(torch.load("net.pt"))
model.cpu().eval()
torch.onnx.export(model, (example,), "net.onnx", input_names=["x"])
traced = torch.jit.trace(model, example)
exported = torch.export.export(model, (example,))
""",
    "exports, in one line": """
from torchvision.models import vgg16

torch.jit.trace(vgg16(weights="DEFAULT").eval(), torch.rand(1, 3, 224, 224)).save("vgg.pt")
torch.onnx.export(Net().eval(), (torch.rand(1, 8),), "net.onnx")
""",
    "only the shapes": """
model = Net()
x = torch.randn(4, 8)
with torch.no_grad():
    print(model(x).shape, model(torch.zeros(2, 8)).shape)
    print(sum(p.numel() for p in model.parameters()))
""",
    "shapes of several inputs": """
class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.1)

    def forward(self, a, b):
        return self.dropout(a + b["b"])


model = Pair()
inputs = (torch.randn(4, 8), {"b": torch.randn(4, 8)})
with torch.no_grad():
    assert model(*inputs).shape == (4, 8)
""",
    "layers that learn their sizes": """
class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.LazyLinear(64), nn.ReLU(), nn.Dropout(0.5), nn.LazyLinear(2))

    def forward(self, x):
        return self.layers(x)


model = Lazy()
with torch.no_grad():
    model(next(iter(loader)))
optimizer = torch.optim.Adam(model.parameters())
""",
    "gradients are off for the whole file": """
torch.set_grad_enabled(False)
model = Net()
model.load_state_dict(torch.load("net.pt"))
model.eval()
print(model(x))
""",
    "batch statistics again": """
model = Net()
model.load_state_dict(torch.load("averaged.pt"))
model.train()
with torch.no_grad():
    for x, _ in loader:
        model(x)
model.eval()
""",
    "by name": """
model = Net()
getattr(model, "eval")()
with torch.no_grad():
    print(model(x))
""",
    "the method, taken": """
model = Net()
off = model.eval
off()
with torch.no_grad():
    print(model(x))
""",
    "in another process": """
import multiprocessing as mp


def work(model, queue):
    model.eval()
    with torch.no_grad():
        queue.put(model(torch.load("x.pt")))


if __name__ == "__main__":
    model = Net().share_memory()
    mp.Process(target=work, args=(model, mp.Queue())).start()
""",
    "a global that is loaded late": """
model = None


def load():
    global model
    model = Net()
    model.load_state_dict(torch.load("net.pt"))
    model.eval()


def predict(x):
    if model is None:
        load()
    with torch.no_grad():
        return model(x).softmax(-1)
""",
    "a dictionary of models": """
models = {"small": Net(16), "large": Net(256)}
for name, net in models.items():
    net.load_state_dict(torch.load(f"{name}.pt"))
    net.eval()
with torch.no_grad():
    y = {name: net(x) for name, net in models.items()}
""",
    "evaluation by a name of its own": """
def freeze(module):
    for p in module.parameters():
        p.requires_grad = False
    module.eval()


teacher = Net(256)
freeze(teacher)
student = Net()
optimizer = torch.optim.Adam(student.parameters())
for x, y in loader:
    with torch.no_grad():
        target = teacher(x).softmax(-1)
    F.kl_div(student(x).log_softmax(-1), target).backward()
    optimizer.step()
""",
    "an attack needs gradients and no training": """
model = Net().eval()
for x, y in loader:
    model.eval()
    x.requires_grad_(True)
    F.cross_entropy(model(x), y).backward()
    adversarial = (x + 0.03 * x.grad.sign()).detach()
    with torch.no_grad():
        print((model(adversarial).argmax(1) == y).float().mean())
""",
    "an image is optimised": """
from torchvision.models import vgg19

cnn = vgg19(weights="DEFAULT").features.eval()
image = content.clone().requires_grad_(True)
optimizer = torch.optim.LBFGS([image])
for step in range(300):
    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(cnn(image), target)
        loss.backward()
        return loss
    optimizer.step(closure)
""",
    "batch normalisation stays as it is": """
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
for x, y in loader:
    model.train()
    model.norm.eval()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
""",
}
