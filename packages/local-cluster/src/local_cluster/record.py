"""What is remembered of a cluster that was made whole."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from local_cluster.errors import LocalClusterError


class Record(BaseModel):
    """Written once a cluster has become ready; a folder without it was never finished."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: str
    """The kind of cluster, fixed when it was made."""

    cluster_id: str
    """UID of its `kube-system` namespace."""

    ports: dict[str, int]
    """Loopback port by what listens on it; kept over restarts."""

    launch: str
    """Fingerprint of what the processes were started with."""

    @classmethod
    def read(cls, file: Path) -> "Record | None":
        """The record in a file; None where there is none, or none that is whole.

        Raises:
            LocalClusterError: the file may not be read.
        """
        try:
            return cls.model_validate_json(file.read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return None
        except OSError as error:
            raise LocalClusterError(
                f"the local cluster's record cannot be read: {error}"
            ) from error

    def write(self, file: Path) -> None:
        """Replace the file's record."""
        write_atomically(file, self.model_dump_json(indent=1))


def write_atomically(file: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file; whoever reads it meanwhile, or after a crash, finds old or new, whole."""
    new = file.with_name(f"{file.name}.new")
    with new.open("w") as stream:
        new.chmod(mode)
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)
