"""Everything that is measured side by side."""

from bench.contender import Contender
from bench.floor import Floor
from bench.peer import GoPeer, PythonPeer
from bench.service import Service

# What the targets name.
SERVICE_REST = "service REST"
SERVICE_GRPC = "service gRPC"
FLOOR_REST = "floor REST"
FLOOR_GRPC = "floor gRPC"
FASTAPI = "FastAPI + SQLAlchemy"

# In the order of the tables.
CONTENDERS: list[Contender] = [
    Service(SERVICE_REST, "REST"),
    Service(SERVICE_GRPC, "gRPC"),
    Service("service REST, PostgreSQL", "REST", is_postgres=True),
    Service("service gRPC, PostgreSQL", "gRPC", is_postgres=True),
    Floor(FLOOR_REST, "REST"),
    Floor(FLOOR_GRPC, "gRPC"),
    PythonPeer(FASTAPI, "fastapi_sqlalchemy"),
    PythonPeer("FastAPI + Peewee", "fastapi_peewee"),
    PythonPeer("django-ninja", "django_ninja"),
    PythonPeer("Litestar on Granian", "litestar_granian"),
    GoPeer("Go grpc-gateway"),
]
