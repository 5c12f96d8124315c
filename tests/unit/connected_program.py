"""A program that connects to a cluster, and the outputs of a platform's stack."""

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from components.cluster.component import connect
from config.settings import Settings

PROVIDER = "pulumi:providers:kubernetes"
STACK = "organization/platform/prod"
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "one",
    "clusters": [
        {"name": "one", "cluster": {"server": "https://one.example.com"}},
        {"name": "two", "cluster": {"server": "https://two.example.com"}},
    ],
    "contexts": [
        {"name": "one", "context": {"cluster": "one", "user": "me"}},
        {"name": "two", "context": {"cluster": "two", "user": "me"}},
    ],
    "users": [{"name": "me", "user": {"token": "secret"}}],
}
OUTPUTS = {
    "kubeconfig": yaml.safe_dump(KUBECONFIG),
    "clusterName": "inference",
    "subnetIds": ["subnet-a", "subnet-b"],
}


def settings(platform, **others):
    return Settings.model_validate({"platform": platform, **others})


def everything(parameters):
    """Declares one resource through the provider, and one that only waits for it."""

    def program():
        cluster = connect(parameters)
        pulumi.export("name", cluster.eks.name)
        pulumi.export("subnetIds", cluster.subnet_ids)
        pulumi.export("oidcProviderArn", cluster.eks.oidc_provider_arn)
        kubernetes.core.v1.ConfigMap(
            "inside", data={}, opts=pulumi.ResourceOptions(provider=cluster.provider)
        )
        outside = pulumi.ComponentResource(
            "t:i:Outside", "outside", None, pulumi.ResourceOptions(depends_on=[cluster.provider])
        )
        kubernetes.core.v1.ConfigMap("child", data={}, opts=pulumi.ResourceOptions(parent=outside))
        cluster.open()

    return program
