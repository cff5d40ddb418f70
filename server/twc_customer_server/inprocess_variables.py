"""Variables in which the supervisor tells a server inside Envoy what a worker has as options."""

# The file descriptor of the memory to count RPCs in.
METRICS_VARIABLE = "TWC_METRICS_FD"
# The socket of Envoy's administration.
ADMIN_VARIABLE = "TWC_ADMIN_SOCKET"
