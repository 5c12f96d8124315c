"""Shell scripts of the init container that brings or checks the models; for any POSIX shell."""

import inspect
import re
from collections.abc import Mapping

from config import model_config, repository_links, repository_reader
from config.repository_reader import STUB

MODELS_PATH = "/models"
"""Folder of the repository in Triton's pod."""

SOURCE_PATH = "/repository"
"""Folder of a claim, or of the copy of a bucket's folder, in a pod."""

_ATTEMPTS = 5
"""Attempts of the first call to AWS. On the VPC CNI in its standard mode, replies to a pod that is
younger than its network policies are lost (aws/aws-network-policy-agent#186 and #345)."""

_WAIT_SECONDS = 3
"""Time between two attempts."""

_CONNECT_SECONDS = 10
"""Time for one connection; the CLI's own limit is 60 s."""

_WITHOUT_IDENTITY: Mapping[str, str] = {
    "podIdentity": "EKS must have a pod identity association for this namespace and "
    "ServiceAccount (aws eks list-pod-identity-associations)",
    "irsa": "the cluster must run the Pod Identity webhook, and the ServiceAccount must have the "
    "annotation eks.amazonaws.com/role-arn",
}

# EKS's webhook adds the variables when the pod is created: a restart of the container adds none.
_NEED_IDENTITY = """\
if test -z "$AWS_CONTAINER_CREDENTIALS_FULL_URI$AWS_WEB_IDENTITY_TOKEN_FILE"; then
  echo "this pod has no AWS identity, and gets none: EKS injects it when a pod is created" >&2
  echo "now: neither AWS_CONTAINER_CREDENTIALS_FULL_URI nor AWS_WEB_IDENTITY_TOKEN_FILE" >&2
  echo "fix: kubectl delete pod $HOSTNAME; if its successor fails too: {else_}" >&2
  exit 1
fi
"""

# An empty folder in S3 is an object of its own, which `sync` ignores. `--delete` removes partial
# files that an earlier copy left.
_SYNC = f"""\
place=${{SOURCE#s3://}}
bucket=${{place%%/*}}
prefix=${{place#"$bucket"}}
prefix=${{prefix#/}}
prefix=${{prefix%/}}
prefix=${{prefix:+$prefix/}}
attempt=1
until keys=$(aws s3api list-objects-v2 --bucket "$bucket" --prefix "$prefix" \\
  --query "Contents[?ends_with(Key, '/')].[Key]" --output text \\
  --cli-connect-timeout {_CONNECT_SECONDS}); do
  test "$attempt" -lt {_ATTEMPTS} || exit 1
  echo "attempt $attempt of {_ATTEMPTS}; the next begins in {_WAIT_SECONDS} s" >&2
  attempt=$((attempt + 1))
  sleep {_WAIT_SECONDS}
done
aws s3 sync "s3://$bucket/$prefix" {SOURCE_PATH} --no-progress --delete --exclude '.*'
printf '%s\\n' "$keys" | while IFS= read -r key; do
  folder=${{key#"$prefix"}}
  case "/$folder" in
    */../* | /.*) ;;
    /?*/) mkdir -p "{SOURCE_PATH}/$folder" ;;
  esac
done
"""

# Without Python the script links the models unchecked. Triton finds most mistakes, but later. As
# `config.repository_links` does, it gives an ensemble the version folder that S3 and git drop, and
# a python model's own stub the mode that S3 drops.
_LINK = f"""\
command -v python3 >/dev/null || {{
  echo "this image has no python3: the models are not checked" >&2
  is_folder() {{ test -d "$1"; }}
  rm -rf "{MODELS_PATH}"/*
  for model in "$2"/*/; do
    model=${{model%/}}
    test -d "$model" || continue
    link="{MODELS_PATH}/${{model##*/}}"
    stub="$model/{STUB}"
    test ! -w "$stub" || chmod u+x "$stub"
    if test -f "$model/config.pbtxt" && ! is_folder "$model"/[0-9]*/; then
      mkdir -p "$link/1"
      ln -s "$model"/* "$link"
    else
      ln -s "$model" "$link"
    fi
  done
  test -n "$(ls {MODELS_PATH})" || {{ echo "$1 holds no model" >&2; exit 1; }}
  exit 0
}}
exec python3 -I -B -c "$0" "$@"
"""


def check() -> list[str]:
    """Return the command that checks the models in `SOURCE_PATH` and links them."""
    return _command(_LINK)


def sync(identity: str) -> list[str]:
    """Return the command that copies the models from S3 first.

    Args:
        identity: Source of the pod's credentials, as `S3Repository` states it.
    """
    need = _NEED_IDENTITY.replace("{else_}", _WITHOUT_IDENTITY[identity])
    return _command(need + _SYNC + _LINK)


def _command(script: str) -> list[str]:
    return ["/bin/sh", "-ec", script, _program()]


def _program() -> str:
    """Return the text of the check, from modules that import only each other."""
    modules = (model_config, repository_reader, repository_links)
    text = "\n".join(map(inspect.getsource, modules))
    return re.sub(r"^from (\w+\.)?config\..*\n", "", text, flags=re.MULTILINE)
