"""Declared objects of Prometheus; an integration test shows that it finds its pods."""

from typing import Any

import pytest
import yaml

from components.monitoring.component import PodMonitors, PodMonitorsArgs, Prometheus, PrometheusArgs
from config.sections.inference import InferenceStack
from config.sections.keda import METRICS_PORT, ExistingKeda, HelmKeda, Keda
from config.sections.prometheus import ExistingPrometheus, ManagedPrometheus

STACKS = (
    InferenceStack(name_prefix="a-"),
    InferenceStack(name_prefix="b-"),
    InferenceStack(name_prefix="c-", namespace="vision"),
)


KEDA = ExistingKeda()


@pytest.fixture
def made(declare):
    def of(stacks: tuple[InferenceStack, ...] = STACKS, keda: Keda = KEDA, **raw: Any):
        config = ManagedPrometheus.model_validate(raw)
        args = PrometheusArgs(config=config, stacks=stacks, keda=keda)
        return declare(lambda: Prometheus("prometheus", args))

    return of


def pod_of(declared) -> dict[str, Any]:
    return declared.one("apps/v1:Deployment")["spec"]["template"]["spec"]


def test_name_and_port_are_the_baselines(made):
    declared = made()
    service = declared.one("core/v1:Service", "prometheus-server")
    assert service["metadata"]["namespace"] == "observability"
    assert [port["port"] for port in service["spec"]["ports"]] == [9090]
    assert declared.outputs["prometheus"] == {
        "address": "http://prometheus-server.observability.svc.cluster.local:9090"
    }


def test_service_leads_to_the_port_that_prometheus_listens_on(made):
    declared = made(port=9191)
    (container,) = pod_of(declared)["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 9191}]
    assert "--web.listen-address=:9191" in container["args"]
    (port,) = declared.one("core/v1:Service")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (9191, "http")


def test_pulumi_does_not_wait_for_the_service(made):
    annotations = made().one("core/v1:Service")["metadata"]["annotations"]
    assert annotations["pulumi.com/skipAwait"] == "true"


def test_may_find_pods_in_each_inference_namespace_and_nothing_else(made):
    declared = made()
    roles = declared.all("rbac.authorization.k8s.io/v1:Role")
    assert [role.inputs["metadata"]["namespace"] for role in roles] == ["ai-namespace", "vision"]
    for role in roles:
        assert role.inputs["rules"] == [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
        ]
    assert not declared.all("rbac.authorization.k8s.io/v1:ClusterRole")
    assert not declared.all("rbac.authorization.k8s.io/v1:ClusterRoleBinding")


def test_finds_and_scrapes_the_operator_of_a_keda_that_the_stack_installs(made):
    declared = made(keda=HelmKeda(kind="helm", namespace="scaling"))
    roles = declared.all("rbac.authorization.k8s.io/v1:Role")
    assert "scaling" in [role.inputs["metadata"]["namespace"] for role in roles]
    files = declared.one("core/v1:ConfigMap", "prometheus-files")["data"]
    (job,) = [
        job
        for job in yaml.safe_load(files["prometheus.yml"])["scrape_configs"]
        if job["job_name"] == "keda"
    ]
    (discovery,) = job["kubernetes_sd_configs"]
    assert discovery["namespaces"] == {"names": ["scaling"]}
    assert job["relabel_configs"][0]["regex"] == str(METRICS_PORT)
    assert "ScalerFailing" in files["rules.yml"]
    others = made().one("core/v1:ConfigMap", "prometheus-files")["data"]
    assert "ScalerFailing" not in others["rules.yml"]


def test_each_role_is_bound_to_prometheus_own_account(made):
    declared = made()
    account = declared.one("core/v1:ServiceAccount")["metadata"]
    bindings = declared.all("rbac.authorization.k8s.io/v1:RoleBinding")
    assert len(bindings) == 2
    for binding in bindings:
        (subject,) = binding.inputs["subjects"]
        assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
        assert binding.inputs["roleRef"]["kind"] == "Role"
    assert pod_of(declared)["serviceAccountName"] == account["name"]


def test_only_its_pod_gets_a_token(made):
    declared = made()
    assert declared.one("core/v1:ServiceAccount")["automountServiceAccountToken"] is False
    assert pod_of(declared)["automountServiceAccountToken"] is True


def test_pod_is_restricted_with_a_read_only_root(made):
    pod = pod_of(made())
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 65534)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_configuration_is_mounted_where_it_is_read(made):
    declared = made()
    config_map = declared.one("core/v1:ConfigMap", "prometheus-files")
    data = config_map["data"]
    (container,) = pod_of(declared)["containers"]
    (path,) = [a.partition("=")[2] for a in container["args"] if a.startswith("--config.file=")]
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == "config"]
    folder, _, file = path.rpartition("/")
    assert mount["mountPath"] == folder
    assert set(yaml.safe_load(data[file])["rule_files"]) | {file} == set(data)
    (volume,) = [v for v in pod_of(declared)["volumes"] if v["name"] == "config"]
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    assert declared.resource("core/v1:ConfigMap", "prometheus-files").retain_on_delete


