class LocalClusterError(Exception):
    """Failure to start, stop or read the local cluster; its text is the whole message."""


class StartError(LocalClusterError):
    """Failure of a process of the control plane during its start."""
