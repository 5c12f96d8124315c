"""Kubernetes clusters on one machine; see `local_cluster.cluster.Cluster`."""
