"""HTTP filters of the gRPC listener, one file each; `registry` lists them in their order."""
