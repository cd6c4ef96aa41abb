"""Whatever a file holds: a network, or one message; `python -m tests.fuzz` draws from the same."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bias_jax.errors import InputError
from converters import convert
from tests.converters.conftest import floats
from tests.converters.tiny import under
from tests.fuzz import weights

pytest.importorskip("safetensors")
MANY = settings(max_examples=150, deadline=None)

test_contents_of_any_kind = MANY(given(**weights.STATE_DICTS)(weights.any_state_dict))
test_files_of_random_bytes = MANY(given(**weights.FILES)(weights.any_weights_file))
test_damaged_safetensors = MANY(given(**weights.SAFETENSORS)(weights.damaged_safetensors))
without_torch = pytest.mark.skipif(not find_spec("torch"), reason="torch is not installed")
test_damaged_files_of_torch = pytest.mark.torch(without_torch(MANY(given(**weights.TORCH)(weights.damaged_torch))))
test_checkpoints_with_a_file_changed = settings(MANY, max_examples=60)(
    given(**weights.CHECKPOINTS)(weights.any_checkpoint)
)


@given(weights.PREFIXES, st.sampled_from(["loss.weight", "queue", "head.0.bias"]), st.booleans())
@settings(max_examples=50, deadline=None)
def test_no_array_is_dropped_in_silence(tiny, prefix, extra, ignore):
    content = {**under(prefix, tiny), extra: floats(3)}
    if not ignore:
        with pytest.raises(InputError, match=f"{extra} is not part of tiny"):
            convert("tiny", content)
    params = convert("tiny", content, ignore_extra=True)
    assert (np.asarray(params["layer1"][1]["kernel"])[0, 0] == tiny["layer1.1.weight"][:, :, 0, 0].T).all()
