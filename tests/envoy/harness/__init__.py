"""A real Envoy between a gRPC client and fake replicas that DNS leads it to."""
