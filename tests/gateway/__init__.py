"""The whole service behind the real Envoy, as an HTTP client sees it."""
