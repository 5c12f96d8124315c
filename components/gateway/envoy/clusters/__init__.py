"""Envoy's clusters, one file each; `registry` lists them."""
