"""A platform team's stack: it exports its cluster's kubeconfig, as a secret."""

from pathlib import Path

import pulumi
import yaml

config = pulumi.Config()
text = Path(config.require("kubeconfigFile")).read_text()
# As an object, as pulumi-eks exports it, or as text.
kubeconfig = yaml.safe_load(text) if config.require_bool("asObject") else text
pulumi.export("kubeconfig", pulumi.Output.secret(kubeconfig))
