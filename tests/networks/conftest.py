import pytest

from bias_jax.networks import NETWORKS
from tests.networks.parity import seeded_case


@pytest.fixture(scope="session", params=list(NETWORKS))
def case(request):
    """Every network, with its seeded weights and frozen values."""
    return seeded_case(request.param)
