"""A stream comes and goes: what it refuses, what it says, and that the model is left as it was."""

from __future__ import annotations

import _thread
import copy
import pickle
import threading
from collections.abc import Iterator

import pytest
import torch
from tests.stream.network import Network, batch, network
from torch.utils.checkpoint import checkpoint

import thinned
import thinned.nn.functional as F
from thinned import nn
from thinned.ops import placed


@pytest.fixture(autouse=True)
def _nothing_is_left_over() -> Iterator[None]:
    yield
    assert placed.source() is None


def attributes(model: torch.nn.Module) -> list[dict[str, object]]:
    return [dict(module.__dict__) for module in model.modules()]


def test_the_model_is_left_as_it_was() -> None:
    model = network()
    before, buffers = attributes(model), list(model.state_dict())
    with thinned.stream(model, 1, in_state_dict=True):
        model(batch(0))
        assert attributes(model) != before
    assert attributes(model) == before
    assert list(model.state_dict()) == buffers
    with pytest.raises(ZeroDivisionError), thinned.stream(model, 1) as stream, stream.part(1, 2):
        _ = 1 / 0
    assert attributes(model) == before


def test_what_is_drawn_outside_is_torch_s() -> None:
    model = network()
    torch.manual_seed(3)
    expected = model(batch(0)), F.dropout(batch(0))
    with thinned.stream(model, 1):
        model(batch(0))
    torch.manual_seed(3)
    torch.testing.assert_close((model(batch(0)), F.dropout(batch(0))), expected, rtol=0, atol=0)


@pytest.mark.parametrize("in_state_dict", [False, True])
def test_a_copy_of_the_model_is_outside(in_state_dict: bool) -> None:
    model = network()
    torch.manual_seed(3)
    expected = model(batch(0))
    with thinned.stream(model, 1, in_state_dict=in_state_dict) as stream:
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            stream.step()
            torch.manual_seed(3)
            with thinned.stream(torch.nn.Linear(1, 1), 2):
                own = thinned.stream(twin, 1)
                with own:
                    assert torch.equal(twin(batch(0)), twin_of(model, own.steps))
            assert list(twin.state_dict()) == list(network().state_dict())
    torch.manual_seed(3)
    assert torch.equal(twin(batch(0)), expected)


def twin_of(model: Network, step: int) -> torch.Tensor:
    """The output of a fresh model of the same weights in a stream of its own."""
    fresh = network()
    with thinned.stream(fresh, 1) as stream:
        for _ in range(step):
            stream.step()
        output: torch.Tensor = fresh(batch(0))
        return output


def test_one_stream_a_layer() -> None:
    model = network()
    with thinned.stream(model, 1) as stream:
        with pytest.raises(RuntimeError, match=r"one stream at a time\. Got 'twice', which is in an active one"):
            thinned.stream(model.blocks[0], 2).__enter__()
        with pytest.raises(RuntimeError, match=r"entered once at a time"):
            stream.__enter__()
        model(batch(0))
    with thinned.stream(model.blocks[0], 2), thinned.stream(model.blocks[1], 2), stream_of_functions():
        model(batch(0))
    with stream:
        model(batch(0))


def stream_of_functions() -> thinned.nn.stream.stream.Stream:
    return thinned.stream(torch.nn.Linear(1, 1), 3)


def test_noise_of_torch_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match=r"Got one whose noise is torch's: 1\. Replace them by thinned\.nn's"):
        thinned.stream(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout()), 1).__enter__()
    others = [torch.nn.Dropout(), torch.nn.LSTM(2, 2, 2, dropout=0.5), torch.nn.MultiheadAttention(2, 1, 0.5)]
    model = torch.nn.Sequential(nn.Dropout(), *others, torch.nn.AlphaDropout())
    with pytest.warns(UserWarning, match=r"torch's generator: 1, 2, 3, \.\.\.\. Replace"):
        thinned.stream(model, 1).__enter__().__exit__(None, None, None)
    quiet = torch.nn.Sequential(nn.Dropout(), torch.nn.Dropout(0.0), torch.nn.LSTM(2, 2))
    with thinned.stream(quiet, 1):
        quiet[0](torch.ones(2))


