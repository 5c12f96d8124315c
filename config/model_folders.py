"""The check of the folders of models in ConfigMaps, which reads them.

It is not one of `config.checks`, which need only the parameters: `config.load` runs it after them.
"""

from collections.abc import Iterator

from config.checks.stack_paths import stacks
from config.model_files import ModelFilesError, read_model_files
from config.problem import Finding, refuse
from config.sections.triton import ConfigMapRepository
from config.settings import Settings


@refuse
def model_folder(settings: Settings) -> Iterator[Finding]:
    """Triton can serve the folder of a ConfigMap repository, and a ConfigMap can hold it.

    The folder is part of the program, like its parameters.
    """
    for at in stacks(settings):
        repository = at.stack.triton.model_repository
        # By kind: sections read no files.
        if not isinstance(repository, ConfigMapRepository):
            continue
        try:
            read_model_files(at.stack, repository.folder)
        except ModelFilesError as error:
            for problem in error.problems:
                yield Finding(
                    keys={at.key("triton.modelRepository.folder"): repository.folder},
                    reason=problem,
                    fix="correct the folder, name another, or choose another kind of repository",
                )
