"""What a platform team's stack exports: the way into its cluster, as a secret."""

from pathlib import Path

import pulumi

file = Path(pulumi.Config().require("kubeconfigFile"))
pulumi.export("kubeconfig", pulumi.Output.secret(file.read_text()))
