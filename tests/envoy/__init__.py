"""Claims about the gateway's behaviour, each tried on the real Envoy."""
