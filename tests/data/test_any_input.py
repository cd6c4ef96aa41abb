"""Whatever lies in a folder, an archive or a parquet file: a data set or one message, and no file outside is opened.

`python -m tests.fuzz` draws from the same for as long as wanted.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz import features, parquet, pictures, places
from tests.fuzz.watching import nothing_outside

ANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_files_outside_would_be_seen(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "x").write_text("x")
    (tmp_path / "in/x").symlink_to(tmp_path / "x")
    for use in ((tmp_path / "in/x").read_bytes, lambda: os.listdir(tmp_path), lambda: list(os.scandir(tmp_path))):
        with pytest.raises(AssertionError), nothing_outside(tmp_path / "in"):
            use()


test_any_archive = ANY(given(**places.ARCHIVES)(places.any_archive))
test_any_folder = ANY(given(**places.FOLDERS)(places.any_folder))
test_any_columns = ANY(given(**parquet.COLUMNS)(parquet.any_columns))
test_any_damage_of_parquet = settings(ANY, max_examples=150)(given(**parquet.DAMAGED)(parquet.damaged_parquet))
test_any_damage_of_features = settings(ANY, max_examples=150)(given(**features.DAMAGED)(features.damaged_features))
test_any_damage_of_pictures = settings(ANY, max_examples=300)(given(**pictures.PICTURES)(pictures.any_picture))
