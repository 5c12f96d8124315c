"""Scrape configuration, held against the real promtool; not that Prometheus finds a pod."""

import subprocess

import pytest
import yaml

from components.common.scraping import scrape_annotations
from components.monitoring.alerts import alert_rules
from components.monitoring.scrape import RULES_FILE, pod_monitors, prometheus_config
from components.monitoring.workload import CONFIG_FILE
from config.sections.inference import InferenceStack
from config.sections.keda import ExistingKeda, HelmKeda
from config.sections.prometheus import ExistingPrometheus, ManagedPrometheus
from local_cluster import toolchain

STACKS = (
    InferenceStack(),
    InferenceStack.model_validate(
        {
            "namespace": "vision",
            "namePrefix": "b-",
            "autoscaler": {"minReplicas": 3, "maxReplicas": 5},
        }
    ),
)


@pytest.fixture
def promtool():
    return toolchain.ensure("promtool")["promtool"]


@pytest.fixture
def folder(tmp_path):
    """The files as they are mounted in the pod."""
    prometheus = ManagedPrometheus(scrape_interval_seconds=2.5)
    config = prometheus_config(prometheus, STACKS, HelmKeda(kind="helm"))
    rules = alert_rules(STACKS, prometheus, keda_is_scraped=True)
    (tmp_path / CONFIG_FILE).write_text(yaml.safe_dump(config, sort_keys=False))
    (tmp_path / RULES_FILE).write_text(yaml.safe_dump(rules, sort_keys=False))
    return tmp_path


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def jobs(*stacks):
    config = prometheus_config(ManagedPrometheus(), stacks, ExistingKeda())
    return {job["job_name"]: job for job in config["scrape_configs"]}


def test_promtool_accepts_configuration_and_rules(promtool, folder):
    code, said = run(promtool, "check", "config", folder / CONFIG_FILE)
    assert code == 0, said
    groups = yaml.safe_load((folder / RULES_FILE).read_text())["groups"]
    assert f"{sum(len(group['rules']) for group in groups)} rules found" in said


def test_alerts_go_to_every_replica_of_the_alertmanager(promtool, folder):
    """Prometheus itself accepts the section; no test sends an alert."""
    addresses = ["http://alertmanager-0.alerts.m.svc:9093", "https://alerts.n.svc/prefix"]
    prometheus = ManagedPrometheus.model_validate(
        {"alertmanager": {"addresses": addresses, "namespace": "m"}}
    )
    config = prometheus_config(prometheus, STACKS, ExistingKeda())
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(config))
    code, said = run(promtool, "check", "config", folder / CONFIG_FILE)
    assert code == 0, said
    sent = [
        f"{one['scheme']}://{target}{one.get('path_prefix', '')}"
        for one in config["alerting"]["alertmanagers"]
        for static in one["static_configs"]
        for target in static["targets"]
    ]
    assert sent == addresses


def test_promtool_refuses_what_is_broken(promtool, folder):
    text = (folder / RULES_FILE).read_text()
    (folder / RULES_FILE).write_text(text.replace("absent(", "absent("[:-1] + "[", 1))
    code, said = run(promtool, "check", "config", folder / CONFIG_FILE)
    assert code != 0
    assert "could not parse expression" in said


def test_discovers_in_the_stacks_namespaces_only():
    for job in jobs(*STACKS).values():
        (discovery,) = job["kubernetes_sd_configs"]
        assert discovery["namespaces"] == {"names": ["ai-namespace", "vision"]}


def test_no_target_label_takes_the_place_of_the_querys():
    """Prometheus renames a scraped label that a target has, too: the query would match nothing."""
    for job in jobs(*STACKS).values():
        targets = {rule.get("target_label") for rule in job["relabel_configs"]}
        assert "cluster_name" not in targets


def test_annotations_and_jobs_agree():
    assert scrape_annotations(ManagedPrometheus(), 9902, "/stats/prometheus") == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "9902",
        "prometheus.io/path": "/stats/prometheus",
    }


def test_pod_monitors_scrape_the_same_ports_and_paths_as_we_do():
    existing = ExistingPrometheus(
        kind="existing",
        address="http://p.m:9090",
        namespace="monitoring",
        scrape_interval_seconds=7,
    )
    wanted = {job["metrics_path"] for job in jobs(STACKS[0]).values()}
    ports = {job["relabel_configs"][0]["regex"].rpartition(";")[2] for job in jobs().values()}
    endpoints = [spec["podMetricsEndpoints"][0] for _, _, spec in pod_monitors(STACKS[0], existing)]
    assert {endpoint["path"] for endpoint in endpoints} == wanted
    assert {endpoint["port"] for endpoint in endpoints} == ports
    assert {endpoint["interval"] for endpoint in endpoints} == {"7000ms"}
