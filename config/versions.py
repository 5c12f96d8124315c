"""Every image and chart that the stack runs, pinned once; stack files may override an image.

Known digests are those of the list of all architectures, as in the registry.
"""

TRITON_IMAGE = "nvcr.io/nvidia/tritonserver:26.07-py3"
ENVOY_IMAGE = "docker.io/envoyproxy/envoy:v1.40.0"
PROMETHEUS_IMAGE = (
    "quay.io/prometheus/prometheus:v3.13.0"
    "@sha256:c6b27ea434f8389bfe233fbc7be381cf50587c286e871bc842008f5a1b1908a7"
)
DEVICE_PLUGIN_IMAGE = "nvcr.io/nvidia/k8s-device-plugin:v0.17.4"
PAUSE_IMAGE = (
    "registry.k8s.io/pause:3.10"
    "@sha256:ee6521f290b2168b6e0935a181d4cff9be1ac3f505666ef0e3c98fae8199917a"
)
MODEL_SYNC_IMAGE = "public.ecr.aws/aws-cli/aws-cli:2.31.0"

KEDA_CHART_VERSION = "2.20.2"
KEDA_IMAGE_REGISTRY = "ghcr.io"
"""Registry of the images that the chart names."""

KEDA_CHART_REPOSITORY = "https://kedacore.github.io/charts"

MIN_KEDA = (2, 17)
"""Oldest supported KEDA: its ScaledObjects are the first with `fallback.behavior`
(keda.sh/docs/2.17, ScaledObject specification); older versions drop it silently."""

MIN_KUBERNETES = (1, 30)
"""Oldest supported API server: native `preStop.sleep` is on by default."""

POD_SECURITY_VERSION = "v{}.{}".format(*MIN_KUBERNETES)
"""Version of the Pod Security Standards that namespaces enforce: every supported API server knows
it, so an upgrade of the cluster refuses no pod that it admitted before."""