def test_data_parallel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must not be split by DataParallel.*Got one at ''\. Use Dist"):
        thinned.stream(torch.nn.DataParallel(network()), 1).__enter__()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": -1}, ValueError, r"`stream`: `seed` must be an integer in \[0, 2\*\*64\)\. Got -1"),
        ({"seed": 0.5}, TypeError, r"`stream`: `seed` must be an integer"),
        ({"seed": 1, "part": (2, 2)}, ValueError, r"`stream`: `index` must be an integer in \[0, 2\)\. Got 2"),
        ({"seed": 1, "part": (0, 0)}, ValueError, r"`stream`: `count` must be an integer in \[1, 2\*\*63\)\. Got 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        thinned.stream(network(), **arguments)  # type: ignore[arg-type]


def test_bad_parts() -> None:
    stream = thinned.stream(network(), 1)
    with pytest.raises(ValueError, match=r"`part`: `index` must be an integer in \[0, 4\)"), stream.part(4, 4):
        pass
    with pytest.raises(ValueError, match=r"`part`: `dim` must be an integer in"), stream.part(0, 4, dim=-1):
        pass
    with pytest.raises(TypeError, match=r"`rows` must be a range with a positive step\. Got 3"), stream.rows(3, 4):  # type: ignore[arg-type]
        pass
    for rows in (range(2, 5), range(-1, 2)):
        with pytest.raises(ValueError, match=r"`rows` must be numbers in \[0, 4\)\. Got range"), stream.rows(rows, 4):
            pass
    with pytest.raises(ValueError, match=r"positive step"), stream.rows(range(3, 0, -1), 4):
        pass


def test_bad_states() -> None:
    stream = thinned.stream(network(), 1)
    state = stream.state_dict()
    with pytest.raises(ValueError, match=r"must have seed, step and version\. Got none of step, version"):
        stream.load_state_dict({"seed": 1})
    with pytest.raises(ValueError, match=r"must be of noise version 1\. Got 2"):
        stream.load_state_dict({**state, "version": 2})
    with pytest.raises(ValueError, match=r"`stream`: `step` must be an integer in"):
        stream.load_state_dict({**state, "step": -1})
    assert stream.state_dict() == state


def test_a_checkpoint_without_its_backward_pass_is_told() -> None:
    model = network()
    with pytest.warns(RuntimeWarning, match=r"backward pass inside the `with`"), thinned.stream(model, 1):
        output = checkpoint(model, batch(0), use_reentrant=False)
    assert output.requires_grad
    with thinned.stream(model, 1):
        checkpoint(model, batch(0), use_reentrant=False).sum().backward()


def test_a_thread_draws_from_its_own_stream_and_a_thread_of_autograd_from_the_latest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Autograd repeats a GPU's checkpoints in threads that Python did not start. Other such threads have no stream."""
    model, x = torch.nn.Linear(1, 1), torch.ones(100)
    drawn: dict[str, torch.Tensor] = {}
    done = threading.Event()

    def foreign() -> None:
        drawn["foreign"] = F.dropout(x)
        with monkeypatch.context() as patch:
            patch.setattr(placed, "current_graph_task", lambda: 0)
            drawn["autograd's"] = F.dropout(x)
        done.set()

    def beside() -> None:
        torch.manual_seed(3)
        drawn["without"] = F.dropout(x)
        with thinned.stream(model, 2) as other:
            drawn["other"], drawn["other's"] = F.dropout(x), F.dropout(x, key=other.key(""))

    torch.manual_seed(3)
    expected = F.dropout(x)
    with thinned.stream(model, 1) as stream:
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()
        _thread.start_new_thread(foreign, ())
        assert done.wait(60)
        assert torch.equal(drawn["autograd's"], F.dropout(x, key=stream.key("")))
        assert torch.equal(F.dropout(x), F.dropout(x, key=stream.key("", 1)))
    assert torch.equal(drawn["without"], expected)
    assert torch.equal(drawn["other"], drawn["other's"])
    assert not torch.equal(drawn["other"], drawn["autograd's"])
    assert not torch.equal(drawn["foreign"], drawn["autograd's"])
