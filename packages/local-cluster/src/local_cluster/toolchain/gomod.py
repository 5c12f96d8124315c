"""Facts of a go.mod file, from which the table of tools derives its versions."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_REQUIRE = re.compile(
    r"^(?:require )?\s*(?P<path>\S+\.\S+/\S+) (?P<version>v\S+)(?: //(?P<comment>.*))?$"
)
_REPLACE = re.compile(r"^(?:replace )?\s*(?P<path>\S+) => (?P<target>\S+) (?P<version>v\S+)$")
_GO = re.compile(r"^go (?P<version>\d+\.\d+(?:\.\d+)?)$")
_RELEASE = re.compile(r"\brelease (?P<version>\d+\.\d+\.\d+)\b")


@dataclass(frozen=True)
class GoMod:
    """Content of one go.mod."""

    go: tuple[int, ...]
    """Oldest Go version that builds it."""
    requires: dict[str, str]
    """Module version by module path, the `v` included."""
    replaces: dict[str, str]
    """Version that replaces the required one, by module path."""
    releases: dict[str, str]
    """Release number by module path, from comments `// release X.Y.Z`, for modules whose version
    does not show it."""

    def release(self, path: str) -> str:
        """Return the release number of a required module, without the `v`.

        Raises:
            KeyError: The module is not required.
        """
        return self.releases.get(path) or self.requires[path].removeprefix("v")


@cache
def read(directory: Path) -> GoMod:
    """Parse the go.mod of a directory.

    Raises:
        ValueError: The go.mod has no Go version.
    """
    go: tuple[int, ...] = ()
    requires: dict[str, str] = {}
    replaces: dict[str, str] = {}
    releases: dict[str, str] = {}
    for line in (directory / "go.mod").read_text().splitlines():
        if match := _GO.match(line):
            go = version_tuple(match["version"])
        elif match := _REPLACE.match(line):
            replaces[match["path"]] = match["version"]
        elif match := _REQUIRE.match(line):
            requires[match["path"]] = match["version"]
            if release := _RELEASE.search(match["comment"] or ""):
                releases[match["path"]] = release["version"]
    if not go:
        raise ValueError(f"{directory / 'go.mod'} states no Go version")
    return GoMod(go, requires, replaces, releases)


def version_tuple(version: str) -> tuple[int, ...]:
    """Return `1.36.3` as (1, 36, 3), so that versions compare as numbers."""
    return tuple(int(part) for part in version.split("."))
