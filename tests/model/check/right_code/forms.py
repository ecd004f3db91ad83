"""Right code, in short forms: each puts a model in evaluation, or drops in training only, in a way of its own."""

from __future__ import annotations

FORMS = {
    "an assignment in a test": """
if (model := Net()) is not None:
    model.eval()
with torch.no_grad():
    y = model(x)
""",
    "one of two": """
model = Net(256).eval() if large else Net().eval()
with torch.no_grad():
    y = model(x)
""",
    "an attribute of anything": """
class State:
    pass


state = State()
state.model = Net()
state.model.eval()
with torch.no_grad():
    y = state.model(x)
""",
    "a property": """
class Lazy:
    def __init__(self):
        self._model = None

    @property
    def model(self):
        if self._model is None:
            self._model = Net()
            self._model.eval()
        return self._model

    @torch.no_grad()
    def predict(self, x):
        return self.model(x)
""",
    "a cached property": """
from functools import cached_property


class Lazy:
    @cached_property
    def model(self):
        net = Net()
        net.load_state_dict(torch.load("net.pt"))
        return net.eval()

    @torch.no_grad()
    def predict(self, x):
        return self.model(x)
""",
    "another method": """
class Service:
    def __init__(self):
        self.model = Net()
        self._freeze()

    def _freeze(self):
        for m in [self.model]:
            m.eval()

    @torch.no_grad()
    def predict(self, x):
        return self.model(x)
""",
    "from outside": """
class Service:
    def __init__(self):
        self.model = Net()

    @torch.no_grad()
    def predict(self, x):
        return self.model(x)


service = Service()
service.model.eval()
service.predict(x)
""",
    "a subclass": """
class Service:
    def __init__(self):
        self.model = Net()

    @torch.no_grad()
    def predict(self, x):
        return self.model(x)


class Serving(Service):
    def __init__(self):
        super().__init__()
        self.model.train(False)
""",
    "by the class": """
model = Net()
nn.Module.eval(model)
other = Net()
nn.Module.train(other, False)
with torch.no_grad():
    y = model(other(x))
""",
    "a chain over lines": """
model = Net()
(
    model
    .to("cuda")
    .eval()
)
with torch.no_grad():
    y = model(x)
""",
    "channels last": """
model = Net()
model.to(memory_format=torch.channels_last)
model.to_empty(device="cuda").eval()
with torch.no_grad():
    y = model(x)
""",
    "moved if possible": """
model = Net()
if torch.cuda.is_available():
    model = model.cuda()
model = model.eval()
with torch.no_grad():
    y = model(x)
""",
    "inside the with": """
model = Net()
with torch.no_grad():
    model.eval()
    y = model(x)
""",
    "a stack of contexts": """
from contextlib import ExitStack

model = Net()
with ExitStack() as stack:
    stack.enter_context(torch.no_grad())
    stack.callback(model.train)
    model.eval()
    y = model(x)
""",
    "two at once": """
generator, critic = Net().eval(), Net().eval()
with torch.no_grad():
    y = critic(generator(x))
""",
    "with their paths": """
generator, critic = Net(), Net()
for model, path in zip((generator, critic), ("g.pt", "c.pt")):
    model.load_state_dict(torch.load(path))
    model.eval()
with torch.no_grad():
    y = critic(generator(x))
""",
    "a closure": """
def make():
    model = None

    def load():
        nonlocal model
        model = Net()
        model.eval()

    def run(x):
        with torch.no_grad():
            return model(x)

    return load, run
""",
    "a lambda": """
model = Net()
predict = lambda x: model.eval()(x)
with torch.no_grad():
    y = predict(x)
""",
    "cached by a framework": """
import streamlit as st


@st.cache_resource
def load():
    model = Net()
    model.load_state_dict(torch.load("net.pt"))
    model.eval()
    return model


model = load()
with torch.no_grad():
    y = model(x)
""",
    "noise by a list": """
class Listed(nn.Module):
    def thin(self, x):
        return F.dropout(x, 0.5)

    def forward(self, x):
        for step in [self.thin] if self.training else []:
            x = step(x)
        return x
""",
    "noise by and": """
class Anded(nn.Module):
    def thin(self, x):
        return F.dropout(x, 0.5)

    def forward(self, x):
        return (self.training and self.thin(x)) or x
""",
    "noise by else": """
class Elsed(nn.Module):
    def thin(self, x):
        return F.dropout(x, 0.5)

    def forward(self, x):
        if not self.training:
            pass
        else:
            x = self.thin(x)
        return x
""",
    "noise after a return": """
class Early(nn.Module):
    def thin(self, x):
        return F.dropout(x, 0.5)

    def forward(self, x):
        if not self.training:
            return x
        return self.thin(x)
""",
    "noise by an inner function": """
class Inner(nn.Module):
    def forward(self, x):
        def thin(z):
            return F.dropout(z, 0.5)

        return thin(x) if self.training else x
""",
    "the mode as an argument": """
class Argument(nn.Module):
    def block(self, x, train):
        return F.dropout(x, 0.5, train)

    def forward(self, x):
        return self.block(x, self.training)
""",
    "an annotated flag": """
class Flag(nn.Module):
    train: bool = True

    def forward(self, x):
        return F.dropout(x, 0.5 if self.train else 0.0)
""",
    "a mode by a helper": """
def set_mode(model, train):
    model.train(train)


model = Net()
optimizer = torch.optim.Adam(model.parameters())
for epoch in range(3):
    set_mode(model, True)
    for x in loader:
        model(x).sum().backward()
        optimizer.step()
    set_mode(model, False)
    print(model(x))
""",
    "a critic that stays as it is": """
generator, critic = Net(), Net()
optimizer = torch.optim.Adam(generator.parameters())
for x in loader:
    critic.eval()
    loss = critic(generator(x)).mean()
    loss.backward()
    optimizer.step()
""",
}
