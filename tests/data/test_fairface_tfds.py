import subprocess
import sys

import pytest

from bias_jax.audit import look
from bias_jax.data import balanced_subset, read_fairface
from bias_jax.data.fairface_tfds import main
from bias_jax.errors import InputError
from tests.data.test_fairface import HEADER, ROWS, folder  # noqa: F401


def test_prepared_data_are_the_same_data(folder, tmp_path_factory, capsys):  # noqa: F811
    out = tmp_path_factory.mktemp("tfds")
    assert main(["--source", str(folder), "--out", str(out)]) == 0
    prepared = read_fairface(out / "fairface" / "1.0.0")
    official = read_fairface(folder)
    assert "1.0.0" in capsys.readouterr().out
    assert set(prepared.image_names) == set(official.image_names)
    one, two = (look([balanced_subset(d, 1, 0)])[1][0].dataset for d in (prepared, official))
    for i, name in enumerate(one.image_names):
        j = two.image_names.index(name)
        assert one.read_bytes(i) == two.read_bytes(j)
        assert one.group_labels[i] == two.group_labels[j]


def test_defects_are_one_message(folder, tmp_path, capsys):  # noqa: F811
    (folder / "fairface_label_train.csv").write_text(HEADER + ROWS[0].replace("3-9", "Oct-19"))
    assert main(["--source", str(folder), "--out", str(tmp_path / "x")]) == 2
    assert "row 2: age 'Oct-19'" in capsys.readouterr().err
    assert main(["--source", str(tmp_path / "nowhere"), "--out", str(tmp_path / "x")]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "dataset_info.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as prepared FairFace"):
        read_fairface(tmp_path / "broken")


def test_tensorflow_is_not_imported():
    """One process for both: imports take seconds."""
    code = """import sys, experiments.sweep
print('tensorflow_datasets' in sys.modules or 'torch' in sys.modules)
import bias_jax.data.fairface_tfds
print('tensorflow' in sys.modules)"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\nFalse\n"
