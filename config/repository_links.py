"""Hands Triton the models of a repository that a pod has found, as symbolic links.

Runs in the pods' init container, after the text of `config.repository_reader`. Links leave out
what Triton would take for a model (`.git`, `lost+found`), and an ensemble gets the version folder
that git and S3 have dropped, even where the repository is read-only.
"""

import shutil
import sys
from pathlib import Path

from config.repository_reader import STUB, Repository, is_program


def main(arguments: list[str]) -> int:
    """Link the models of a repository; print everything that keeps Triton from serving them.

    Args:
        arguments: Name of the repository in messages, its folder, a folder for the links;
            `complete` where Triton completes configurations; `copied` where the files lost their
            modes and are the pod's own.

    Returns:
        The exit code.
    """
    where, root, links, *options = arguments
    copied = "copied" in options
    repository = Repository(Path(root), where, mounted=not copied, completes="complete" in options)
    for name, path in repository.files.items():
        if copied:
            with path.open("rb") as file:
                if is_program(file.read(4)):
                    path.chmod(0o755)
        elif path.name == STUB and not path.stat().st_mode & 0o111:
            repository.say(name, "is not executable; chmod +x")
    if repository.problems:
        print("Triton cannot serve:", *repository.problems, sep="\n", file=sys.stderr)
        return 1
    target = Path(links)
    _clear(target)
    for model in repository.models:
        link = target / model.name
        if not model.lacks_folder:
            link.symlink_to(model.path)
            continue
        (link / "1").mkdir(parents=True)
        for path in model.path.iterdir():
            (link / path.name).symlink_to(path)
    print(f"{where}: {', '.join(model.name for model in repository.models)}")
    return 0


def _clear(folder: Path) -> None:
    """Drop the links of an earlier run in the same pod."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
