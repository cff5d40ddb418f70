"""A PostgreSQL primary with a standby that confirms every commit, and takes its place."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.support import postgres
from tests.support.processes import die_with_parent
from tests.support.run_cleanup import POSTGRES, stop_postgres
from tests.support.server_process import wait_until

_PRIMARY = "fsync = off\nmax_connections = 200\n"


class Pair:
    """A primary, and a standby of it, of which the primary may be lost once."""

    def __init__(self) -> None:
        self._folder = postgres.own_folder()
        self._primary = postgres.Server(postgres.start(self._folder, _PRIMARY))
        self._hosts = [str(self._folder / POSTGRES), str(self._folder / "standby")]
        # The standby runs as the user of the primary, and the same program.
        self._user = Path(self._hosts[0]).stat().st_uid if os.geteuid() == 0 else None
        program, *_ = Path(self._hosts[0], "postmaster.opts").read_text().split()
        self._programs = Path(program).parent
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._start_standby()
        except BaseException:
            self.end()
            raise

    def database(self) -> str:
        """Makes a database; its URL names both hosts, and leads to the one that takes writes."""
        name = conninfo_to_dict(self._primary.database())["dbname"]
        hosts = ",".join(self._hosts)
        return (
            f"postgresql://?user=postgres&dbname={name}&host={hosts}"
            "&target_session_attrs=read-write"
        )

    def fail_over(self) -> None:
        """Kills the primary, and has the standby take its place."""
        stop_postgres(self._folder)
        with self._connect(self._hosts[1]) as standby:
            # It has no standby of its own to wait for.
            standby.execute("ALTER SYSTEM RESET synchronous_standby_names")
            standby.execute("SELECT pg_promote()")

    def end(self) -> None:
        """Kills both."""
        if self._process:
            self._process.kill()
            self._process.wait()
        stop_postgres(self._folder)

    def _start_standby(self) -> None:
        primary, standby = self._hosts
        Path(standby).mkdir(mode=0o700)
        if self._user is not None:
            os.chown(standby, self._user, -1)
        source = f"host={primary} user=postgres application_name=standby"
        self._run("pg_basebackup", "--pgdata", standby, "--write-recovery-conf", "--dbname", source)
        # The lock of the primary's socket, which is in its folder.
        Path(standby, ".s.PGSQL.5432.lock").unlink(missing_ok=True)
        with Path(standby, "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", standby, "-k", standby, "-h", ""],
                stdout=log,
                stderr=log,
                user=self._user,
                preexec_fn=die_with_parent,
            )
        with self._connect(primary) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            connection.execute("SELECT pg_reload_conf()")
            synchronous = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"
            wait_until(lambda: bool(connection.execute(synchronous).fetchall()))

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            capture_output=True,
            user=self._user,
        )

    @staticmethod
    def _connect(host: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(f"host={host} user=postgres dbname=postgres", autocommit=True)


@contextmanager
def pair() -> Iterator[Pair]:
    """Yields a primary with a standby, which are killed at the end of the `with` block."""
    servers = Pair()
    try:
        yield servers
    finally:
        servers.end()
