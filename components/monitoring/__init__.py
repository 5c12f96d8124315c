"""Prometheus: its component, its workload, the scrape configuration and the alerts."""
