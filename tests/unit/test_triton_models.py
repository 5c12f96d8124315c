"""The way of models to Triton; not shown: a bucket or a claim holds any."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from config.checks import run
from config.load import Refused, parse
from config.model_files import MAX_BYTES, MAX_FILES, ModelFilesError, read_model_files
from config.sections.inference import InferenceStack
from config.settings import Settings
from tests.unit.declared_triton import S3, container_of, made, pod_of


def mounted_files(pod: dict[str, Any], config_map: dict[str, Any]) -> dict[str, bytes]:
    """Return the files that Triton sees under /models, as kubelet projects the ConfigMap."""
    (volume,) = [v for v in pod["volumes"] if v["name"] == "models"]
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    data = {key: text.encode() for key, text in config_map["data"].items()}
    data |= {k: base64.b64decode(v) for k, v in config_map.get("binaryData", {}).items()}
    projected = {item["path"]: data[item["key"]] for item in volume["configMap"]["items"]}
    seen = {}
    for mount in pod["containers"][0]["volumeMounts"]:
        if mount["name"] == "models":
            assert mount["readOnly"] is True
            inside = f"{mount['subPath']}/"
            for path, content in projected.items():
                if path.startswith(inside):
                    seen[f"{mount['mountPath']}/{path.removeprefix(inside)}"] = content
    return seen


def test_config_map_brings_every_file_to_its_path_binary_ones_too(tmp_path):
    files = {
        "one/config.pbtxt": b"name: 'one' backend: 'onnxruntime'",
        "one/1/model.onnx": bytes(range(256)),
        "two/1/model.onnx": b"",
        "two/1/a b.py": b"spaces",
        "two/1/a-b.py": b"no spaces",
    }
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / "one/1/__pycache__").mkdir()
    (tmp_path / "one/1/__pycache__/model.pyc").write_bytes(b"\0")
    repository = {"kind": "configMap", "folder": str(tmp_path)}
    spec, declared = made({"triton": {"modelRepository": repository}})
    seen = mounted_files(spec["template"]["spec"], declared.one("core/v1:ConfigMap"))
    assert seen == {f"/models/{path}": content for path, content in files.items()}


def test_links_empty_folders_and_programs_reach_a_config_map_and_junk_does_not(tmp_path):
    ensemble = 'platform: "ensemble" ensemble_scheduling { step [ { model_name: "m" } ] }'
    files = {
        "m/config.pbtxt": 'backend: "python"',
        "m/v/model.py": "",
        "m/1/.ipynb_checkpoints/model.py": "",
        "m/triton_python_backend_stub": "\x7fELF",
        "m/prompt.template": "{% $x %}",
        "e/config.pbtxt": ensemble,
        "README.md": "",
        ".git/config": "",
    }
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    (tmp_path / "m/2").symlink_to("v")
    repository = {"kind": "configMap", "folder": str(tmp_path)}
    spec, declared = made({"triton": {"modelRepository": repository}})
    pod = spec["template"]["spec"]
    assert {*mounted_files(pod, declared.one("core/v1:ConfigMap"))} == {
        "/models/m/config.pbtxt",
        "/models/m/1/.keep",
        "/models/m/2/model.py",
        "/models/m/v/model.py",
        "/models/m/triton_python_backend_stub",
        "/models/m/prompt.template",
        "/models/e/config.pbtxt",
        "/models/e/1/.keep",
    }
    (volume,) = [v for v in pod["volumes"] if v["name"] == "models"]
    modes = {item["path"]: item["mode"] for item in volume["configMap"]["items"] if "mode" in item}
    assert modes == {"m/triton_python_backend_stub": 0o755}


def test_triton_never_sees_the_volumes_root():
    """Kubelet's `..data` lies there: Triton 2.51 took it for a model, and exited."""
    mounts = container_of()["volumeMounts"]
    assert [m["mountPath"] for m in mounts if m["name"] == "models"] == ["/models/echo"]


