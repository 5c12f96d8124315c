"""Go modules that tools are built from, with the disk space that they need.

The version of a tool is in its module's go.mod.
"""

from pathlib import Path

from local_cluster.toolchain.model import GoModule

GO_MODULES = Path(__file__).parent / "go"
"""Folder of all modules."""

PULUMI = GoModule(GO_MODULES / "pulumi", build_mib=5_000, installed_mib=110)
PULUMI_PYTHON = GoModule(GO_MODULES / "pulumi-language-python", build_mib=1_500, installed_mib=30)
PULUMI_KUBERNETES = GoModule(
    GO_MODULES / "pulumi-resource-kubernetes", build_mib=10_500, installed_mib=170
)
KUBERNETES = GoModule(GO_MODULES / "kubernetes", build_mib=6_500, installed_mib=440)
ETCD = GoModule(GO_MODULES / "etcd", build_mib=1_200, installed_mib=30)
KWOK = GoModule(GO_MODULES / "kwok", build_mib=2_300, installed_mib=120)
KEDA = GoModule(GO_MODULES / "keda", build_mib=5_000, installed_mib=330)
KEDA_CHART = GoModule(GO_MODULES / "keda-chart", build_mib=60, installed_mib=1)
COREDNS = GoModule(GO_MODULES / "coredns", build_mib=2_500, installed_mib=70)
CNI = GoModule(GO_MODULES / "cni", build_mib=300, installed_mib=15)
PROMETHEUS_OPERATOR = GoModule(GO_MODULES / "prometheus-operator", build_mib=60, installed_mib=1)
CERT_MANAGER = GoModule(GO_MODULES / "cert-manager", build_mib=2_000, installed_mib=70)
KARPENTER = GoModule(GO_MODULES / "karpenter", build_mib=60, installed_mib=1)
PROMETHEUS = GoModule(GO_MODULES / "prometheus", build_mib=5_500, installed_mib=180)
LINTERS = GoModule(GO_MODULES / "linters", build_mib=1_000, installed_mib=30)
DEVICE_PLUGIN = GoModule(GO_MODULES / "device-plugin", build_mib=400, installed_mib=15)
GRPC_BED = GoModule(GO_MODULES / "grpc-bed", build_mib=400, installed_mib=20)
GHZ = GoModule(GO_MODULES / "ghz", build_mib=600, installed_mib=15)
