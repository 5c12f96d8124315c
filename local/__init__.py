"""The embedded Kubernetes that the dev stack goes to; see `local.cluster.Cluster`."""
