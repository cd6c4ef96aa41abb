"""Networks of one's own: functions, Flax modules; what they give is what the registry's give."""

from functools import partial

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bias_jax.activations import OUTPUT, PIXELS, Need, pack
from bias_jax.audit import UNTRAINED, FlaxSubject, RunConfig, audit, look, own_network
from bias_jax.audit.sources import sources_of
from bias_jax.devices import device_mesh
from bias_jax.errors import InputError
from bias_jax.instruments import Associations, Predictions
from bias_jax.networks import NETWORKS, Transform, forward, random_params
from tests.audit.toys import Means, Other, Recorder, faces, pictures
from tests.small import SMALL, Small

TRANSFORM = Transform(28, 24)
FILES = pictures(11, size=30)
LABELS = (np.arange(11) % 3).astype(np.int32)


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "small", SMALL)
        yield


@pytest.fixture(scope="module")
def params(small):
    return random_params("small", 0, np.zeros((2, 24, 24, 3), np.float32))


mine = partial(own_network, name="mine", preparation=TRANSFORM)


def small_network(params, images):
    return forward("small", params, images)


def extracted(subject, count=1, batch_size=4):
    """Banks of feature maps and means, and means of groups."""
    needs = [Need("first", "none"), Need("second", "mean"), Need("second", "grid")]
    needs += [Need(PIXELS, "mean"), Need(OUTPUT, "mean"), Need("first", "mean", 3, "a")]
    wave = pack(subject.shapes, needs, 11, 1.0, of="it").waves[0]
    images, _ = look([faces(FILES)])
    labels = {i: LABELS for i, plan in enumerate(wave) if plan.groups}
    with jax.transfer_guard("disallow"):
        found = subject.extract(
            images, wave, labels, batch_size=batch_size, precision="float32", mesh=device_mesh(count)
        )
    return jax.tree.leaves(jax.device_get(found))


