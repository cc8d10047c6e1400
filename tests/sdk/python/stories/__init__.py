"""The stories, by what they are about."""

import importlib

CHAPTERS = "flow children retries events renewal control families lists starts workers load crash".split()


def load():
    for chapter in CHAPTERS:
        importlib.import_module(f"{__name__}.{chapter}")
