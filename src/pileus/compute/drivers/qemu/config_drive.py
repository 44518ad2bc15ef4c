"""The config drive: an ISO 9660 image labelled config-2, with the files that the guest's first start reads."""

import io
import os
from collections.abc import Mapping
from pathlib import Path

import pycdlib

LABEL = "config-2"


def write(path: Path, files: Mapping[str, bytes]) -> None:
    """Write an image with these files, whole or not at all.

    ISO 9660 proper allows eight letters a name; guests read the Rock Ridge and Joliet names, which are the true ones.
    """
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, vol_ident=LABEL, joliet=3, rock_ridge="1.09")
    plain: dict[str, str] = {"": ""}
    for number, (name, content) in enumerate(sorted(files.items())):
        *parents, base = name.strip("/").split("/")
        parent = ""
        for part in parents:
            directory = f"{parent}/{part}"
            if directory not in plain:
                plain[directory] = f"{plain[parent]}/D{len(plain):05d}"
                image.add_directory(plain[directory], rr_name=part, joliet_path=directory)
            parent = directory
        plain_file = f"{plain[parent]}/F{number:05d}.;1"
        image.add_fp(io.BytesIO(content), len(content), plain_file, rr_name=base, joliet_path=f"{parent}/{base}")
    new = path.with_name(f"{path.name}.new")
    try:
        image.write(str(new))
    finally:
        image.close()
    os.rename(new, path)
