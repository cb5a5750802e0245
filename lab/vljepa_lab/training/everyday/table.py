"""Make `classes.json` from WordNet 3.0: names and hypernyms of ImageNet's 1000 classes.

Run once, `python -m vljepa_lab.training.everyday.table DATA_NOUN CLASS_IDS`; the result is kept
with the code, so that nobody needs WordNet to build the model. ImageNet's ids are the offsets of
WordNet 3.0 (Debian's `wordnet-base` has it, later versions have other offsets).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

_DEEPEST, _WIDEST = 6, 360
"""Hypernyms further above a class, or above more of the classes, say little of it."""


def read_synsets(file: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Offset -> words, and offsets of the hypernyms, of every noun in WordNet's `data.noun`."""
    synsets = {}
    for line in file.read_text(encoding="latin1").splitlines():
        if line.startswith("  "):  # the licence
            continue
        cells = line.split("|")[0].split()
        count = int(cells[3], 16)
        words = [word.replace("_", " ") for word in cells[4 : 4 + 2 * count : 2]]
        pointers = cells[5 + 2 * count :]
        above = [
            pointers[at + 1]
            for at in range(0, len(pointers) - 3, 4)
            if pointers[at] in ("@", "@i") and pointers[at + 2] == "n"
        ]
        synsets[cells[0]] = (words, above)
    return synsets


def hypernyms(synsets: dict[str, tuple[list[str], list[str]]], offset: str) -> dict[str, int]:
    """Offset -> steps above, nearest first; the synset itself is left out."""
    depth, seen, edge = 0, {offset: 0}, [offset]
    while edge:
        depth += 1
        found = dict.fromkeys(up for one in edge for up in synsets[one][1] if up not in seen)
        edge = list(found)
        seen |= dict.fromkeys(edge, depth)
    del seen[offset]
    return seen


def class_table(synsets: dict[str, tuple[list[str], list[str]]], ids: list[str]) -> dict[str, Any]:
    """What `classes.json` holds.

    Returns:
        `synsets`: offset -> words; `classes`: for each id its offset and [offset, steps above] of
        what is above it.
    """
    chains = [hypernyms(synsets, one.removeprefix("n")) for one in ids]
    covered = Counter(offset for chain in chains for offset in chain)
    classes: list[list[Any]] = []
    used: set[str] = set()
    for one, chain in zip(ids, chains, strict=True):
        near = {o: d for o, d in chain.items() if d <= _DEEPEST and covered[o] <= _WIDEST}
        classes.append([one.removeprefix("n"), [list(pair) for pair in near.items()]])
        used |= {one.removeprefix("n"), *near}
    return {"synsets": {o: synsets[o][0] for o in sorted(used)}, "classes": classes}


if __name__ == "__main__":
    noun, class_ids = (Path(argument) for argument in sys.argv[1:3])
    numbered = json.loads(class_ids.read_text(encoding="utf-8"))
    made = class_table(read_synsets(noun), [numbered[str(i)] for i in range(len(numbered))])
    target = Path(__file__).with_name("classes.json")
    lines = json.dumps(made, separators=(",", ":"))
    target.write_text(lines.replace(']]],["', ']]],\n["').replace('],"', '],\n"') + "\n")
    print(target, len(made["classes"]), "classes,", len(made["synsets"]), "synsets")
