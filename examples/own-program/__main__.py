"""One inference stack on a cluster that this team already has, with its KEDA and Prometheus."""

import pulumi
import pulumi_kubernetes as kubernetes

from kubemind_inference import Inference, InferenceArgs, parse

path = pulumi.Config().require("kubeconfig")
stack = {
    "namespace": "vision",
    "triton": {"modelRepository": {"kind": "pvc", "claim": "models"}},
    "autoscaler": {"minReplicas": 1, "maxReplicas": 4},
}
# Refuses parameters that cannot work, before anything is declared.
settings = parse({
    "platform": {"kind": "kubeconfig", "path": path},
    "gpuNodes": {"kind": "existing", "instanceTypes": ["g6.xlarge"], "maxSize": 5},
    "prometheus": {"kind": "existing", "address": "http://prometheus.monitoring:9090",
                   "namespace": "monitoring"},
    "inference": [stack],
})  # fmt: skip
cluster = kubernetes.Provider("cluster", kubeconfig=path, enable_config_map_mutable=True)
on_cluster = pulumi.ResourceOptions(provider=cluster)
namespace = kubernetes.core.v1.Namespace("vision", metadata={"name": "vision"}, opts=on_cluster)
inference = Inference(
    "vision",
    InferenceArgs(
        config=settings.inference[0], nodes=settings.gpu_nodes.pool, prometheus=settings.prometheus
    ),
    pulumi.ResourceOptions(providers=[cluster], depends_on=[namespace]),
)
pulumi.export("endpoint", inference.endpoint)
