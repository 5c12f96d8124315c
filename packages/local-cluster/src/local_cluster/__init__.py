"""The embedded Kubernetes that the dev stack goes to; see `local_cluster.cluster.Cluster`."""
