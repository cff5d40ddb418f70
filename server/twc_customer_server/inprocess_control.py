"""How the supervisor tells a server inside Envoy what to do: variables with file descriptors."""

# A pipe, from which it reads the numbers of signals.
CONTROL_VARIABLE = "TWC_CONTROL_FD"
# The memory to count RPCs in.
METRICS_VARIABLE = "TWC_METRICS_FD"
