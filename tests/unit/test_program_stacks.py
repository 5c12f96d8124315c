"""Several inference stacks in one program; that they run side by side on a cluster is not shown."""

from components.contract import SharedOutputs, key
from tests.unit.whole_program import declared_by, kubernetes_objects, run


def three_stacks():
    return run(
        {
            "gpuNodes": {"kind": "existing", "maxSize": 20},
            "inference": [
                {},
                {"namePrefix": "vision-", "namespace": "vision"},
                {"namePrefix": "speech-"},
            ],
        }
    )


def test_inference_stacks_do_not_collide():
    program = three_stacks()
    names = {r.inputs["metadata"]["name"] for r in program.all("ScaledObject")}
    assert names == {
        "triton-inference-scaler",
        "vision-triton-inference-scaler",
        "speech-triton-inference-scaler",
    }
    queries = {
        r.inputs["spec"]["triggers"][0]["metadata"]["query"] for r in program.all("ScaledObject")
    }
    assert len(queries) == 3
    objects = [
        (r.typ, r.inputs["metadata"].get("namespace"), r.inputs["metadata"]["name"])
        for r in kubernetes_objects(program)
    ]
    assert len(objects) == len(set(objects))


def test_shared_parts_are_there_once():
    program = three_stacks()
    for shared in ("Prometheus", "DevicePlugin", "Namespaces"):
        assert len(program.all(f"kubemind:index:{shared}")) == 1
    assert len(program.all("kubemind:index:Inference")) == 3
    namespaces = [r.inputs["metadata"]["name"] for r in program.all("core/v1:Namespace")]
    assert sorted(namespaces) == [
        "ai-namespace",
        "nvidia-device-plugin",
        "observability",
        "vision",
    ]


def test_another_stack_leaves_the_first_ones_identities_and_outputs_alone():
    program = three_stacks()
    assert set(declared_by("dev").identities) <= set(program.identities)
    shared = {item.name for item in SharedOutputs.documented()}
    for name, value in declared_by("dev").exports.items():
        assert name in shared or program.exports[name] == value
    assert program.exports[key("scaler_name", "vision-")] == "vision-triton-inference-scaler"
    assert program.exports["namePrefixes"] == ["", "vision-", "speech-"]
