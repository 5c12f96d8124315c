"""A platform team's stack: it exports the outputs that an inference stack needs."""

from pathlib import Path

import pulumi
import yaml

config = pulumi.Config()
text = Path(config.require("kubeconfigFile")).read_text()
# As an object, as pulumi-eks exports it, or as text.
kubeconfig = yaml.safe_load(text) if config.require_bool("asObject") else text
pulumi.export("kubeconfig", pulumi.Output.secret(kubeconfig))
# Staging and prod also need these, for their node groups and the identities of their pods.
if cluster_name := config.get("clusterName"):
    pulumi.export("clusterName", cluster_name)
    pulumi.export("subnetIds", config.require_object("subnetIds"))
