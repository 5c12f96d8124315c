"""Reads a model repository as Triton does, and finds what Triton could not serve.

Without imports but `config.model_config`, and for Python 3.9 and newer: the preview, `make
check-models` and the pods' init container run the same text. Kubernetes makes one dollar sign of
two in a container's command, so none stand side by side here.

The rules were tried on Triton 2.51, which answers some mistakes with a hang or a crash: a python
model without its file, one with a space in its name, a version beyond 64 bits.
"""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from config.model_config import Model, one, parse

CONFIG = "config.pbtxt"
TEMPLATE = CONFIG + ".template"

STUB = "triton_python_backend_stub"
"""Process of a python model with a Python of its own, in the model's folder."""

JUNK = {"__pycache__", ".ipynb_checkpoints", ".git", ".DS_Store"}
"""Names that are no part of a model."""

_FOREIGN = {"lost+found"}
"""Folders that a file system makes beside the models."""

_READ_FILES = {
    *("dali", "fil", "onnxruntime", "openvino", "python", "pytorch", "tensorflow", "tensorrt"),
    "vllm",
}
"""Backends that load a file of the version folder; others may need none."""

_OWN_FOLDER = "$" + "$TRITON_MODEL_DIRECTORY"

_VERSION = re.compile(r"0|[1-9][0-9]*")

# Triton serves the number that a name begins with: `1.0` as version 1, of the folder `1`.
_LIKE_A_VERSION = re.compile(r"\s*[+-]?[0-9].*|[vV][-_.]?[0-9]+(\.[0-9]+)*", re.DOTALL)

_SHELL_SAFE = re.compile(r"[\w@%+=:,.~-]+", re.ASCII)


def config_text(folder: Path) -> "str | None":
    """Read the configuration in a model's folder; None where there is none."""
    path = folder / CONFIG
    return path.read_text(encoding="utf-8") if path.is_file() else None


