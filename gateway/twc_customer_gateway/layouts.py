"""Completes the configuration for each way to serve: workers beside Envoy, or Python inside."""

from collections.abc import Callable
from typing import Any, NamedTuple

from twc_customer_gateway import python_in_envoy, secrets
from twc_customer_gateway.places import Places
from twc_customer_gateway.rpc_routes import Route
from twc_customer_gateway.settings import GatewaySettings


class Layout(NamedTuple):
    """Completes the configuration for a way to serve."""

    public_envoys: Callable[[GatewaySettings], int]
    routes: Callable[[list[Route]], list[Route]]
    filters: Callable[[], list[dict[str, Any]]]
    # By the number of an Envoy.
    listeners: Callable[[GatewaySettings, Places, int], list[dict[str, Any]]]
    # The variables of an Envoy with Python inside.
    environment: Callable[[], dict[str, str]]


def _python_listeners(
    settings: GatewaySettings, places: Places, number: int
) -> list[dict[str, Any]]:
    if number >= settings.workers:
        return []
    return [
        python_in_envoy.native_listener(
            settings.bind, settings.grpc_port, secrets.listener_tls(settings, places)
        ),
        python_in_envoy.internal_listener(places.socket(f"server-{number + 1}")),
    ]


LAYOUTS = {
    "workers": Layout(
        public_envoys=lambda _: 1,
        routes=list,
        filters=list,
        listeners=lambda *_: [],
        environment=dict,
    ),
    "inprocess": Layout(
        public_envoys=lambda settings: settings.workers,
        routes=python_in_envoy.answered_by_python,
        filters=lambda: [python_in_envoy.gateway_filter()],
        listeners=_python_listeners,
        environment=python_in_envoy.environment,
    ),
}
