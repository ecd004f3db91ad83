"""Right code, as people write it in classes: modules, services, agents, generators, models that sample on purpose."""

from __future__ import annotations

CLASSES = {
    "noise in training, by a method": """
class Noisy(nn.Module):
    def __init__(self, p=0.1):
        super().__init__()
        self.p = p
        self.layer = nn.Linear(8, 8)

    def _thin(self, x):
        return F.dropout(x, self.p)

    def forward(self, x):
        x = self.layer(x)
        if self.training:
            x = self._thin(x)
        return x
""",
    "noise in training, two methods deep": """
class Noisy(nn.Module):
    def forward(self, x):
        return self.perturb(x) if self.training else x

    def perturb(self, x):
        return self.thin(x) + 1e-3 * torch.randn_like(x)

    def thin(self, x):
        mask = F.dropout(torch.ones_like(x), p=0.2)
        return x * mask
""",
    "noise in training, by a module": """
class WordDropout(nn.Module):
    def forward(self, x):
        return x * F.dropout(torch.ones(x.shape[:2], device=x.device), 0.1)[..., None]


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(100, 8)
        self.words = WordDropout()
        self.out = nn.Linear(8, 4)

    def forward(self, tokens):
        x = self.embedding(tokens)
        if self.training:
            x = self.words(x)
        return self.out(x)
""",
    "a function for training": """
def perturbed(x, p=0.1):
    return F.dropout(x, p)


class Net2(nn.Module):
    def forward_train(self, x):
        return F.dropout(x, 0.5)

    def forward_test(self, x):
        return x

    def forward(self, x):
        return self.forward_train(x) if self.training else self.forward_test(x)
""",
    "evaluation returns early": """
class Early(nn.Module):
    def forward(self, x):
        if not self.training or self.p == 0.0:
            return x
        return F.dropout(x, self.p)
""",
    "asserted": """
class Asserted(nn.Module):
    def regularised(self, x):
        assert self.training, "for training only"
        return F.dropout(x, 0.3)

    def forward(self, x):
        return self.regularised(x) if self.training else x
""",
    "an attribute of that name": """
class Flagged(nn.Module):
    def __init__(self, train=True):
        super().__init__()
        self.train = train

    def forward(self, x):
        return F.dropout(x, 0.5 if self.train else 0.0)
""",
    "a mode in words": """
class Worded(nn.Module):
    def forward(self, x, stage="fit"):
        if stage == "train":
            x = F.dropout(x, 0.5)
        match self.kind:
            case "plain":
                return x
        return x
""",
    "attention as it should be": """
class Attention(nn.Module):
    def __init__(self, dropout=0.1):
        super().__init__()
        self.dropout = dropout
        self.drop = partial(F.dropout, p=dropout)

    def forward(self, q, k, v):
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        y = memory_efficient_attention(q, k, v, p=self.dropout * self.training)
        y = flash_attn_func(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        return self.drop(y, training=self.training)
""",
    "a function that is told": """
class Told(nn.Module):
    def __init__(self, p=0.2):
        super().__init__()
        self.dropout = F.dropout
        self.p = p

    def forward(self, x):
        drop = partial(F.dropout, p=self.p, training=self.training)
        return self.dropout(drop(x), self.p, self.training)
""",
    "Monte Carlo on purpose": """
class MCDropout(nn.Dropout):
    def forward(self, x):
        return F.dropout(x, self.p, training=True)


class BayesianNet(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.2, training=True)


def enable_dropout(model):
    for m in model.modules():
        if isinstance(m, nn.Dropout):
            m.train()


model = Net()
model.eval()
enable_dropout(model)
with torch.no_grad():
    draws = torch.stack([model(x) for _ in range(100)])
""",
    "many draws of one input": """
def uncertainty(x, n=100):
    model = Net()
    model.load_state_dict(torch.load("net.pt"))
    with torch.no_grad():
        draws = torch.stack([model(x) for _ in range(n)])
    return draws.mean(0), draws.std(0)
""",
    "a predictor that draws": """
class MonteCarloPredictor:
    def __init__(self):
        self.model = Net()
        self.model.load_state_dict(torch.load("net.pt"))

    @torch.no_grad()
    def predict(self, x, n=20):
        out = []
        for i in range(n):
            out.append(self.model(x))
        return torch.stack(out)
""",
    "a service": """
class Predictor:
    def __init__(self, path, device="cpu"):
        self.device = device
        self.model = Net()
        self.model.load_state_dict(torch.load(path, map_location=device))
        self.model.to(device).eval()

    def predict(self, x):
        with torch.inference_mode():
            return self.model(x.to(self.device)).softmax(-1).cpu().numpy()
""",
    "a service that loads late": """
class Handler:
    model = None

    def initialize(self, context):
        self.model = Net()
        self.model.load_state_dict(torch.load(context.path))
        self.model.eval()
        self.initialized = True

    def handle(self, data, context):
        with torch.no_grad():
            return self.model(self.preprocess(data)).tolist()
""",
    "a service with a helper": """
class Service:
    def __init__(self):
        self.net = self._load("net.pt")

    def _load(self, path):
        net = Net()
        net.load_state_dict(torch.load(path))
        net.eval()
        return net

    @torch.no_grad()
    def __call__(self, x):
        return self.net(x)
""",
    "a service with several models": """
class Pipeline:
    def __init__(self):
        self.detector = Net()
        self.classifier = Net(128)
        for m in (self.detector, self.classifier):
            m.eval()

    @torch.inference_mode()
    def run(self, x):
        return self.classifier(self.detector(x))
""",
    "a service with modes of its own": """
class Model:
    def __init__(self):
        self.net = Net()

    def eval(self):
        self.net.eval()
        return self

    def predict(self, x):
        self.eval()
        with torch.no_grad():
            return self.net(x)
""",
    "a web service": """
from fastapi import FastAPI

app = FastAPI()


@app.on_event("startup")
def startup():
    app.state.model = Net()
    app.state.model.load_state_dict(torch.load("net.pt"))
    app.state.model.eval()


@app.post("/predict")
def predict(x: list[float]):
    with torch.no_grad():
        return app.state.model(torch.tensor(x)).tolist()
""",
    "a lifespan": """
from contextlib import asynccontextmanager

from fastapi import FastAPI

models = {}


@asynccontextmanager
async def lifespan(app):
    net = Net()
    net.eval()
    models["net"] = net
    yield
    models.clear()
""",
    "a trainer": """
class Trainer:
    def __init__(self, model, loader, val_loader):
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters())
        self.loader, self.val_loader = loader, val_loader

    def train_epoch(self):
        self.model.train()
        for x, y in self.loader:
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(x), y).backward()
            self.optimizer.step()

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        return sum(F.cross_entropy(self.model(x), y) for x, y in self.val_loader)

    def fit(self, epochs):
        for epoch in range(epochs):
            self.train_epoch()
            print(epoch, self.validate())
""",
    "an encoder that stays frozen": """
class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Net()
        self.encoder.requires_grad_(False).eval()
        self.head = nn.Linear(2, 2)

    def train(self, mode=True):
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, x):
        with torch.no_grad():
            z = self.encoder(x)
        return self.head(z)


model = Frozen()
with torch.no_grad():
    print(model(x))
""",
    "it evaluates itself": """
class Embedder(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Net()
        self.net.eval()

    def forward(self, x):
        return F.normalize(self.net(x))


embedder = Embedder()
with torch.no_grad():
    e = embedder(x)
""",
    "a teacher with a moving average": """
from copy import deepcopy


class EMA:
    def __init__(self, model, decay=0.999):
        self.module = deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model):
        for a, b in zip(self.module.parameters(), model.parameters()):
            a.lerp_(b, 1 - self.decay)

    def __call__(self, x):
        return self.module(x)


model = Net()
optimizer = torch.optim.Adam(model.parameters())
ema = EMA(model)
for x, y in loader:
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    ema.update(model)
""",
    "averaged weights": """
from torch.optim.swa_utils import AveragedModel, update_bn

model = Net()
averaged = AveragedModel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(100):
    for x, y in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    averaged.update_parameters(model)
update_bn(loader, averaged)
averaged.eval()
with torch.no_grad():
    y = averaged(x)
""",
    "generator and critic": """
class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 8))

    def forward(self, z):
        return self.layers(z)


G, D = Generator(), Net()
opt_g = torch.optim.Adam(G.parameters())
opt_d = torch.optim.Adam(D.parameters())
for real in loader:
    with torch.no_grad():
        fake = G(torch.randn(len(real), 16))
    (D(fake).mean() - D(real).mean()).backward()
    opt_d.step()
    (-D(G(torch.randn(len(real), 16))).mean()).backward()
    opt_g.step()
G.eval()
with torch.no_grad():
    samples = G(torch.randn(64, 16))
""",
    "pictures in between": """
G, D = Net(), Net()
opt = torch.optim.Adam(G.parameters())
for epoch in range(100):
    G.train()
    for z in loader:
        D(G(z)).mean().backward()
        opt.step()
    G.eval()
    with torch.no_grad():
        save_image(G(fixed), f"{epoch}.png")
""",
    "an agent": """
class Agent:
    def __init__(self):
        self.policy, self.target = Net(), Net()
        self.target.load_state_dict(self.policy.state_dict())
        self.target.eval()
        self.optimizer = torch.optim.Adam(self.policy.parameters())

    def act(self, state):
        self.policy.eval()
        with torch.no_grad():
            action = self.policy(state).argmax(-1)
        self.policy.train()
        return action

    def learn(self, batch):
        with torch.no_grad():
            target = batch.reward + 0.99 * self.target(batch.next).max(-1).values
        loss = F.smooth_l1_loss(self.policy(batch.state).gather(-1, batch.action), target)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
""",
    "an agent that evaluates": """
def evaluate(policy, env):
    policy.eval()
    state, total = env.reset(), 0.0
    while True:
        with torch.no_grad():
            action = policy(state).argmax(-1)
        state, reward, done = env.step(action)
        total += reward
        if done:
            policy.train()
            return total


policy = Net()
optimizer = torch.optim.Adam(policy.parameters())
for episode in range(1000):
    loss = rollout(policy, env)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if episode % 50 == 0:
        print(evaluate(policy, env))
""",
    "meta-learning": """
from torch.func import functional_call

model = Net()
outer = torch.optim.Adam(model.parameters())
for task in tasks:
    weights = dict(model.named_parameters())
    for _ in range(5):
        loss = F.cross_entropy(functional_call(model, weights, task.x), task.y)
        gradients = torch.autograd.grad(loss, weights.values(), create_graph=True)
        weights = {name: w - 0.1 * g for (name, w), g in zip(weights.items(), gradients)}
    outer.zero_grad()
    F.cross_entropy(functional_call(model, weights, task.x_val), task.y_val).backward()
    outer.step()
""",
    "a block of a transformer": """
class Block(nn.Module):
    def __init__(self, d=64, heads=4, p=0.1):
        super().__init__()
        self.attention = nn.MultiheadAttention(d, heads, dropout=p, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Dropout(p), nn.Linear(4 * d, d))
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.p = p

    def forward(self, x):
        h = self.norm1(x)
        x = x + F.dropout(self.attention(h, h, h)[0], self.p, self.training)
        return x + F.dropout(self.mlp(self.norm2(x)), p=self.p, training=self.training)
""",
    "a graph network": """
from torch_geometric.nn import GCNConv
from torch_geometric.utils import dropout_edge


class GCN(torch.nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv1, self.conv2 = GCNConv(channels, 16), GCNConv(16, classes)

    def forward(self, x, edge_index):
        edge_index, _ = dropout_edge(edge_index, p=0.2, training=self.training)
        x = F.dropout(x, p=0.5, training=self.training)
        x = F.relu(self.conv1(x, edge_index))
        x = F.dropout(x, training=self.training)
        return self.conv2(x, edge_index)


model = GCN(1433, 7)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)


def train():
    model.train()
    optimizer.zero_grad()
    F.cross_entropy(model(data.x, data.edge_index)[data.train_mask], data.y[data.train_mask]).backward()
    optimizer.step()


@torch.no_grad()
def test():
    model.eval()
    return model(data.x, data.edge_index).argmax(dim=-1)


for epoch in range(200):
    train()
    test()
""",
}
