"""Triton: the model server, its models and its share of a node."""

import math
from typing import Literal

from pydantic import Field

from config.base import Calls, Cores, DiskGib, DnsLabel, Image, MemoryMib, Port, Section
from config.sections.gpu_nodes import GpuNodes
from config.sections.pods import TritonPods
from config.sections.warm_spare import WarmSpare
from config.sections.watchdog import Watchdog
from config.sizing.instances import Architecture
from config.units import MIB_PER_GIB
from config.versions import MODEL_SYNC_IMAGE, TRITON_IMAGE

_LOGS_MIB = 1024
"""Space for a replica's logs and its container's own layer, MiB."""

_IMAGE_GIB = 18
"""Unpacked size of `tritonserver:<release>-py3`, GiB, with a margin: 15.5 GB for 24.06 and 16 GB
for 23.01 (triton-inference-server/server#7474 and #5383)."""

_TRTLLM_IMAGE_GIB = 40
"""Unpacked size of `-trtllm-python-py3`, GiB; 24.04 has 18.5 GB packed
(triton-inference-server/server#7335), and layers of libraries unpack to about twice as much."""

PULL_SECONDS = 600
"""Time to pull Triton's image (10 GB and more) to a new node: 7 to 10 minutes with overlayfs."""

COPY_MIB_PER_SECOND = 100
"""Assumed rate of one replica's copy of models from S3; the network of most GPU instances is
faster, and a check compares the disks of the nodes."""


class S3Repository(Section):
    """Models copied from S3 by an init container; credentials come from the pod's identity."""

    kind: Literal["s3"]
    """Models in S3."""

    uri: str = Field(pattern=r"^s3://[a-z0-9.-]{3,63}(/[^\s]*)?$")
    """Folder that holds the model repository, `s3://bucket/prefix`, or one folder for each of its
    revisions."""

    revision: str | None = Field(
        default=None, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
    )
    """Folder in `uri` that holds one revision of all models and never changes; another revision
    rolls the replicas. Tier prod requires it."""

    region: str | None = None
    """AWS region of the bucket; the SDK's own choice if unset."""

    identity: Literal["podIdentity", "irsa"] = "podIdentity"
    """Source of the pod's credentials; never static keys."""

    role_arn: str | None = None
    """IAM role that may read the folder; if unset, the stack creates one for that alone."""

    sync_image: Image = MODEL_SYNC_IMAGE
    """Image of the init container, with a current AWS SDK."""

    cache_gib: DiskGib = 20
    """Size of the copy in the pod, GiB."""

    @property
    def claim(self) -> None:
        """None: the models are on no claim."""
        return None

    @property
    def copied_mib(self) -> int:
        """Size of the copy in each pod, MiB."""
        return self.cache_gib * MIB_PER_GIB

    @property
    def source(self) -> str:
        """Folder that is copied, without a slash at its end."""
        uri = self.uri.rstrip("/")
        return f"{uri}/{self.revision}" if self.revision else uri


class PvcRepository(Section):
    """Models on an existing volume, mounted read-only; the volume outlives the stack."""

    kind: Literal["pvc"]
    """Models on a PersistentVolumeClaim."""

    claim: DnsLabel
    """Name of the claim, in the stack's namespace."""

    path: str = ""
    """Folder in the volume; its root if empty."""

    @property
    def copied_mib(self) -> int:
        """Size of the copy in each pod, MiB: pods copy nothing."""
        return 0


class ConfigMapRepository(Section):
    """Small models, as files; at most 1 MiB in all (the limit of a ConfigMap)."""

    kind: Literal["configMap"] = "configMap"
    """Models in a ConfigMap."""

    folder: str = "models"
    """Model repository in the project: a folder with one folder for each model."""

    @property
    def claim(self) -> None:
        """None: the models are on no claim."""
        return None

    @property
    def copied_mib(self) -> int:
        """Size of the copy in each pod, MiB: pods copy nothing."""
        return 0


ModelRepository = S3Repository | PvcRepository | ConfigMapRepository