def test_a_network_of_the_registry_gives_the_same_bytes_as_ones_own(params):
    theirs = FlaxSubject("small", params, TRANSFORM, "weights", "0")
    own = mine(small_network, params=params)
    assert own.shapes == theirs.shapes and list(own.shapes) == list(theirs.shapes)
    assert own.choice(()).layers == ("first", "second", "fc") and own.choice(()).output
    expected = extracted(theirs)
    for subject, devices in ((own, 1), (own, 3), (mine(partial(forward, "small", params)), 1)):
        for one, other in zip(expected, extracted(subject, devices), strict=True):
            assert one.tobytes() == other.tobytes()
    assert own.sha256 == mine(small_network, params=params).sha256
    eager = mine(small_network, params=params, jit=False)
    assert eager.shapes == theirs.shapes
    for one, other in zip(expected, extracted(eager), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)  # other programs, other roundings
    first = mine(lambda x: _channels_first(params, x), channels_first=True)
    for one, other in zip(expected, extracted(first), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def _channels_first(params, images):
    assert images.shape[1:] == (3, 24, 24)
    output, found = forward("small", params, images.transpose(0, 2, 3, 1))
    return output, {name: x.transpose(0, 3, 1, 2) if x.ndim == 4 else x for name, x in found.items()}


def test_an_audit_of_ones_own_network_continues_and_knows_another(params, tmp_path):
    given, config = faces(FILES), RunConfig(layers=("first", "second"))

    def run(network, out):
        return audit(network, [Recorder(), Means()], faces=given, config=config, out=tmp_path / out)

    whole = run(mine(small_network, params=params), "a")
    theirs = run(FlaxSubject("small", params, TRANSFORM, "w", "0"), "b")
    assert not whole.failures
    for layer in config.layers:
        one, other = (run.stored["recorder"].load(layer)["x"] for run in (whole, theirs))
        assert one.tobytes() == other.tobytes()
    again = run(mine(small_network, params=params), "a")
    assert again.programs.count < whole.programs.count and "own weights" in whole.stored["recorder"].run["weights"]
    changed = jax.tree.map(lambda leaf: leaf * 1.001, params)

    def other_program(params, images):
        return forward("small", params, images * 2)

    others = [mine(small_network, params=changed), mine(small_network, params=params, version="2")]
    for network in (*others, mine(other_program, params=params), mine(partial(forward, "small", changed))):
        with pytest.raises(InputError, match=r"holds another run.*weights_sha256"):
            audit(network, [Recorder()], faces=given, out=tmp_path / "a")
    with pytest.raises(InputError, match=r"holds another run.*preparation_sha256"):
        audit(own_network(small_network, name="mine", params=params, preparation=Transform(26, 24)), [Recorder()],
              faces=given, out=tmp_path / "a")  # fmt: skip


def test_a_digest_is_that_of_arrays_program_version_or_answer(params):
    scale = np.full((3, 4), 2.0, np.float32)
    digests = {
        mine(lambda x, s=given: {"a": x.mean(axis=(1, 2)) @ s}, **options).sha256
        for given in (scale, scale * 3)
        for options in ({}, {"jit": False}, {"version": "1"})
    }
    assert len(digests) == 5  # the version says all
    versioned = mine(small_network, params=params, version="1.2")
    assert "version 1.2" in versioned.title
    eager = mine(small_network, params=params, jit=False)
    assert "its params" in eager.title and eager.sha256 != mine(small_network, params=params).sha256


class Plain(nnx.Module):
    """Returns logits alone; its modules are not in the order of their names, one of them is used twice."""

    def __init__(self, rngs):
        self.stem = nnx.Conv(3, 4, (3, 3), strides=2, rngs=rngs)
        self.blocks = nnx.List([nnx.Sequential(nnx.Conv(4, 4, (3, 3), rngs=rngs), nnx.relu) for _ in range(2)])
        self.again = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(4, 5, rngs=rngs)

    def __call__(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = self.again(block(x))
        return self.head(self.drop(x).mean(axis=(1, 2)))


def test_a_flax_module_is_run_in_eval_mode_and_shows_all_its_modules():
    module = Plain(nnx.Rngs(0))
    found = mine(module)
    layers = ("stem", "blocks.0", "again", "blocks.1", "again_1", "drop", "head")
    assert found.choice(()).layers == layers and found.choice(()).output
    assert {"blocks.0.layers.0", "blocks.1.layers.0"} < set(found.shapes)
    assert not module.drop.deterministic and not module.again.use_running_average  # it stands as before
    assert found.sha256 == mine(Plain(nnx.Rngs(0))).sha256 != mine(Plain(nnx.Rngs(1))).sha256
    images, _ = look([faces(FILES)])
    wave = pack(found.shapes, [Need("head", "mean"), Need(OUTPUT, "mean")], 11, 1.0, of="it").waves[0]
    head, output = found.extract(images, wave, {}, batch_size=4, precision="float32", mesh=device_mesh(1))
    np.testing.assert_array_equal(head, output)


def test_a_flax_module_may_answer_for_itself():
    module = SMALL.build({"classes": 5}, nnx.Rngs(0))
    assert isinstance(module, Small)
    found = mine(module)
    assert found.choice(()).layers == ("first", "second", "fc") and found.shapes[OUTPUT] == (1, 5)
    with pytest.raises(InputError, match="mine is a module, which has its params"):
        mine(module, params={})


def test_a_linen_module_shows_what_it_captures():
    class Linen(flax.linen.Module):
        @flax.linen.compact
        def __call__(self, x):
            x = flax.linen.relu(flax.linen.Conv(4, (3, 3), name="zoom")(x))
            return flax.linen.Dense(5, name="head")(x.mean(axis=(1, 2)))

    module = Linen()
    variables = module.init(jax.random.key(0), jnp.zeros((1, 24, 24, 3)))
    found = mine(partial(module.apply, capture_intermediates=True), params=variables)
    assert found.choice(()).layers == ("zoom", "head") and found.shapes[OUTPUT] == (1, 5)


def test_the_networks_own_classes_by_group(params):
    given = faces(pictures(24, size=30))
    found = audit(mine(small_network, params=params), [Predictions(permutations=99)], faces=given)
    assert not found.failures and "class " in found.findings
    with pytest.raises(InputError, match=r"predictions: .*\(output, activations\)"):
        audit(mine(lambda x: {"a": x.mean(axis=(1, 2))}), [Predictions()], faces=given)


def test_an_untrained_control_is_the_users_or_left_out(params, caplog):
    def chosen(network):
        return sources_of(network, True, [Associations(stimuli="x")], None, look([faces(FILES)])[0], 0)

    with caplog.at_level("INFO", "bias_jax.audit"):
        found = chosen(mine(small_network, params=params))
    assert UNTRAINED not in found and "there is no untrained control" in caplog.text
    other = jax.tree.map(jnp.zeros_like, params)
    for control in (mine(small_network, params=other), partial(forward, "small", other)):
        beside = chosen(mine(small_network, params=params, untrained=control))[UNTRAINED]
        assert beside.title.endswith("untrained control") and beside.model == "mine"
        assert list(beside.shapes) == [PIXELS, "first", "second", "fc", OUTPUT]


def grey(images):
    return images.mean(axis=(1, 2, 3))[:, None]


def test_numpy_without_jax(tmp_path):
    def host(images):
        x = np.asarray(images, np.float64)
        return x.mean(axis=(1, 2)), {"mean": x.mean(axis=(1, 2)), "map": x.astype(np.float16)}

    network = mine(host, jit=False)
    found = audit(network, [Recorder(), Other(files=tuple(FILES[:3]))], faces=faces(FILES), out=tmp_path)
    assert not found.failures and network.choice(()).layers == ("mean", "map")
    with pytest.raises(InputError, match=r"TracerArrayConversionError.*test_own.py:\d+.*jit=False"):
        mine(host).shapes  # noqa: B018


@pytest.mark.parametrize("jit", [True, False])
def test_what_is_not_finite_is_refused_by_layer_and_image(jit):
    def dark(images):
        return {"fine": grey(images), "log": jnp.log(grey(images) - np.float32(9))}

    files = [*pictures(3, size=30)]
    with pytest.raises(InputError, match="mine: layer 'log' holds values that are no numbers or infinite for image"):
        audit(mine(dark, jit=jit), [Recorder()], faces=faces(files))
    with pytest.raises(InputError, match="layer 'log' holds values that are no numbers"):
        audit(mine(dark, jit=jit), [Means()], faces=faces(files))


def test_what_changes_with_the_images_is_refused():
    times = iter(range(100))

    def growing(images):
        return {"a": np.ones((len(images), 2 + (len(images) > 2)), np.float32)}

    def random(images):
        return {"a": np.full((len(images), 2), next(times), np.float32)}

    def sometimes(images):
        return {"a" if len(images) == 2 else "b": grey(images)}

    given = faces(FILES)
    with pytest.raises(InputError, match=r"shape of layer 'a' depends on the images: 2 features, then 3"):
        audit(mine(growing, jit=False), [Recorder()], faces=given)
    with pytest.raises(InputError, match=r"layer 'a' is another one when the same images are given again.*eval mode"):
        audit(mine(random, jit=False), [Recorder()], faces=given)
    with pytest.raises(InputError, match="gives layer 'a' for some images only"):
        audit(mine(sometimes, jit=False), [Recorder()], faces=given)


def broken(images):
    raise KeyError("nothing here")


@pytest.mark.parametrize("jit", [True, False])
def test_an_error_of_the_users_code_is_told_with_its_place(jit):
    with pytest.raises(
        InputError, match=r"mine fails with KeyError: 'nothing here' at .*test_own.py:\d+\. Way out"
    ) as e:
        mine(broken, jit=jit).shapes  # noqa: B018
    assert isinstance(e.value.__cause__, KeyError)


def test_memory_that_is_short_is_no_error_of_the_user():
    def hungry(images):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    with pytest.raises(RuntimeError):
        mine(hungry).shapes  # noqa: B018


def test_what_is_no_network_is_refused():
    for given, problem in (
        (lambda: own_network(3), "own_network got a int, which is no function"),
        (lambda: mine(grey, params={"a": "text"}), "mine: params hold a str"),
        (lambda: mine(lambda x: {"a b": grey(x), "a-b": grey(x)}).shapes, "'a b' and 'a-b' differ too little"),
        (lambda: mine(lambda x: {".a": grey(x)}).shapes, "'.a' cannot be the name of a layer"),
        (lambda: mine(lambda x: {"a\n": grey(x)}).shapes, "cannot be the name of a layer"),
        (lambda: mine(lambda x: {"a" * 300: grey(x)}).shapes, "cannot be the name of a layer"),
    ):
        with pytest.raises(InputError, match=problem):
            given()
    assert own_network(grey).model == "grey" and own_network(lambda x: {"a": grey(x)}).model == "function"