class Repository:
    """The models in a folder, and everything that keeps Triton from serving them."""

    def __init__(
        self,
        root: Path,
        where: str,
        *,
        mounted: bool = False,
        completes: bool = True,
        config_of: "Callable[[Path], str | None]" = config_text,
    ) -> None:
        """Read the folder.

        Args:
            root: The folder.
            where: Its name in messages.
            mounted: Triton reads the folder as it is here, and not a copy: a symbolic link may lead
                anywhere, and only as much is read as Triton looks at.
            completes: Triton may complete configurations.
            config_of: Returns the configuration in a model's folder.
        """
        self._root, self._where, self._mounted = root, where, mounted
        self._completes, self._config_of = completes, config_of
        self.models: list[Model] = []
        self.problems: list[str] = []
        """Sentences, each with a path and the way out."""
        self.files: dict[str, Path] = {}
        """Where each file lies, by its path in the repository."""
        self.empty: list[str] = []
        """Empty folders."""
        for name in self._folders():
            try:
                self._read(name)
            except OSError as error:
                self.say(name, f"cannot be read by user {os.getuid()}: {error.strerror}")
            except ValueError as error:
                self.say(f"{name}/{CONFIG}", f"cannot be read: {error}")
        by_name = {model.name: model for model in self.models}
        for model in self.models:
            for step, version in model.steps:
                if step not in by_name:
                    self.say(model.name, f"has a step {step}, and there is no such model")
                elif version != -1 and version not in by_name[step].served:
                    self.say(model.name, f"has a step {step} {version}, which is not served")

    def say(self, path: str, problem: str) -> None:
        """Add a problem of a path in the repository."""
        text = f"{self._where.rstrip('/')}/{path} {problem}"
        # A name that is not UTF-8 must not keep its own message from being printed.
        self.problems.append(text.encode(errors="backslashreplace").decode())

    def _folders(self) -> list[str]:
        """Names of the folders that Triton would take for models."""
        try:
            found = _names(self._root)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            why = f"no such folder{self._above()}" if missing else error.strerror
            self.problems.append(f"{self._where}: {why}")
            return []
        folders = [
            name
            for name in found
            if not name.startswith(".")
            and name not in JUNK | _FOREIGN
            and self._follows(self._root / name, name)
            and (self._root / name).is_dir()
        ]
        parts = {CONFIG, TEMPLATE} & {*found} or any(map(_VERSION.fullmatch, folders))
        if parts and not any(map(self._is_model, folders)):
            self.problems.append(
                f"{self._where} is the folder of one model, it holds {_listed(found)}; "
                "name the folder above it"
            )
            return []
        if not folders and not self.problems:
            self.problems.append(f"{self._where} holds no model; it holds {_listed(found)}")
        return folders

    def _is_model(self, name: str) -> bool:
        names = _names(self._root / name)
        return CONFIG in names or TEMPLATE in names or any(map(_VERSION.fullmatch, names))

    def _above(self) -> str:
        """List the nearest folder that is there."""
        folder, where = self._root, Path(self._where)
        while not folder.exists():
            folder, where = folder.parent, where.parent
        return f"; {where} holds {_listed(_names(folder))}" if folder.is_dir() else ""

    def _follows(self, path: Path, inside: str) -> bool:
        if not path.is_symlink():
            return True
        link = f"is a symbolic link to {path.readlink()}"
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError is a loop, before Python 3.13.
            # An editor's lock is one, too.
            if not path.name.startswith("."):
                self.say(inside, f"{link}, which leads nowhere")
            return False
        if self._mounted or real.is_relative_to(self._root.resolve()):
            return True
        self.say(inside, f"{link}, which is outside the repository; copy it in")
        return False

    def _walk(self, folder: Path, inside: str, above: "tuple[Path, ...]") -> None:
        above = (*above, folder.resolve())
        names = [name for name in _names(folder) if name not in JUNK]
        for path in (folder / name for name in names):
            name = f"{inside}/{path.name}"
            if not self._follows(path, name):
                continue
            if path.is_file():
                self.files[name] = path
            elif not path.is_dir():
                self.say(name, "is neither a file nor a folder")
            elif self._mounted and ("/" in inside or not _VERSION.fullmatch(path.name)):
                continue
            elif path.resolve() in above:
                self.say(name, "is a symbolic link to a folder that holds it")
            else:
                self._walk(path, name, above)
        if not names:
            self.empty.append(inside)

    def _read(self, name: str) -> None:
        model = Model(name, self._root / name)
        self.models.append(model)
        before = len(self.problems)
        self._walk(model.path, name, ())
        if len(self.problems) > before:
            # The rest would say the same in other words.
            return
        text = self._config_of(model.path)
        model.config = parse(text or "")
        found = _names(model.path)
        folders = [item for item in found if (model.path / item).is_dir()]
        right = [f for f in folders if _VERSION.fullmatch(f) and int(f) < 2**63]
        wrong = [f for f in folders if f not in right and _LIKE_A_VERSION.fullmatch(f)]
        model.versions = sorted(map(int, right))
        for folder in wrong:
            number = re.sub(r"^[^1-9]+", "", folder)
            other = number if _VERSION.fullmatch(number) and len(number) < 19 else "a number"
            self.say(f"{name}/{folder}", f"is no version; rename it to {other}, or move it out")
        stated = one(model.config, "name")
        if stated not in ("", name):
            self.say(f"{name}/{CONFIG}", f'has the name "{stated}"; make it "{name}"')
        if model.is_ensemble and not right and not wrong:
            model.lacks_folder, model.versions = True, [1]
        holds = f"it holds {_listed(found)}"
        if not text and not model.versions and not wrong:
            self.say(name, f"is no model, {holds}; move it out of the repository")
        elif text is None and not self._completes:
            self.say(name, f"has no {CONFIG}, and triton.completeModelConfigs is false")
        elif not model.versions and not wrong:
            self.say(name, f"has no version folder, {holds}; move the model's files into {name}/1")
        elif not wrong and not model.is_ensemble:
            self._check_files(model)

    def _check_files(self, model: Model) -> None:
        """Look for the files without which Triton fails, hangs or crashes."""
        own = one(model.config, "default_model_filename")
        for version in model.served:
            folder = f"{model.name}/{version}"
            if version not in model.versions:
                self.say(folder, f"is missing: version_policy of {CONFIG} names it")
                continue
            files = [f for f in _names(model.path / str(version)) if f not in JUNK]
            python = model.backend == "python" or (not model.backend and "model.py" in files)
            if python:
                self._check_python(model)
            if python and (own or "model.py") not in files:
                self.say(folder, f"has no {own or 'model.py'}, it holds {_listed(files)}")
            elif not files and model.backend in _READ_FILES:
                self.say(folder, f"is empty, and the backend {model.backend} loads a file of it")
            elif not model.backend and not any(f.startswith("model.") for f in (*files, own)):
                self.say(
                    folder,
                    f"holds {_listed(files)}, by which Triton knows no backend; state the backend "
                    f"in {model.name}/{CONFIG}, or name the file as its backend does (model.onnx)",
                )

    def _check_python(self, model: Model) -> None:
        if not _SHELL_SAFE.fullmatch(model.name):
            self.say(
                model.name,
                "has a name that the process of a python model cannot be started with; "
                "use letters, digits and . _ -",
            )
        key = "EXECUTION_ENV_PATH"
        stated = model.parameters.get(key, "")
        if "$TRITON_MODEL_DIRECTORY" not in stated:
            return
        inside = Path(stated.replace(_OWN_FOLDER, str(model.path)))
        if not stated.startswith(_OWN_FOLDER):
            self.say(f"{model.name}/{CONFIG}", f"has {key} {stated}; begin it with {_OWN_FOLDER}")
        elif not inside.exists():
            self.say(f"{model.name}/{CONFIG}", f"has {key} {stated}, which is not there")


def is_program(content: bytes) -> bool:
    """Tell a program by its first bytes, where a ConfigMap or S3 keeps no mode."""
    return content.startswith((b"\x7fELF", b"#!"))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _listed(names: "Iterable[str]") -> str:
    every = list(names)
    more = f" and {len(every) - 8} more" if len(every) > 8 else ""
    return (", ".join(every[:8]) or "nothing") + more
