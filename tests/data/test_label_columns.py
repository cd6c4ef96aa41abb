"""What labels mean: white space, missing values, case, numbers, bins; in columns of any reader."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bias_jax.audit import RunConfig
from bias_jax.data import Attribute, LabelRules, read_fairface
from bias_jax.data.label_columns import LabelColumn
from bias_jax.data.labels import SPACE, read_label
from bias_jax.data.numeric_labels import bin_names
from bias_jax.errors import InputError
from experiments.datasets import DataConfig, read_faces
from experiments.user_tables import given_bins, given_categories
from tests.data.test_fairface import ROWS, folder, write  # noqa: F401
from tests.data.test_forms import as_parquet, as_zip

SIZE = Attribute("size", ("small", "large", "NA"))


def column(labels, attribute="size", **rules):
    """Attribute, codes and notes of labels in the rows 2, 3, ..."""
    reader = LabelColumn(attribute, LabelRules(**rules))
    return reader.finish(np.array([reader.number(text, ("t.csv", row)) for row, text in enumerate(labels, 2)], int))


def refusal(labels, attribute="size", **rules):
    with pytest.raises(InputError) as caught:
        column(labels, attribute, **rules)
    assert "Way out: " in str(caught.value)
    return str(caught.value)


def test_what_stands_around_a_label_is_no_part_of_it():
    assert all(read_label(c + "a b" + c, "x") == "a b" for c in SPACE)
    assert all(c in SPACE for c in map(chr, range(0x11000)) if c.isspace() and c not in "\x1c\x1d\x1e\x1f")
    attribute, codes, notes = column(["a", "b", " a", "b\u200b", "\ufeffa\t"])
    assert attribute == Attribute("size", ("a", "b")) and codes.tolist() == [0, 1, 0, 1, 0] and notes == []
    assert codes.dtype == np.int32


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "a\r\nb", "a\tb", "\x1fa", "a\x7f", "a\x85b", "a\u2028b", "a\ud800"])
def test_control_characters_within(text):
    assert refusal(["x", text]).startswith("t.csv: row 3: size ") and refusal([text], SIZE).startswith("t.csv: row 2: ")


WORDS = ["", " ", "\u200b", "nan", "NaN", "NAN", "NA", "na", "N/A", "n/a", "<NA>", "null", "NULL", "None", "none",
         "NaT", "#N/A", "#NV", "#DIV/0!", "#VALUE!", "\\N", "?", "-", ".", " NaN ", "-nan", "1.#QNAN",
         "\u2013", "\u2014", "\u2212", "\uff1f", "\uff2e\uff21"]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_what_is_missing_is_no_category(word):
    message = refusal(["a", word, "b"])
    assert message.startswith("t.csv: row 3: size is missing") and "--missing drop" in message
    attribute, codes, _ = column(["a", word, "b"], missing="drop")
    assert attribute.categories == ("a", "b") and codes.tolist() == [0, -1, 1]
    bins = column(["1", word, "9"], missing="drop", bins={"size": (0, 5)})
    assert bins[0].categories == ("0-4", "5+") and bins[1].tolist() == [0, -1, 1]


def test_whoever_names_a_missing_value_as_a_category_means_it():
    assert column(["small", "NA", "large"], SIZE)[1].tolist() == [0, 2, 1]
    assert "row 3: size is missing" in refusal(["small", "nan"], SIZE)


def test_labels_that_differ_in_case_alone():
    labels = ["Male", "male", "Female", "MALE", "male"]
    message = refusal(labels)
    assert message.startswith("t.csv: row 3: size 'male' and 'Male' (row 2) differ in case alone")
    assert "--merge-case" in message
    attribute, codes, notes = column(labels, merge_case=True)
    assert attribute.categories == ("Female", "male") and codes.tolist() == [
        1,
        1,
        0,
        1,
        1,
    ]  # the most frequent spelling
    assert notes == ["1 label 'Male' read as 'male'", "1 label 'MALE' read as 'male'"]
    message = refusal(["small", "Large"], SIZE)
    assert message.startswith("t.csv: row 3: size 'Large' differs from 'large' in case alone")
    assert column(["small", "Large"], SIZE, merge_case=True)[1:][0].tolist() == [0, 1]
    assert "row 3: size 'huge' is not one of small, large, NA" in refusal(["small", "huge"], SIZE, merge_case=True)


@pytest.mark.parametrize("pair", ["East Asian|East\xa0Asian", "a b|a  b", "Black|Bla\u200bck", "a-b|A\u200d-B"])
def test_labels_that_look_the_same_are_not_merged(pair):
    assert "row 3: size" in refusal(pair.split("|"), merge_case=True)
    assert "look the same" in refusal(pair.split("|"), merge_case=True)


def test_composed_and_decomposed_letters_are_the_same_text():
    assert column(["Me\u0301tis", "Métis"])[0].categories == ("Métis",)


def test_numbers():
    attribute, codes, _ = column(["10", "9.0", "9", "10.00", "-1"])
    assert attribute.categories == ("-1", "9", "10") and codes.tolist() == [2, 1, 1, 2, 0]
    assert column(["0.5", "1.0", "1.50"])[0].categories == ("0.5", "1", "1.50")
    for one, other in (
        ("01", "1"),
        ("1.5", "1.50"),
        ("1e1", "10"),
        ("+3", "3"),
        ("0", "-0"),
        ("0,5", "0.5"),
        ("-1,50", "-1.5"),
    ):
        assert f"row 3: size '{other}' and '{one}' (row 2) are the same number" in refusal([one, other])
    assert column(["1,000", "1"])[0].categories == ("1", "1,000")  # a thousand, or one
    assert column(["12345678901234567890", "12345678901234567891"])[1].tolist() == [0, 1]  # no floats: identifiers
    assert column(["1_000", "٣", "1"])[0].categories == ("1", "1_000", "٣")  # two of these are no numbers


@pytest.mark.parametrize("word", ["inf", "-inf", "Infinity", "+INF", "1e999", "1e99999999999999999999"])
def test_infinity_among_numbers(word):
    assert f"row 3: size '{word}' is no finite number" in refusal(["1", word])
    assert f"row 3: size '{word}' is no finite number" in refusal(["1", word], bins={"size": (0, 5)})


def test_infinity_alone_is_a_word():
    assert column(["inf", "adult"])[0].categories == ("inf", "adult")


def test_many_numbers_need_bins():
    assert len(column(([f"{i}.0" for i in range(20)] + ["x"]) * 2)[0].categories) == 21
    message = refusal([f"{i}.5" for i in range(21)] + ["x"])
    assert message.startswith("t.csv: size holds 21 different numbers, from 0.5 to 20.5")
    assert "--bins size=0,18,40,65" in message
    edges = {"size": (0, 18, 40, 65)}
    attribute, codes, notes = column(["0", "17", "17.9", "18.0", "39", " 40", "64", "65", "1e2"], bins=edges)
    assert attribute == Attribute("size", ("0-17", "18-39", "40-64", "65+"), ordinal=True) and notes == []
    assert codes.tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert "row 2: size '-1' lies below the first bin, which begins at 0" in refusal(["-1"], bins=edges)
    assert "row 2: size 'x' is no number" in refusal(["x"], bins=edges)


def test_names_of_bins():
    assert bin_names((0, 1, 3), "age") == ("0", "1-2", "3+")
    assert bin_names((-10, 0, 10), "t") == ("-10 to below 0", "0 to below 10", "10+")
    assert bin_names((0.1, 0.25), "t") == ("0.1 to below 0.25", "0.25+")
    for edges in ((), (1,), (1, 1), (2, 1), (0, float("inf")), (float("nan"), 1)):
        with pytest.raises(InputError, match=r"bins of age begin at"):
            bin_names(edges, "age")


def test_options_on_the_command_line():
    assert given_bins(("age=0", "18", "40", "income = 0.5", "1e3")) == {"age": (0, 18, 40), "income": (0.5, 1000)}
    assert given_categories(("size= small|large ",)) == {"size": Attribute("size", ("small", "large"))}
    for entries in (("0", "18"), ("=0",), ("age=",), ("age=x",), ("age=0", "age=1"), ("age=0", "")):
        with pytest.raises(InputError, match="--bins cannot hold"):
            given_bins(entries)
    for entry in ("size", "size=", "size=a||b", "=a|b", "size=a|a", "size=a| a"):
        with pytest.raises(InputError, match="--categories cannot be"):
            given_categories((entry,))
    with pytest.raises(InputError, match="--categories cannot be"):
        given_categories(("size=a|b", "size=c|d"))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"data": "utkface", "data_dir": "x", "group_column": "who"}, "--group-column is for --data table and"),
        ({"encoding": "cp1252"}, "--encoding is for --data table and --data fairface"),
        ({"skip_lines": 1}, "--skip-lines is for --data table and --data fairface"),
        ({"data": "table", "table": "x", "attributes": ("a",), "skip_lines": -1}, "--skip-lines must not be negative"),
        ({"data": "fairface", "data_dir": "x", "bins": ("age=0", "18")}, "--bins is for --data table"),
    ],
)
def test_options_that_do_not_fit(options, problem):
    with pytest.raises(InputError, match=problem):
        DataConfig(**options)


ONLY = {
    "table": {"table": "x.csv", "image_column": "path", "attributes": ("gender",), "categories": ("gender=m|f",),
              "bins": ("age=0", "18")},
    "table and --data fairface": {"missing": "drop", "merge_case": True, "group_column": "who", "encoding": "cp1252",
                                  "skip_lines": 1},
    "fairface": {"padding": "1.25", "splits": "val", "repair_labels": True},
    "fairface and --data utkface and --data table": {"data_dir": "x"},
}  # fmt: skip
NEEDED = {
    "table": {"table": "x.csv", "attributes": ("a",)},
    "fairface": {"data_dir": "x"},
    "utkface": {"data_dir": "x"},
}


@pytest.mark.parametrize("data", NEEDED)
def test_options_of_other_data_sets_are_refused(data):
    everywhere = NEEDED[data]
    for takers, options in ONLY.items():
        for name, value in options.items():
            if data in takers:
                assert getattr(DataConfig(data=data, **(everywhere | {name: value})), name) == value
                continue
            with pytest.raises(InputError, match=f"^--{name.replace('_', '-')} is for --data {takers}. Way out: see"):
                DataConfig(data=data, **(everywhere | {name: value}))
            DataConfig(data=data, **(everywhere | {name: getattr(DataConfig, name)}))  # the default is nobody's wish


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"bins": ("height=0", "9")}, "--bins names 'height', which is no attribute"),
        ({"bins": ("age=0", "9"), "categories": ("age=1|2",)}, "'age' has both --categories and --bins"),
    ],
)
def test_attributes_that_do_not_fit(options, problem, tmp_path):
    with pytest.raises(InputError, match=problem):
        read_faces(DataConfig(data="table", table=str(tmp_path / "x"), attributes=("age",), **options), RunConfig())


def test_fairface_takes_the_same_options(folder, tmp_path):  # noqa: F811
    rows = [ROWS[0].replace("Male", " male "), ROWS[1].replace("Female", "nan"), ROWS[2]]
    write(folder, rows)
    for rules, problem in (({}, r"row 2: gender 'male' differs from 'Male' in case alone"),
                           ({"merge_case": True}, r"row 3: gender is missing \('nan'\)")):  # fmt: skip
        with pytest.raises(InputError, match=problem):
            read_fairface(folder, rules=LabelRules(**rules))
    left = read_fairface(folder, rules=LabelRules("drop", merge_case=True))
    assert left.image_names == ("train/1.jpg", "train/3.jpg") and left.labels["gender"].tolist() == [1, 0]
    assert left.notes == ("1 label 'male' read as 'Male'",
                          "1 image was left out because a label is missing (gender 1)")  # fmt: skip
    (folder / "fairface_label_train.csv").write_bytes(
        ("export of 2024;\nperson;file;age;gender;race\n" + "".join(
            f"Zoë {i // 2};{row.replace(',', ';')}" for i, row in enumerate(r.rsplit(",", 1)[0] + "\n" for r in ROWS)
        )).encode("cp1252")
    )  # fmt: skip
    config = DataConfig(data="fairface", data_dir=str(folder), encoding="cp1252", skip_lines=1, group_column="person")
    faces = read_faces(config, RunConfig())
    assert len(faces) == 3 and faces.people.tolist() == [0, 0, 1] and faces.rows == (3, 4, 5)
    with pytest.raises(InputError, match="column 'who' is missing"):
        read_fairface(folder, encoding="cp1252", skip_lines=1, group_column="who")
    with pytest.raises(InputError, match="--group-column"):
        read_fairface(as_parquet_of(folder, tmp_path / "p"), group_column="person")


def as_parquet_of(root, path):
    write(root, ROWS)
    return as_parquet(root, path)


@pytest.mark.parametrize("kind", ["integers", "floats", "text"])
def test_parquet_has_the_same_labels(kind, folder, tmp_path):  # noqa: F811
    path = as_parquet_of(folder, tmp_path / "p")
    file = max(path.iterdir())
    table = pq.read_table(file)
    names = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]["gender"]["names"]
    values = table["gender"].to_pylist()
    values[0] = None if kind == "text" else -1
    if kind == "text":
        values = [value if value is None else f" {names[value]}\u200b" for value in values]
    changed = pa.array(values, {"integers": pa.int64(), "floats": pa.float64(), "text": pa.string()}[kind])
    pq.write_table(table.set_column(table.schema.get_field_index("gender"), "gender", changed), file)
    with pytest.raises(InputError, match=r"row 1: gender is missing"):
        read_fairface(path)
    left = read_fairface(path, rules=LabelRules(missing="drop"))
    assert left.image_names == ("train/1.jpg", "train/3.jpg") and left.labels["gender"].tolist() == [1, 0]
    assert left.notes == ("1 image was left out because a label is missing (gender 1)",)


def test_labels_in_an_archive(folder, tmp_path):  # noqa: F811
    write(folder, [row.replace("White", "white") for row in ROWS])
    archive = as_zip(folder, tmp_path / "all.zip")
    with pytest.raises(InputError, match=r"fairface_label_train.csv: row 4: race 'white' differs"):
        read_fairface(archive)
    assert len(read_fairface(archive, rules=LabelRules(merge_case=True))) == 3


PEOPLE = [("Ann", "ann", "differ in case alone"), ("x\u200by", "xy", "look the same"), ("a  b", "a b", "look the same"),
          ("1", "01", "are the same number"), ("P\u20111", "P-1", "look the same"),
          ("O'Neil", "O\u2019Neil", "look the same")]  # fmt: skip


def people(labels, **rules):
    reader = LabelColumn("who", LabelRules(**rules), people=True)
    return reader.distinct(np.array([reader.number(text, ("t.csv", row)) for row, text in enumerate(labels, 2)], int))


@pytest.mark.parametrize(("one", "other", "how"), PEOPLE)
def test_one_person_spelled_two_ways_is_not_two(one, other, how):
    with pytest.raises(InputError, match=rf"^t.csv: row 4: who .* \(row 2\) {how}\. Way out: "):
        people([one, "somebody", other])
    if how == "differ in case alone":
        codes, notes = people([one, "somebody", other, other], merge_case=True)
        assert codes.dtype == np.int32 and codes.tolist() == [0, 1, 0, 0]
        assert notes == [
            "1 spellings of who differ from others in case alone and were merged, the first 'Ann' with 'ann'"
        ]


def test_people_may_be_many_and_have_no_categories_to_name():
    codes, notes = people([f"Person {i // 2}" for i in range(30_000)])
    assert len(np.unique(codes)) == 15_000 and (codes[::2] == codes[1::2]).all() and notes == []
    with pytest.raises(InputError, match="who is missing") as caught:
        people(["a", "NA"])
    assert "spell it otherwise" in str(caught.value) and "--categories" not in str(caught.value)
    assert "--categories" in refusal(["a", "NA"])


@pytest.mark.parametrize("other", ["20\u201329", "20\u201129", "20\u221229", "20\u201429", "\uff120-29", "20\ufe6329"])
def test_dashes_and_wide_letters_look_the_same(other):
    assert "row 3: size" in (message := refusal(["20-29", other])) and "'20-29' (row 2) look the same" in message
    ages = Attribute("age", ("10-19", "20-29"))
    assert f"row 2: age '{other}' looks like '20-29'" in (message := refusal([other], ages))
    assert message.endswith("Way out: write 20-29")
    assert "look the same" in refusal(["Male", "\uff2dale"]) and "look the same" in refusal(["\uff2dale", "male"])


COMMAS = [f"0,{i:02}" for i in range(1, 49)]
WRITTEN = {
    "decimal commas": COMMAS,
    "some decimal commas": [label.replace(",", ".") if i % 3 else label for i, label in enumerate(COMMAS)],
    "percent": [f"{i} %" for i in range(48)],
    "percent, no space": [f"{i / 2}%" for i in range(48)],
    "thousands, commas": [f"{i},000" for i in range(1, 49)],
    "thousands, spaces": [f"{i} 000" for i in range(1, 49)],
    "thousands, narrow spaces": [f"1\u202f{i}00\u202f000" for i in range(1, 10)] * 2
    + [f"{i}\xa0123" for i in range(30)],
    "thousands, points": [f"1.{i:03}.000,50" for i in range(48)],
    "minus of typesetters": [f"\u2212{i},5" for i in range(48)],
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_many_numbers_in_another_hand(kind):
    labels = WRITTEN[kind]
    message = refusal(labels)
    assert message.startswith(f"t.csv: size holds {len(set(labels))} different numbers, such as '")
    assert "write numbers with a point" in message and "--bins size=" in message and "--categories" in message
    first = next(row for row, label in enumerate(labels, 2) if not label.replace(".", "").isdigit())
    message = refusal(labels, bins={"size": (0, 20)})
    assert message.startswith(f"t.csv: row {first}: size '")
    assert "is not written as a number. Way out: write numbers with a point" in message
    named = Attribute("size", tuple(dict.fromkeys(labels)))
    assert column(labels, named)[0] == named  # whoever names them means it
    few = column(labels[:3])[0].categories
    assert sorted(few) == sorted(labels[:3])


@pytest.mark.parametrize("name", ["2024-03-{:02}", "person {}", "{}/5/1990", "IMG_{:04}", "{} kg", "20{}-29", "€ {}"])
def test_a_column_that_tells_images_apart_holds_no_categories(name):
    labels = [name.format(i) for i in range(1, 49)]
    message = refusal(labels)
    assert message.startswith("t.csv: size holds 48 different labels, 48 of them on a single image, such as '")
    assert all(way in message for way in ("another column", "--bins size=", "--categories"))
    assert "47 different labels, 46 of" in refusal([*labels[1:], labels[1]])
    assert len(column(labels, Attribute("size", tuple(labels)))[0].categories) == 48
    assert len(column(labels[:20])[0].categories) == 20  # a small table
    assert len(column(labels * 2)[0].categories) == 48
    assert len(column([*labels, *labels[:24]])[0].categories) == 48  # half of them have more
    assert len(column(["a", "a", "b", "b", "c", "c"])[0].categories) == 3
