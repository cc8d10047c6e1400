"""Writes reference.md: what the comments in proto/soloist/v1 say.

usage: reference.py          writes it
       reference.py check    fails if it is not what the files say
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference.md"
FILES = ["orchestration_service", "worker_service", "maintenance_service", "instance"]

HEAD = """\
# gRPC reference

Made by `docs/reference.py` from the comments in [`proto/soloist/v1`](../proto/soloist/v1), which is the contract.
[API](api.md) and [workers](workers.md) tell how it goes together.
"""

TYPE = r"(?:repeated |optional )?(?:map<\w+, \w+>|[\w.]+)"
LINES = {
    "comment": r"// ?(.*)",
    "block": r"(service|message|enum|oneof) (\w+) \{(\})?",
    "rpc": r"rpc (\w+)\((stream )?(\w+)\) returns \((stream )?(\w+)\);",
    "field": rf"({TYPE}) (\w+) = (\d+);",
    "value": r"(\w+) = (\d+);",
    "end": r"\}",
    "nothing": r"|(?:syntax|package|import|option) .*;",
}


class Block:
    """A service, a message, an enum, or a oneof in a message."""

    def __init__(self, kind, name, said):
        self.kind, self.name, self.said = kind, name, said
        # What each holds: the matched line, its comment, and the oneof in which it is.
        self.rows = []

    def prose(self):
        """Paragraphs, as they stand."""
        oneofs = dict.fromkeys(oneof for *_, oneof in self.rows if oneof and oneof.said)
        about = [f"`{oneof.name}`: {shown(' '.join(oneof.said))}" for oneof in oneofs]
        return "\n\n".join(["\n".join(map(shown, self.said)), *about]) + "\n"


def read(path):
    """The blocks of a file, in their order. Refuses what it does not know, so that nothing is left out unseen."""
    blocks, open_blocks, said = [], [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        kind, found = match(line.strip(), f"{path.name}:{number}")
        if kind == "comment":
            said.append(found[1])
            continue
        if kind == "block":
            block = Block(found[1], found[2], said)
            if block.kind != "oneof":
                assert not open_blocks, f"{path.name}:{number}: a block in a block"
                blocks.append(block)
            if not found[3]:
                open_blocks.append(block)
        elif kind == "end":
            open_blocks.pop()
        elif kind != "nothing":
            inner = open_blocks[-1]
            open_blocks[0].rows.append((kind, found, said, inner if inner.kind == "oneof" else None))
        said = []
    return blocks


def match(line, place):
    for kind, pattern in LINES.items():
        if found := re.fullmatch(pattern, line):
            return kind, found
    sys.exit(f"{place}: not understood: {line}")


def page(blocks):
    names = {block.name for block in blocks}
    assert len(names) == len(blocks), "two blocks have one name"
    out = [HEAD]
    for block in blocks:
        if block.kind == "service":
            out += [f"## {block.name}\n", block.prose(), "| call | takes | answers | |", "|---|---|---|---|"]
            for _, found, said, _ in block.rows:
                name, *kinds = found.groups()
                asks, answers = (
                    f"{'stream of ' if stream else ''}{link(kind, names)}" for stream, kind in (kinds[:2], kinds[2:])
                )
                out.append(f"| `{name}` | {asks} | {answers} | {cell(said)} |")
            out.append("")
    out.append("## Messages\n")
    for block in sorted((block for block in blocks if block.kind == "message"), key=lambda block: block.name):
        out += [f"### {block.name}\n", block.prose()]
        if block.rows:
            out += ["| field | type | no. | |", "|---|---|---|---|"]
        for _, found, said, oneof in block.rows:
            kind, name, number = found.groups()
            choice = f"One of `{oneof.name}`. " if oneof else ""
            out.append(f"| `{name}` | {link(kind, names)} | {number} | {choice}{cell(said)} |")
        out.append("" if block.rows else "It has no fields.\n")
    out.append("## Enums\n")
    for block in sorted((block for block in blocks if block.kind == "enum"), key=lambda block: block.name):
        out += [f"### {block.name}\n", block.prose(), "| value | no. | |", "|---|---|---|"]
        out += [f"| `{found[1]}` | {found[2]} | {cell(said)} |" for _, found, said, _ in block.rows]
        out.append("")
    return "\n".join(out).rstrip() + "\n"


def cell(said):
    return shown(" ".join(said)).replace("|", "\\|")


def shown(text):
    """Angle brackets are text, but for those in code."""
    parts = text.split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def link(kind, names):
    rule, name = re.fullmatch(r"(repeated |optional )?(.+)", kind).groups()
    name = f"[{name}](#{name.lower()})" if name in names else f"`{name.removeprefix('google.protobuf.')}`"
    return f"{rule or ''}{name}"


def main(arguments):
    wanted = page([block for file in FILES for block in read(ROOT / "proto" / "soloist" / "v1" / f"{file}.proto")])
    if not arguments:
        PAGE.write_text(wanted, encoding="utf-8")
    elif arguments != ["check"]:
        sys.exit(__doc__)
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
        sys.exit("docs/reference.md is not what proto/soloist/v1 says: run docs/reference.py")


if __name__ == "__main__":
    main(sys.argv[1:])
