"""Environment in which bare kubectl reaches a stack's cluster."""

import json
import os
import sys

from components.cluster.kubeconfig import file_of
from config.sections.platform import LocalPlatform, ReferencePlatform
from config.settings import Settings
from ops.stack.environment import StackEnvironment

KUBECONFIG = "KUBECONFIG"


def variables(env: StackEnvironment, settings: Settings) -> dict[str, str | None]:
    """Return the value of KUBECONFIG; None to unset it.

    kubectl has no variable for a context. It merges the files of KUBECONFIG, and the first file
    with a current context wins. If the parameters name a context, a small file in the project's
    state folder names it too and comes before the user's file.
    """
    platform = settings.platform
    # By kind here and below: the advice is kubectl's, which sections do not know.
    if isinstance(platform, ReferencePlatform):
        print(
            "kubectl: this stack's kubeconfig is an output of another one, and a secret: pulumi "
            f"stack output kubeconfig --show-secrets --stack {platform.stack} > FILE, then export "
            "KUBECONFIG=FILE",
            file=sys.stderr,
        )
        # `make env` of another stack may have set it, to another cluster.
        ours = str(env.state_dir) in os.environ.get(KUBECONFIG, "")
        return {KUBECONFIG: None} if ours else {}
    file = str(env.project / file_of(platform))
    context = None if isinstance(platform, LocalPlatform) else platform.context
    if context is None:
        return {KUBECONFIG: file}
    chosen = env.state_dir / "kubectl" / f"context-{env.stack}"
    chosen.parent.mkdir(parents=True, exist_ok=True)
    document = {"apiVersion": "v1", "kind": "Config", "current-context": context}
    chosen.write_text(json.dumps(document))
    return {KUBECONFIG: os.pathsep.join((str(chosen), file))}
