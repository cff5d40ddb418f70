"""What deploy/ has: images, compose, Kubernetes, systemd."""
