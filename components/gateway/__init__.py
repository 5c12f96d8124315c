"""The Envoy gateway of an inference stack: component, workload and validation."""