def test_changed_models_are_another_immutable_config_map():
    def config_map(service_time: float) -> dict[str, Any]:
        _, declared = made({"traffic": {"serviceTimeSeconds": service_time}})
        return declared.one("core/v1:ConfigMap")

    slow, fast = config_map(0.5), config_map(0.02)
    assert slow["immutable"] is True
    assert slow["metadata"]["name"] != fast["metadata"]["name"]


def test_sample_model_has_the_stacks_own_queue_and_speed():
    raw = {
        "traffic": {"serviceTimeSeconds": 0.05, "parallelism": 3},
        "triton": {"queueSize": 17},
    }
    config = read_model_files(InferenceStack.model_validate(raw), "models")["echo/config.pbtxt"]
    text = config.decode()
    for name, value in {"service_time_seconds": 0.05, "parallelism": 3, "queue_size": 17}.items():
        assert f'key: "{name}" value: {{ string_value: "{value}" }}' in text
    assert "$" not in text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"m/1/model.onnx": "x" * (MAX_BYTES + 1)}, "1,048,577 bytes, and a ConfigMap holds 1,048"),
        ({f"m/1/model.{n}": "" for n in range(MAX_FILES + 1)}, "2,001 files, and a ConfigMap is"),
        ({"m/config.pbtxt.template": "${queue}"}, "unknown placeholder 'queue' in config.pbtxt."),
        ({"m/config.pbtxt.template": "5 $"}, "a dollar sign is written $$"),
        ({"m/config.pbtxt.template": "", "m/config.pbtxt": ""}, "delete one of them"),
        ({"a:b/1/model.onnx": ""}, "a:b has a colon in its name, which Kubernetes does not allow"),
    ],
)
def test_a_folder_that_cannot_be_a_config_map_says_why(tmp_path, files, message):
    """Models that Triton could not serve are in test_repository_reader.py."""
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    with pytest.raises(ModelFilesError) as caught:
        read_model_files(InferenceStack(), str(tmp_path))
    assert message in str(caught.value)


def test_load_refuses_a_folder_beside_all_other_problems(tmp_path):
    model = tmp_path / "large" / "1"
    model.mkdir(parents=True)
    (model / "model.onnx").write_bytes(b"0" * (MAX_BYTES + 1))

    def raw(folder: str) -> dict[str, Any]:
        triton = {"modelRepository": {"kind": "configMap", "folder": folder}}
        return {"inference": [{"triton": triton}], "gpuNodes": {"maxSize": 1}}

    for folder, says in ((str(tmp_path), "1,048,577 bytes"), ("nowhere", "no such folder")):
        with pytest.raises(Refused) as caught:
            parse(raw(folder))
        checks = {problem.check: problem for problem in caught.value.problems}
        assert set(checks) == {"nodes", "modelFolder"}
        assert says in checks["modelFolder"].reason
        assert checks["modelFolder"].keys == {"inference[0].triton.modelRepository.folder": folder}


def test_checks_read_no_file(monkeypatch):
    def refuse(*_args: Any, **_options: Any) -> None:
        raise AssertionError("a check opened a file")

    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(Path, "iterdir", refuse)
    assert run(Settings()) == []


def test_s3_is_copied_before_triton_starts_and_is_read_only_to_it():
    """Shown in tests/models/test_triton.py: the containers do so."""
    repository = {**S3, "region": "eu-west-1", "cacheGib": 7}
    pod = pod_of(modelRepository=repository)
    (sync,), (triton,) = pod["initContainers"], pod["containers"]
    environment = {item["name"]: item.get("value") for item in sync["env"]}
    assert environment["SOURCE"] == "s3://models/prod"
    assert environment["AWS_REGION"] == "eu-west-1"
    assert environment["AWS_EC2_METADATA_DISABLED"] == "true"
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["repository"]["emptyDir"] == {"sizeLimit": "7Gi"}
    assert {"name": "repository", "mountPath": "/repository"} in sync["volumeMounts"]
    for name in ("repository", "models"):
        mount = {"name": name, "mountPath": f"/{name}", "readOnly": True}
        assert mount in triton["volumeMounts"]


