#!/usr/bin/env python3
"""House rules as tests: check.py RULE [ROOT]; prints each breach as file:line: why; exit 1 if any."""
import os
import re
import stat
import sys
from pathlib import Path

RANKS = {
    "base": 1, "net": 2, "store": 2,
    "ingest": 3, "parse": 3, "correlate": 3, "classify": 3, "state": 3, "rates": 3,
    "report": 4, "serve": 4, "pipeline": 5, "cli": 6,
}
TOP = {"CMakeLists.txt", "README.md", "include", "src", "rules", "bench", "tests", "tools"}
IGNORED_TOP = {"bounced-data"}  # what the program makes by default; .gitignore names it
CODE = (".h", ".cc")
MAX_COLUMNS = 100
MAX_LINES = {"include": 700, "src": 700, "bench": 700, "tests": 1000}
MAX_FUNCTION_LINES = 70
# Spelt in two halves, so that this file is not its own first breach.
MACHINE_PATHS = re.compile("/(?:wo" + "rk|ho" + r"me/\w+|ro" + r"ot)/[\w.]")
# Data that quotes the world as it is.
DATA_FOLDERS = ("tests/golden/", "tests/fuzz/corpus/", "rules/")
INCLUDE = re.compile(r'\s*#\s*include\s+(["<])([^">]+)[">]')


def files(root, folders, suffixes):
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix in suffixes:
                yield path


def lines(path):
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def own_include(root, path, quote, name):
    """The folder of this project that an include reaches: 'include', a name of src/, or None."""
    if (root / "include" / name).is_file():
        return "include"
    if (root / "src" / name).is_file():
        return name.split("/")[0]
    if quote == '"' and (path.parent / name).is_file():
        inside = (path.parent / name).resolve().relative_to(root.resolve())
        return inside.parts[1] if inside.parts[0] == "src" else inside.parts[0]
    return None


