"""torch modules of one's own, against what torch computes by itself."""

import copy

import jax
import numpy as np
import pytest

from bias_jax.activations import OUTPUT, PIXELS, RULES, Need, pack, pool
from bias_jax.activations.pooling import grid_shape
from bias_jax.audit import UNTRAINED, RunConfig, audit, look, torch_network
from bias_jax.audit.sources import sources_of
from bias_jax.audit.torch_tensors import from_torch, pool_in_torch, to_torch
from bias_jax.data.decoding import decode
from bias_jax.devices import device_mesh
from bias_jax.errors import InputError
from bias_jax.instruments import Associations, Predictions
from bias_jax.networks import Transform
from tests.audit.toys import Means, Recorder, faces, pictures

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
nn = torch.nn

TRANSFORM = Transform(28, 24)
FILES = pictures(11, size=30)
LABELS = (np.arange(11) % 3).astype(np.int32)


class Block(nn.Module):
    """Writes into what the modules before gave."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.relu(self.bn(self.conv(x))) - 0.1)


class Tokens(nn.Module):
    """Gives tokens in a tuple."""

    def forward(self, x):
        return x.flatten(2).transpose(1, 2), None


class Net(nn.Module):
    """A stem, a list of blocks, tokens, a head; it drops nothing in eval mode, and writes into its input."""

    def __init__(self, classes=5):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.blocks = nn.ModuleList([Block(), nn.Sequential(Block(), Block())])
        self.tokens, self.drop, self.head = Tokens(), nn.Dropout(0.5), nn.Linear(4, classes)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.stem(x.mul_(0.5))
        for block in self.blocks:
            x = block(x)
        return self.head(self.drop(self.tokens(x)[0].mean(dim=1)))


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    net = Net()
    for one in net.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.running_mean.normal_()
            one.running_var.uniform_(0.5, 2.0)
    return net


def mine(module, **options):
    return torch_network(module, preparation=TRANSFORM, **options)


def extracted(network, needs, precision="float32", number=11):
    wave = pack(network.shapes, needs, number, 1.0, of="it").waves[0]
    images, _ = look([faces(FILES)])
    labels = {i: LABELS for i, plan in enumerate(wave) if plan.groups}
    with jax.transfer_guard("disallow"):
        found = network.extract(images, wave, labels, batch_size=4, precision=precision, mesh=device_mesh(1))
    return {(plan.name, plan.rule, plan.groups): x for plan, x in zip(wave, found, strict=True)}


def prepared():
    images = np.stack([decode(data) for data in FILES])
    return torch.from_numpy(np.array(jax.jit(TRANSFORM.on_device)(images))).permute(0, 3, 1, 2)


def test_layers_are_what_torch_computes_even_where_it_is_overwritten(module):
    found = extracted(mine(module), [
        Need("stem.0", "none"), Need("stem.1", "mean"), Need("blocks.0.bn", "grid"), Need("blocks.0.relu", "none"),
        Need("blocks.0.relu_1", "none"), Need("blocks.0", "none"), Need("blocks.0", "mean", 3, "a"),
        Need("tokens", "none"), Need(OUTPUT, "mean"), Need(PIXELS, "mean"),
    ])  # fmt: skip
    bare = Net()
    bare.load_state_dict(module.state_dict())
    bare.eval()
    with torch.no_grad():
        x = prepared() * 0.5
        stem = bare.stem[0](x)
        bn = bare.blocks[0].bn(bare.blocks[0].conv(stem.relu()))
        block = (bn.relu() - 0.1).relu()
        output = bare(prepared())
        last = bare.blocks[1](block.clone())

    def flat(tensor):
        return tensor.permute(0, 2, 3, 1).reshape(len(tensor), -1).numpy()

    def close(value, expected):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)

    close(found["stem.0", "none", 0], flat(stem))
    close(found["stem.1", "mean", 0], stem.relu().mean((2, 3)).numpy())
    close(found["blocks.0.bn", "grid", 0], flat(nn.functional.adaptive_avg_pool2d(bn, 8)))
    close(found["blocks.0.relu", "none", 0], flat(bn.relu()))
    close(found["blocks.0.relu_1", "none", 0], flat(block))
    close(found["blocks.0", "none", 0], flat(block))
    close(found["tokens", "none", 0], last.mean((2, 3)).numpy())
    close(found[OUTPUT, "mean", 0], output.numpy())
    groups = found["blocks.0", "mean", 3]
    means = np.stack([block.mean((2, 3)).numpy()[g == LABELS].mean(axis=0) for g in range(3)])
    close(groups.means - groups.means[:1], means - means[:1])
    close(found[PIXELS, "mean", 0], jax.jit(lambda x: pool("grid", x))(prepared().permute(0, 2, 3, 1).numpy()))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", [(2, 24, 17, 3), (2, 5, 9, 600), (2, 7)])
def test_pooling_in_torch_is_that_in_jax(rule, shape, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    tensor = torch.from_numpy(x)
    found = pool_in_torch(rule, tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor)
    assert found.shape == (2, int(np.prod(grid_shape(rule, shape))))
    np.testing.assert_allclose(found.numpy(), jax.jit(pool, static_argnums=0)(rule, x), rtol=1e-5, atol=1e-6)


def test_default_layers_are_blocks(module):
    network = mine(module)
    layers = ("stem.1", "blocks.0", "blocks.1.0", "blocks.1.1", "tokens", "head")
    assert network.choice(()).layers == layers and network.choice(()).output
    assert mine(module, layers=["blocks.0", "head"]).choice(()).layers == ("blocks.0", "head")
    alone = nn.Sequential(nn.Flatten(), nn.Identity(), nn.Linear(24 * 24 * 3, 2))
    assert mine(alone).choice(()).layers == ("2",)

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 3)

        def forward(self, x):
            return self.conv2(self.conv1(x).relu()).relu()

    functional = mine(Functional())
    assert functional.choice(()).layers == ("conv1", "conv2") and not functional.choice(()).output


def test_calls_beside_a_module_of_their_name():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.act_1 = nn.ReLU(), nn.Tanh()

        def forward(self, x):
            return self.act_1(self.act(self.act(x)) - 1)

    found = extracted(mine(Odd()), [Need(name, "mean") for name in ("act", "act.call1", "act_1")])
    x = prepared().relu()
    for name, value in {"act": x, "act.call1": x, "act_1": torch.tanh(x - 1)}.items():
        np.testing.assert_allclose(found[name, "mean", 0], value.mean((2, 3)), rtol=1e-5, atol=1e-5)


def test_the_module_stands_as_before_and_nobody_elses_hooks_go(module):
    module.train()
    module.blocks[0].eval()
    heard = []
    hook = module.head.register_forward_hook(lambda *_: heard.append(1))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    extracted(mine(module), [Need("head", "mean")])
    hook.remove()
    assert heard and module.training and module.drop.training and not module.blocks[0].training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not module.stem[0]._forward_hooks


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_modules_of_any_precision(module, dtype):
    exact = extracted(mine(module), [Need("blocks.0", "mean")])["blocks.0", "mean", 0]
    found = extracted(mine(copy.deepcopy(module).to(dtype)), [Need("blocks.0", "mean")])["blocks.0", "mean", 0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol={torch.float64: 1e-5}.get(dtype, 0.05))
    assert not np.array_equal(found, exact) or dtype == torch.float64


def test_bfloat16_is_asked_for_of_torch(module):
    exact, rounded = (extracted(mine(module), [Need("blocks.0", "mean")], p)["blocks.0", "mean", 0]
                      for p in ("float32", "bfloat16"))  # fmt: skip
    np.testing.assert_allclose(rounded, exact, atol=0.05)
    assert not np.array_equal(rounded, exact)


def test_channels_last_and_compiled_modules(module):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.maps = nn.Identity()

        def forward(self, x):
            return {"logits": self.maps(x.permute(0, 2, 3, 1)).mean((1, 2))}["logits"]

    assert mine(Last(), channels_last=True, layers=["maps"]).shapes["maps"] == (1, 24, 24, 3)
    compiled = nn.Module()
    compiled._orig_mod = module
    assert mine(compiled).model == "Net" and mine(compiled).sha256 == mine(module).sha256


def test_the_output_may_be_called_logits(module):
    class Answer(dict):
        logits = property(lambda self: self["logits"])

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = module

        def forward(self, x):
            return Answer(logits=self.net(x))

    assert mine(Wrapped()).shapes[OUTPUT] == (1, 5)


def test_an_audit_with_everything_around_it(module, tmp_path):
    given = faces(pictures(24, size=30))
    instruments = [Recorder(), Means(), Predictions(permutations=99)]
    network = mine(module, name="net")
    found = audit(network, instruments, faces=given, config=RunConfig(pooling="grid"), out=tmp_path)
    assert not found.failures and "net (own weights" in found.findings
    again = audit(mine(module, name="net"), instruments, faces=given, config=RunConfig(pooling="grid"), out=tmp_path)
    assert again.findings == found.findings
    torch.manual_seed(1)
    for other in (Net(), Net(7)):
        with pytest.raises(InputError, match=r"holds another run.*weights_sha256"):
            audit(mine(other, name="net"), instruments, faces=given, config=RunConfig(pooling="grid"), out=tmp_path)
    control = mine(module, untrained=Net())
    beside = sources_of(control, True, [Associations(stimuli="x")], None, look([given])[0], 0)[UNTRAINED]
    assert beside.title.endswith("untrained control") and beside.sha256 != control.sha256


class Breaks(nn.Module):
    def forward(self, x):
        return x.reshape(7, -1)


class Drops(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Identity()

    def forward(self, x):
        return self.one(nn.functional.dropout(x, training=True))


def test_what_cannot_be_audited_is_refused(module):
    broken = Net()
    with torch.no_grad():
        broken.head.weight[0] = torch.nan
    for call, problem in (
        (lambda: torch_network(lambda x: x), "got a function, which is no torch.nn.Module.*own_network"),
        (lambda: mine(module, layers=["blocks.7"]).shapes, "Net: 'blocks.7' is no module.*choose among stem.0, stem.1"),
        (lambda: mine(module, layers=["unused"]).shapes, r"Net: 'unused' gives no tensor \[N, ...\]"),
        (lambda: mine(Breaks()).shapes, r"Breaks fails with RuntimeError: shape .*test_torch_network.py:\d+"),
        (lambda: mine(Drops()).shapes, "Drops: layer 'one' is another one when the same images are given again"),
        (lambda: mine(nn.Sequential()).shapes, "Sequential: no module gives a tensor"),
        (lambda: extracted(mine(broken), [Need("head", "mean")]), "Net: layer 'head' holds values that are no numbers"),
    ):
        with pytest.raises(InputError, match=problem):
            call()


def test_nothing_is_copied_on_the_way_to_jax_and_the_network_gets_a_copy():
    tensor = torch.arange(640, dtype=torch.float32).reshape(10, 64)
    assert from_torch(tensor, jax.devices()[0]).unsafe_buffer_pointer() == tensor.data_ptr()
    array = jax.device_put(np.ones((2, 3, 4, 4), np.float32))
    given = to_torch(array, torch.device("cpu"), torch.float32)
    assert given.data_ptr() != array.unsafe_buffer_pointer() and torch.equal(given, torch.ones(2, 3, 4, 4))
