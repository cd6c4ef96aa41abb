import pytest

from tests.experiments.defects import DEFECTS, outcome


@pytest.mark.parametrize("what", DEFECTS)
def test_one_clear_message_and_status_2(what, tmp_path):
    build, expected = DEFECTS[what]
    status, message = outcome(build, tmp_path)
    assert status == 2
    assert message.startswith("error: ") and expected.replace("\\\\", "\\") in message and "Way out: " in message
    assert message.isprintable()
    assert not (tmp_path / "run" / "run.json").exists()
