"""Record of a cluster that became ready."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from local_cluster.errors import LocalClusterError


class Record(BaseModel):
    """Facts about a cluster, written once it is ready; a folder without it is unfinished."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: str
    """Mode of the cluster."""

    cluster_id: str
    """UID of its namespace `kube-system`."""

    ports: dict[str, int]
    """Loopback port of each listener and of each forward; a restart keeps them."""

    launch: str
    """Fingerprint of the arguments of its processes."""

    @classmethod
    def read(cls, file: Path) -> "Record | None":
        """Return the record in a file; None if it is missing or incomplete.

        Raises:
            LocalClusterError: The file cannot be read.
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
        """Replace the record in a file."""
        write_atomically(file, self.model_dump_json(indent=1))


def write_atomically(file: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file so that a reader, even after a crash, finds the old or the new text whole."""
    new = file.with_name(f"{file.name}.new")
    with new.open("w") as stream:
        new.chmod(mode)
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)
