"""Published tables: public files fetched once, by pinned address and sha256, into the user's cache."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from foretell.errors import SourceError, UnknownName

OLMO_LADDER = {  # path below the base → sha256
    "configs/final.json": "3fcb831b03e9761ab1be750f89c7a6b8832fda09c491d80bec8593ec9e08d1c8",
    "data/ladder-runs/190M-1xC.csv": "8ac0066547d5edec4d05d2b861a26c7faf591eef6971e11acba2450a45e69c27",
    "data/ladder-runs/190M-2xC.csv": "db90c75f8d031d0754e7108f1a8d16f372603e0c04d2cb00cca08cf272ecf86a",
    "data/ladder-runs/190M-5xC.csv": "aefe54fa03bd158d6da178b1eb2ece88cb0681bb32403845b6e544ae9e4e5dcf",
    "data/ladder-runs/190M-10xC.csv": "192b115c3f02b6503043280f8303c59f5b10897cd631f1b8ec6aea944d22faa6",
    "data/ladder-runs/370M-1xC.csv": "3597a61872596affbb61e83f36c7cc3fe43485c3ed30ba6d658064b57edcea07",
    "data/ladder-runs/370M-2xC.csv": "73c686e580ad0600ca12334bf22ab3dad3265583a948e3beaae5b79b9a20c137",
    "data/ladder-runs/370M-5xC.csv": "199905d322b0332b69f1d0a40de9be43e5eb3cf576fc1d3031578cdea09708fa",
    "data/ladder-runs/370M-10xC.csv": "3f25b4ec4035caeb71b787d165857667779dc3b92739c6379b8f8ce7079fcb58",
    "data/ladder-runs/760M-1xC.csv": "a830185275c91cc077379540ec91a71b4bea6f191ca99a8090c851be19e7956d",
    "data/ladder-runs/760M-2xC.csv": "8c1ad2bf7da390b9eed24af7b6eb12a6393cc077164d51b4e4740f7221f1193c",
    "data/ladder-runs/760M-5xC.csv": "9c08b58d2625f427253bbd2079bad3a90726a66486154dd4f82ef84560e275ec",
    "data/ladder-runs/760M-10xC.csv": "e256c9df6d3b7af66bbcf4dc7ca84b45a812bd205b70648ca5177c8b74f6ff40",
    "data/ladder-runs/1B-1xC.csv": "7fe91f0552829238e591e55c03f66b743ac5931388d9710457a845d92c2d9102",
    "data/ladder-runs/1B-2xC.csv": "34ba12a08a52e10e89a71d88a5c13538c3df21e5e993c476cadb08eb4b2eb354",
    "data/ladder-runs/1B-5xC.csv": "d195153f05b846f6d4f8ca95247d1f79d9d00e898d856b244b17e20431539ddb",
    "data/ladder-runs/1B-10xC.csv": "ec7e7487c67a774d9b919ec35121966ded7ae2ce5ede135f1d32f509f451476f",
    "data/ladder-runs/peteish7_eval_anneal.csv": "0742d6c113aa0f9c789cf9e5745678fc6f30eb9b873a1f98068fc6f6522c85df",
    "data/ladder-runs/peteish13_eval_final.csv": "8cbdd4c2818b05ff30476a9bd4ecae620da89193ca61183bc2d61e111a9d0059",
}


@dataclass(frozen=True)
class PublishedSet:
    """Name a public set of files: where it lies and what its files hash to."""

    base_url: str
    files: dict[str, str]
    licence: str


PUBLISHED = {
    "olmo-ladder": PublishedSet(
        "https://raw.githubusercontent.com/allenai/OLMo-ladder/67a3f440f787d020da35e3ca8eeae475fae754f5/src/scripts/paper/",
        OLMO_LADDER,
        "Apache-2.0",
    )
}


def fetch_published(
    name: str, *, folder: str | Path | None = None, cache: str | Path | None = None, base_url: str | None = None
) -> Path:
    """Give the folder that holds a published set, every file checked against its sha256.

    Taken from `folder` if given, else from FORETELL_TESTBEDS if that is set, else from the cache, downloading what is
    not there. Raises UnknownName for an unknown set, SourceError when a file is missing, differs or cannot be fetched.
    """
    if name not in PUBLISHED:
        raise UnknownName("published set", name, PUBLISHED)
    published = PUBLISHED[name]
    testbeds = os.environ.get("FORETELL_TESTBEDS")
    if folder is not None:
        return _checked(name, published, Path(folder))
    if testbeds and base_url is None:
        return _checked(name, published, Path(testbeds) / name)
    return _downloaded(name, published, base_url or published.base_url, cache)


def _checked(name: str, published: PublishedSet, folder: Path) -> Path:
    for path, sha256 in published.files.items():
        places = (folder / path, folder / path.removeprefix("data/"), folder / "src/scripts/paper" / path)
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            raise SourceError(f"{folder} does not hold the published set {name!r}: {path} is missing")
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != sha256:
            raise SourceError(
                f"{file} is not the published file: its sha256 is {found[:12]}…, expected {sha256[:12]}…; "
                "it was changed or damaged: fetch it anew"
            )
    return folder


def _downloaded(name: str, published: PublishedSet, base_url: str, cache: str | Path | None) -> Path:
    import platformdirs
    import pooch

    root = Path(cache) if cache is not None else Path(platformdirs.user_cache_dir("foretell"))
    commit = published.base_url.split("/")[5][:7]
    folder = root / f"{name}-{commit}"
    remedy = (
        f"get the files otherwise and set FORETELL_TESTBEDS to the folder that holds {name}/, or give a local folder"
    )
    for path, sha256 in published.files.items():
        url = base_url.rstrip("/") + "/" + path
        place = folder / path
        try:
            pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=place.name, path=place.parent, progressbar=False)
        except ValueError as error:  # pooch: hash mismatch
            raise SourceError(f"{url} is not the published file: {error}; {remedy}") from None
        except OSError as error:  # requests' errors are OSErrors as well
            raise SourceError(f"{url} could not be fetched into {place.parent}: {error}; {remedy}") from None
    return folder
