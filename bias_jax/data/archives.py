"""Files in a zip archive, as people's systems make them."""

import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from bias_jax.data.contents import contents
from bias_jax.data.listings import FILE, FOLDER, LARGEST_FILE, Store, below, plain
from bias_jax.errors import InputError

DEEPEST = 32  # folders in folders


class ZipImages(Store):
    """Files in a zip archive; names may lie below the one folder that the archive holds, or the one in that."""

    def __init__(self, path: Path):
        super().__init__()
        self.source = path
        try:
            self._archive = zipfile.ZipFile(path)
        except Exception as error:  # zipfile raises many kinds on damaged archives
            what = _first_bytes(path)
            reason = str(error) if what in ("", "a zip archive") else f"it is {what}"
            remedy = "download it again, or unpack it and give the folder"
            raise InputError(f"is not a readable zip archive ({reason})", file=path, remedy=remedy) from None
        self._entries: dict[str, list[zipfile.ZipInfo]] = {}
        self._folders: dict[str, dict[str, str]] = {"": {}}
        for entry in self._archive.infolist():
            name = entry.filename
            parts = plain(name) or ()
            hostile = name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts
            if hostile or ":" in name[:2] or len(parts) > DEEPEST:
                problem = f"holds an entry outside of itself, {name!r}"
                if len(parts) > DEEPEST:
                    problem = f"holds folders in folders, {len(parts)} deep"
                raise InputError(problem, file=path, remedy="use an archive from a source you trust")
            self._add(entry, parts)
        self._tops = [""]
        while len(inner := next(self.walk(self._tops[-1], 0)).folders) == 1:
            self._tops.append(below(self._tops[-1], inner[0]))

    def _add(self, entry: zipfile.ZipInfo, parts: tuple[str, ...]) -> None:
        is_folder = entry.filename.endswith(("/", "\\"))
        for i, part in enumerate(parts):
            folder = self._folders.setdefault("/".join(parts[:i]), {})
            if i < len(parts) - 1 or is_folder:
                folder[part] = FOLDER
            else:
                folder.setdefault(part, FILE)
                self._entries.setdefault("/".join(parts), []).append(entry)

    def listing(self, folder: str) -> Mapping[str, str]:
        return self._folders.get(folder, {})

    def find(self, name: str) -> tuple[str, ...]:
        if plain(name) is not None:
            for top in self._tops:
                if found := super().find(below(top, name)):
                    return found
        return ()

    def read(self, name: str) -> bytes:
        entry, *others = self._entries[name]
        if any((other.CRC, other.file_size) != (entry.CRC, entry.file_size) for other in others):
            raise OSError("the archive holds several files of this name")
        if entry.file_size > LARGEST_FILE:
            raise OSError(f"unpacks to more than {LARGEST_FILE >> 20} MiB")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others unpack without limit
            raise OSError("is packed in a way that is not read; pack the archive again")
        try:
            with self._archive.open(entry) as stream:
                return stream.read(entry.file_size)  # what is packed may be more than the archive says
        except Exception as error:  # damaged, encrypted
            raise OSError(str(error)) from error


def _first_bytes(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return contents(stream.read(262))
    except OSError:
        return ""