def layers(root):
    """Folders include strictly lower ranks only."""
    for folder in sorted(p.name for p in (root / "src").iterdir() if p.is_dir()):
        if folder not in RANKS:
            yield f"src/{folder}: a folder without a rank; give it one in tests/tidy/check.py"
    for path in files(root, ("include", "src"), CODE):
        relative = path.relative_to(root)
        own = relative.parts[1] if relative.parts[0] == "src" else "include"
        rank = 0 if own == "include" else RANKS.get(own, 99)
        for number, line in enumerate(lines(path), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = own_include(root, path, *match.groups())
            if target is None:
                if match.group(1) == '"':
                    yield f'{relative}:{number}: "{match.group(2)}": no such file of ours'
                elif own == "include" and not re.fullmatch(r"[a-z_0-9]+|tl/expected\.hpp",
                                                           match.group(2)):
                    yield f"{relative}:{number}: <{match.group(2)}>: the contract uses std only"
            elif target != own and (0 if target == "include" else RANKS.get(target, 99)) >= rank:
                yield f"{relative}:{number}: {own} (rank {rank}) must not include {target}"


def top(root):
    """The top level holds exactly the known names."""
    for name in sorted(os.listdir(root)):
        if not name.startswith(".") and name not in TOP | IGNORED_TOP:
            yield f"{name}: not a name of the top level"
    for name in sorted(TOP):
        if not (root / name).exists():
            yield f"{name}: missing"


def sizes(root):
    """Files and lines stay short."""
    for path in files(root, MAX_LINES, CODE):
        relative = path.relative_to(root)
        text = lines(path)
        limit = MAX_LINES[relative.parts[0]]
        if len(text) > limit:
            yield f"{relative}: {len(text)} lines, more than {limit}; split it by noun"
        for number, line in enumerate(text, 1):
            # A URL or a raw string of test data cannot be broken.
            if len(line) > MAX_COLUMNS and "http" not in line and relative.parts[0] != "tests":
                yield f"{relative}:{number}: {len(line)} columns, more than {MAX_COLUMNS}"


def functions(root):
    """Functions of namespace scope fit a screen; a warning, never a failure."""
    opening = re.compile(r"^(?!namespace|class|struct|enum|union|extern|#|}|//)\S.*\{$")
    for path in files(root, ("include", "src", "bench"), CODE):
        start = None
        for number, line in enumerate(lines(path), 1):
            if start is None and opening.match(line):
                start = number
            elif line.startswith("}"):
                if start is not None and number - start > MAX_FUNCTION_LINES:
                    print(f"warning: {path.relative_to(root)}:{start}: a function of "
                          f"{number - start} lines, more than {MAX_FUNCTION_LINES}")
                start = None
    return
    yield


def paths(root):
    """Nothing names a place of one machine."""
    for folder in ("", ".ci", *sorted(TOP)):
        base = root / folder
        found = sorted(base.rglob("*")) if folder and base.is_dir() else sorted(root.glob("*"))
        for path in found:
            relative = path.relative_to(root).as_posix()
            if not path.is_file() or relative.startswith(DATA_FOLDERS) or "__pycache__" in relative:
                continue
            data = path.read_bytes()
            if b"\0" in data:
                continue
            for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
                match = MACHINE_PATHS.search(line)
                if match:
                    yield f"{relative}:{number}: {match.group()}...: a path of one machine"


def readmes(root):
    """Every folder says what it is."""
    folders = [root / name for name in sorted(TOP) if (root / name).is_dir()]
    folders += sorted(p for p in (root / "src").iterdir() if p.is_dir())
    for folder in folders:
        readme = folder / "README.md"
        if not readme.is_file():
            yield f"{folder.relative_to(root)}: no README.md"
        elif len(lines(readme)) < 3:
            yield f"{readme.relative_to(root)}: says nothing"


def tools(root):
    """Scripts can be run, and stop at the first error."""
    scripts = [p for p in sorted((root / "tools").iterdir()) if p.is_file() and not p.suffix]
    scripts += [root / ".ci" / "run", root / "bench" / "macro" / "run"]
    for path in scripts:
        relative = path.relative_to(root)
        if not path.is_file():
            yield f"{relative}: missing"
            continue
        text = lines(path)
        if not os.stat(path).st_mode & stat.S_IXUSR:
            yield f"{relative}: no run bit"
        if not text or not text[0].startswith("#!"):
            yield f"{relative}:1: no interpreter line"
        elif "bash" in text[0] and "set -euo pipefail" not in text:
            yield f"{relative}: no `set -euo pipefail`"


def code(root):
    """Guards, names, and what one of the two compilers does not have."""
    banned = {
        "<format>": "g++ 12 has no <format>; use fmt",
        "<ranges>": "clang 14 breaks on <ranges> views",
        "std::expected": "use Result<T>",
        "<regex>": "std::regex backtracks without bound",
    }
    for path in files(root, ("include", "src", "bench", "tests"), CODE):
        relative = path.relative_to(root)
        if not re.fullmatch(r"[a-z0-9_]+", path.stem):
            yield f"{relative}: file names are snake_case"
        text = lines(path)
        if path.suffix == ".h" and "#pragma once" not in text:
            yield f"{relative}: no #pragma once"
        for number, line in enumerate(text, 1):
            plain = line.split("//")[0]
            for word, why in banned.items():
                if relative.parts[0] == "tests" and word == "<regex>":
                    continue  # a slow oracle is still an oracle
                if word in plain:
                    yield f"{relative}:{number}: {word}: {why}"


RULES = {f.__name__: f for f in (layers, top, sizes, functions, paths, readmes, tools, code)}


def main(argv):
    if len(argv) not in (2, 3) or argv[1] not in RULES:
        print(f"usage: check.py {'|'.join(RULES)} [ROOT]", file=sys.stderr)
        return 2
    root = Path(argv[2]) if len(argv) == 3 else Path(__file__).resolve().parents[2]
    breaches = list(RULES[argv[1]](root))
    for breach in breaches:
        print(breach)
    print(f"{argv[1]}: {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
