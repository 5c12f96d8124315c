"""cert-manager's API."""

API_VERSION = "cert-manager.io/v1"
"""API of Certificates, their requests, and issuers."""
