"""Files of image labels in other encodings and with lines above the header: read, or named with their own options."""

import pytest

from bias_jax.data import read_labels
from bias_jax.errors import InputError
from bias_jax.instruments import Heads
from bias_jax.instruments.heads.material import labels_of

TEXT = "image,labels\n1.jpg,Métis\n"


def test_encoding_and_lines_above_are_options(tmp_path):
    (tmp_path / "labels.csv").write_bytes(f"of 2026\n{TEXT}".encode("cp1252"))
    assert read_labels(tmp_path / "labels.csv", encoding="cp1252", skip_lines=1).classes == ("Métis",)
    heads = Heads(labels=str(tmp_path / "labels.csv"), label_encoding="cp1252", label_skip_lines=1, min_images=1)
    assert labels_of(heads).classes == ("Métis",)
    with pytest.raises(InputError, match="label_skip_lines must not be negative"):
        Heads(label_skip_lines=-1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (TEXT.encode("cp1252"), "--label-encoding cp1252 [(]in a sweep --heads.label-encoding"),
        ("ImageID,LabelName\n".encode("utf-16-le"), "--label-encoding utf-16-le"),
        (b"ImageID,LabelName\n1,a\n", "--label-skip-lines N [(]in a sweep --heads.label-skip-lines"),
    ],
)
def test_messages_name_these_options(content, words, tmp_path):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(InputError, match=words) as told:
        read_labels(tmp_path / "labels.csv")
    assert " --encoding" not in str(told.value) and " --skip-lines" not in str(told.value)


def test_too_rare_labels_name_the_option(tmp_path):
    (tmp_path / "labels.csv").write_text(TEXT)
    with pytest.raises(InputError, match=r"lower --min-images [(]in a sweep --heads\.min-images"):
        labels_of(Heads(labels=str(tmp_path / "labels.csv")))