@pytest.mark.parametrize(
    "changed", [{"scrapeIntervalSeconds": 7}, {"stacks": STACKS[:1]}], ids=["interval", "stacks"]
)
def test_changed_configuration_rolls_the_pod(made, changed):
    def template(**raw: Any) -> dict[str, Any]:
        return made(**raw).one("apps/v1:Deployment")["spec"]["template"]

    assert template() == template()
    assert template() != template(**changed)


def test_without_a_volume_a_successor_is_ready_before_it_goes(made):
    declared = made()
    strategy = declared.one("apps/v1:Deployment")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert not declared.all("core/v1:PersistentVolumeClaim")
    assert "emptyDir" in {v["name"]: v for v in pod_of(declared)["volumes"]}["data"]


def test_a_volume_has_one_writer_at_a_time(made):
    declared = made(persistentVolume={"sizeGib": 50, "storageClass": "gp3"})
    assert declared.one("apps/v1:Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    claim = declared.one("core/v1:PersistentVolumeClaim")
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "50Gi"}},
        "storageClassName": "gp3",
    }
    volume = {v["name"]: v for v in pod_of(declared)["volumes"]}["data"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_samples_are_dropped_before_the_room_for_them_is_full(made):
    (container,) = pod_of(made(persistentVolume={"sizeGib": 50}, retentionHours=48))["containers"]
    assert "--storage.tsdb.retention.time=48h" in container["args"]
    assert f"--storage.tsdb.retention.size={int(0.8 * 50 * 1024)}MB" in container["args"]


@pytest.mark.parametrize("wanted", [True, False])
def test_an_existing_prometheus_gets_pod_monitors_where_it_wants_them(declare, wanted):
    config = ExistingPrometheus(
        kind="existing", address="http://p.m:9090", namespace="monitoring", pod_monitors=wanted
    )
    declared = declare(
        lambda: PodMonitors("monitors", PodMonitorsArgs(config=config, stacks=STACKS))
    )
    monitors = [r.inputs for r in declared.all("monitoring.coreos.com/v1:PodMonitor")]
    assert len(monitors) == 2 * len(STACKS) * wanted
    for monitor in monitors:
        selected = monitor["spec"]["selector"]["matchLabels"]
        assert selected.items() <= monitor["metadata"]["labels"].items()


def test_pod_monitors_carry_the_labels_by_which_an_operator_selects_them(declare):
    def labels(**wanted: str) -> list[dict[str, str]]:
        config = ExistingPrometheus(
            kind="existing",
            address="http://p.m:9090",
            namespace="monitoring",
            pod_monitors=True,
            pod_monitor_labels=wanted,
        )
        args = PodMonitorsArgs(config=config, stacks=STACKS)
        declared = declare(lambda: PodMonitors("monitors", args))
        monitors = declared.all("monitoring.coreos.com/v1:PodMonitor")
        return [monitor.inputs["metadata"]["labels"] for monitor in monitors]

    release = {"release": "kube-prometheus-stack"}
    assert labels(**release) == [{**release, **ours} for ours in labels()]


def existing(**raw: Any) -> ExistingPrometheus:
    base = {"kind": "existing", "address": "http://p.m:9090", "namespace": "monitoring"}
    return ExistingPrometheus.model_validate({**base, **raw})


def rules_of(declare, **raw: Any) -> list[dict[str, Any]]:
    args = PodMonitorsArgs(config=existing(**raw), stacks=STACKS)
    declared = declare(lambda: PodMonitors("monitors", args))
    return [rule.inputs for rule in declared.all("monitoring.coreos.com/v1:PrometheusRule")]


def test_an_operators_prometheus_gets_the_alerts_of_ours(made, declare):
    ours = yaml.safe_load(made().one("core/v1:ConfigMap", "prometheus-files")["data"]["rules.yml"])
    rules = rules_of(declare, podMonitors=True, scrapeIntervalSeconds=5)
    named = {
        group["name"]: [
            one for one in group["rules"] if one["alert"] not in {"ScalerFailing", "GpuUnhealthy"}
        ]
        for rule in rules
        for group in rule["spec"]["groups"]
    }
    assert named == {group["name"]: group["rules"] for group in ours["groups"]}
    assert [rule["metadata"]["namespace"] for rule in rules] == [s.namespace for s in STACKS]


@pytest.mark.parametrize(
    ("stated", "count"),
    [
        ({}, 0),
        ({"podMonitors": True, "alertRules": False}, 0),
        ({"alertRules": True}, len(STACKS)),
    ],
)
def test_alert_rules_may_differ_from_pod_monitors(declare, stated, count):
    assert len(rules_of(declare, **stated)) == count


def test_alert_rules_carry_the_labels_by_which_an_operator_selects_them(declare):
    def selected(**raw: Any) -> list[Any]:
        rules = rules_of(declare, podMonitors=True, podMonitorLabels={"release": "a"}, **raw)
        return [
            (labels.get("release"), labels.get("role"))
            for labels in (rule["metadata"]["labels"] for rule in rules)
        ]

    assert selected() == [("a", None)] * len(STACKS)
    assert selected(alertRuleLabels={"role": "alert-rules"}) == [(None, "alert-rules")] * len(
        STACKS
    )
    assert selected(alertRuleLabels={}) == [(None, None)] * len(STACKS)
