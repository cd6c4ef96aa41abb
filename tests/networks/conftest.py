import pytest

from tests.networks.parity import TOLERANCE, seeded_case


@pytest.fixture(scope="session", params=list(TOLERANCE))
def case(request):
    """Every network of torchvision, with its seeded weights and frozen values."""
    return seeded_case(request.param)