class Triton(Section):
    """One fleet of Triton replicas; the autoscaler sets their number."""

    image: Image = TRITON_IMAGE
    """Image; its flags follow the Triton version."""

    image_gib: DiskGib | None = None
    """Unpacked size of the image on the node's disk, GiB; if unset, the size of NVIDIA's images."""

    architecture: Architecture | None = None
    """Architecture that the image is built for; replicas run only on nodes that have it. If unset:
    the AMI's architecture for replicas with GPUs on EKS; elsewhere any, as for NVIDIA's images."""

    service_port: Port = 9000
    """Port of the Service."""

    grpc_port: Port = 8001
    """Port of Triton's own gRPC server; a headless Service leads straight to it."""

    http_port: Port = 8000
    """Port of Triton's HTTP endpoint, for probes only."""

    metrics_port: Port = 8002
    """Port of Triton's metrics."""

    model_repository: ModelRepository = Field(default=ConfigMapRepository(), discriminator="kind")
    """Source of the models."""

    gpus: int = Field(default=1, ge=0, le=128)
    """GPUs of one replica, or shares of GPUs with `gpuSharing`."""

    cpu: Cores = 2.0
    """CPU request of one replica, cores."""

    memory_mib: MemoryMib = 8192
    """Memory request and limit of one replica, MiB; /dev/shm counts against it."""

    shm_mib: int = Field(default=1024, ge=1, le=16 * 1024 * 1024)
    """Shared memory of one replica, MiB; the python backend passes tensors through it."""

    scratch_mib: int = Field(default=1024, ge=64, le=16 * 1024 * 1024)
    """Disk for the temporary files of one replica, MiB; kubelet evicts a replica that writes more
    to `/tmp`. The python backend unpacks a model's `EXECUTION_ENV_PATH` there, and compilers and
    libraries keep their caches there."""

    load_seconds: float = Field(default=60.0, ge=0.1, le=24 * 3600)
    """Expected time from container start to all models ready."""

    startup_budget_seconds: float | None = Field(default=None, ge=1, le=24 * 3600)
    """Time that the startup probe waits; if unset, twice the load time plus 30 s."""

    queue_size: Calls = 64
    """Limit of the calls that wait in one replica beside those that it works on; the models must
    keep to it."""

    open_apis: tuple[Literal["model-config", "statistics"], ...] = ()
    """APIs that callers may use beside inference, metadata and health: `model-config` (ModelConfig)
    for clients that read a model's configuration, `statistics` (ModelStatistics) of the one replica
    that answers."""

    complete_model_configs: bool = True
    """Completion of model configurations: Triton asks each model for the settings that its
    `config.pbtxt` leaves out. For that it starts a model of the python backend once more, so each
    replica takes that much longer to start."""

    watchdog: Watchdog = Watchdog()
    """Watchdog that ends a replica with a dead model and a healthy server."""

    max_surge: int | None = Field(default=None, ge=1, le=5000)
    """Replicas beyond the fleet that a rollout may start; 1 if `maxSurgePercent` is unset too."""

    max_surge_percent: int | None = Field(default=None, ge=1, le=100)
    """Replicas beyond the fleet that a rollout may start, as a share of the fleet, percent; rounded
    up. Instead of `maxSurge`."""

    disruption_budget: int | None = Field(default=None, ge=1, le=5000)
    """Replicas that drains of nodes may evict at once; if unset, one, and on spot nodes as many as
    a node holds, because the node ends with all of them."""

    pods: TritonPods = TritonPods()
    """Placement, priority and metadata of the pods."""

    warm_spare: WarmSpare = WarmSpare()
    """Placeholders that hold room for new replicas."""

    await_rollout: bool = True
    """True to let `up` wait until every replica is replaced. If false, `up` of a rollout that is
    under way fails with "not yet rolled out", and `make wait` waits and reports its success."""

    pre_stop_seconds: float | None = Field(default=None, ge=1, le=24 * 3600)
    """Wait before SIGTERM; if unset, until no gateway sends it calls."""

    termination_grace_seconds: float | None = Field(default=None, ge=1, le=24 * 3600)
    """Termination grace period; if unset, the sum of preStop, longest call and Triton's exit."""

    @property
    def claim(self) -> str | None:
        """Name of the user's claim that holds the models; None for other repositories."""
        return self.model_repository.claim

    @property
    def surge(self) -> int | str:
        """`maxSurge` of the Deployment."""
        percent = self.max_surge_percent
        return f"{percent}%" if percent else self.max_surge or 1

    def surge_of(self, replicas: int) -> int:
        """Return the replicas beyond a fleet that a rollout starts.

        Kubernetes rounds a share up (Deployment documentation, "Max Surge").
        """
        percent = self.max_surge_percent
        return math.ceil(replicas * percent / 100) if percent else self.max_surge or 1

    @property
    def unpacked_image_gib(self) -> int:
        """Disk that the image takes on a node, GiB.

        The packed layers are discarded (`discard_unpacked_layers`, AL2023's containerd).
        """
        if self.image_gib is not None:
            return self.image_gib
        return _TRTLLM_IMAGE_GIB if "trtllm" in self.image else _IMAGE_GIB

    def node_architecture(self, nodes: GpuNodes) -> Architecture | None:
        """Return the architecture of the nodes that replicas may run on; None for any."""
        return self.architecture or (nodes.architecture if self.gpus else None)

    @property
    def storage_mib(self) -> int:
        """Disk request of one replica, MiB, with its copy of the models."""
        return self.scratch_mib + _LOGS_MIB + self.model_repository.copied_mib

    @property
    def ready_seconds(self) -> float:
        """Time from a replica's start to ready on a node that has its image: a copy and a load."""
        return self.copy_seconds + self.load_seconds

    @property
    def copy_seconds(self) -> float:
        """Time to copy the models before Triton starts; 0 if they are not copied."""
        return self.model_repository.copied_mib / COPY_MIB_PER_SECOND
