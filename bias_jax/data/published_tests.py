"""The tests of Steed & Caliskan 2021 by name, with the folders of their stimuli.

The folders are those below ``data/experiments`` of github.com/ryansteed/ieat, which a user downloads; the pictures are
not part of this package. X, Y, A, B in the order in which d > 0 means X with A and Y with B.
"""

Folders = tuple[str, str, str, str]  # of X, Y, A and B

VALENCE = ("valence/pleasant", "valence/unpleasant")
SCIENCE = ("gender/science", "gender/liberal-arts")
CAREER = ("gender/career", "gender/family")

MAIN: dict[str, Folders] = {
    "Insect-Flower": ("insect-flower/flower", "insect-flower/insect", *VALENCE),
    "Weapon": ("weapon/white", "weapon/black", "weapon/tool", "weapon/weapon"),
    "Weapon (Modern)": ("weapon/white", "weapon/black", "weapon/tool-modern", "weapon/weapon-modern"),
    "Native": ("native/euro", "native/native", "native/us", "native/world"),
    "Asian": ("asian/european-american", "asian/asian-american", "asian/american", "asian/foreign"),
    "Weight": ("weight/thin", "weight/fat", *VALENCE),
    "Skin-Tone": ("skin-tone/light", "skin-tone/dark", *VALENCE),
    "Disability": ("disabled/disabled", "disabled/abled", *VALENCE),
    "Religion": ("religion/christianity", "religion/judaism", *VALENCE),
    "Sexuality": ("sexuality/gay", "sexuality/straight", *VALENCE),
    "Race": ("race/european-american", "race/african-american", *VALENCE),
    "Arab-Muslim": ("arab-muslim/other-people", "arab-muslim/arab-muslim", *VALENCE),
    "Age": ("age/young", "age/old", *VALENCE),
    "Gender-Science": ("gender/male", "gender/female", *SCIENCE),
    "Gender-Career": ("gender/male", "gender/female", *CAREER),
}

_PEOPLE = {
    "W": "white", "B": "black", "M": "male", "F": "female",
    "WM": "white-male", "WF": "white-female", "BM": "black-male", "BF": "black-female",
}  # fmt: skip
_PAIRS = {
    "Gender-Science": (SCIENCE, ("MF", "WMBM", "WMBF", "WMWF", "BMBF", "BMWF")),
    "Gender-Career": (CAREER, ("MF", "WMBM", "WMBF", "WMWF", "BMBF", "BMWF")),
    "Valence": (VALENCE, ("BW", "WMBM", "WMBF", "WMWF", "WFBM", "BFBM", "WFBF", "FM")),
}
# In these the published X is the second group of the name.
_REVERSED = ("Gender-Career-WMBM", "Valence-WMWF", "Valence-BW")


def _intersectional() -> dict[str, Folders]:
    found: dict[str, Folders] = {}
    for attribute, (folders, pairs) in _PAIRS.items():
        for pair in pairs:
            half = len(pair) // 2
            x, y = (f"intersectional/{_PEOPLE[code]}" for code in (pair[:half], pair[half:]))
            if f"{attribute}-{pair}" in _REVERSED:
                x, y = y, x
            found[f"Intersectional-{attribute}-{pair}"] = (x, y, *folders)
    return found


INTERSECTIONAL = _intersectional()
PUBLISHED_TESTS = MAIN | INTERSECTIONAL
