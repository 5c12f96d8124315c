"""The Envoy gateway of an inference stack: its component, its workload and its check."""
