"""The first use of a stack that is not dev, from a shell in which dev's environment was taken.

On the real CLI. What the stack would make needs a cloud, and is not shown here.
"""

import shlex
from pathlib import Path

from local_cluster.storage import cache_root
from tests.integration.checkout import Checkout, Ran


def test_prod_is_made_where_the_user_says_and_not_in_devs_backend(
    checkout: Checkout, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    # As `eval "$(make -s env)"` leaves a shell; the tools stay in the user's cache. Without a
    # PULUMI_HOME the engine finds the login by the account's home, whatever HOME says.
    shell = checkout.variables | {
        "HOME": str(tmp_path / "home"),
        "PULUMI_HOME": str(tmp_path / "pulumi"),
        "XDG_CACHE_HOME": str(cache_root().parent),
    }

    def run(command: str) -> Ran:
        return Ran.run(["/bin/sh", "-ec", command], checkout.path, shell)

    first = run("make -s preview STACK=prod").failed()
    assert not checkout.env.backend_dir.exists()
    # After it comes what make says of every failure.
    _, *way, _ = first.stderr.partition("in a backend of your choice:")[2].splitlines()
    script = "\n".join(way).replace("s3://your-state-bucket", shlex.quote(f"file://{theirs}"))
    # What protects its secrets is for the user to choose, too.
    assert "passphrase" in run(script).failed().output
    run(f"export PULUMI_CONFIG_PASSPHRASE=theirs\n{script}\nmake -s outputs STACK=prod").ok()
    assert [file.name for file in theirs.rglob("*.json")] == ["prod.json"]
    assert not checkout.env.backend_dir.exists()