@pytest.mark.parametrize("repository", [S3, {"kind": "pvc", "claim": "models"}])
def test_no_word_of_a_containers_command_is_one_that_kubernetes_would_replace(repository):
    """Two dollar signs become one, `$(NAME)` the variable's value."""
    for container in pod_of(modelRepository=repository)["initContainers"]:
        names = {item["name"] for item in container.get("env", ())}
        for word in (*container["command"], *container.get("args", ())):
            assert "$$" not in word
            assert not names & set(re.findall(r"\$\(([^)]*)\)", word))


def test_no_key_is_ever_handed_to_a_pod():
    pod = pod_of(modelRepository=S3)
    names = {
        i["name"] for c in (*pod["initContainers"], *pod["containers"]) for i in c.get("env", ())
    }
    assert not {name for name in names if "KEY" in name or "SECRET" in name or "TOKEN" in name}


def test_copy_counts_as_disk_that_the_pod_asks_for():
    def disk(**triton: Any) -> int:
        requests = container_of(**triton)["resources"]["requests"]
        return int(requests["ephemeral-storage"].removesuffix("Mi"))

    assert disk(modelRepository={**S3, "cacheGib": 7}) == disk() + 7 * 1024


def test_identity_is_there_before_the_first_pod():
    _, declared = made({"triton": {"modelRepository": S3}})
    waits = declared.resource("apps/v1:Deployment").depends_on
    assert declared.resource("eks/podIdentityAssociation:PodIdentityAssociation").name in waits


@pytest.mark.parametrize(
    ("identity", "known"), [("podIdentity", "a-1a2b3c4d"), ("irsa", "arn:aws:iam::1:role/r")]
)
def test_another_identity_rolls_the_pods(identity, known):
    """EKS injects it when it creates a pod."""
    spec, _ = made({"triton": {"modelRepository": {**S3, "identity": identity}}})
    assert spec["template"]["metadata"]["annotations"]["kubemind.io/model-identity"] == known


def test_another_revision_rolls_the_pods_and_the_former_one_rolls_them_back():
    """Pods roll as their template changes; a rollback finds the former ReplicaSet by it."""

    def template(**repository: Any) -> dict[str, Any]:
        stack = {"triton": {"modelRepository": {**S3, "uri": "s3://models/all/", **repository}}}
        return made(stack)[0]["template"]

    def served(pods: dict[str, Any]) -> tuple[str, str]:
        (sync,) = pods["spec"]["initContainers"]
        (source,) = [item["value"] for item in sync["env"] if item["name"] == "SOURCE"]
        return source, pods["metadata"]["annotations"].get("kubemind.io/model-revision", "")

    first, second = template(revision="r1"), template(revision="r2")
    assert served(first) == ("s3://models/all/r1", "r1")
    assert served(second) == ("s3://models/all/r2", "r2")
    assert template(revision="r1") == first != second
    assert served(template()) == ("s3://models/all", "")


def test_irsa_is_an_annotation_of_the_service_account():
    repository = {**S3, "identity": "irsa"}
    _, declared = made({"triton": {"modelRepository": repository}})
    annotations = declared.one("core/v1:ServiceAccount")["metadata"]["annotations"]
    assert annotations == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"}


@pytest.mark.parametrize(("path", "folder"), [("", ""), ("/a/b/", "/a/b")])
def test_a_claim_is_read_only_and_checked_from_its_folder(path, folder):
    pod = pod_of(modelRepository={"kind": "pvc", "claim": "models", "path": path})
    (volume,) = [v for v in pod["volumes"] if v["name"] == "repository"]
    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    (check,) = pod["initContainers"]
    assert check["args"][:2] == [f"models:{folder or '/'}", f"/repository{folder}"]
    for container in (check, *pod["containers"]):
        (mount,) = [m for m in container["volumeMounts"] if m["name"] == "repository"]
        assert mount["readOnly"] is True
        assert "subPath" not in mount
