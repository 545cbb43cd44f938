"""Loopback endpoints that speak AWS's protocols, so that the CLI and the SDKs reach what runs on this machine."""
