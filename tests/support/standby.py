"""A PostgreSQL primary with a standby, which takes its place or answers reads."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.support import postgres
from tests.support.processes import die_with_parent
from tests.support.run_cleanup import POSTGRES, stop_postgres
from tests.support.server_process import wait_until

_PRIMARY = "fsync = off\nmax_connections = 200\n"


class Pair:
    """A primary, and a standby of it, of which the primary may be lost once."""

    def __init__(self, *, is_synchronous: bool) -> None:
        self._folder = postgres.own_folder()
        self._primary = postgres.Server(postgres.start(self._folder, _PRIMARY))
        self._hosts = [str(self._folder / POSTGRES), str(self._folder / "standby")]
        # The standby runs as the user of the primary, and the same program.
        self._user = Path(self._hosts[0]).stat().st_uid if os.geteuid() == 0 else None
        program, *_ = Path(self._hosts[0], "postmaster.opts").read_text().split()
        self._programs = Path(program).parent
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._make_standby()
            self.start_standby()
            if is_synchronous:
                self._await_commits()
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

    def replica(self, url: str) -> str:
        """The URL by which a database is read on the standby."""
        name = conninfo_to_dict(url)["dbname"]
        return f"postgresql://?user=postgres&dbname={name}&host={self._hosts[1]}"

    def on_primary(self, statement: str) -> list[tuple[object, ...]]:
        """Runs a statement on the primary, and returns the rows of its answer."""
        return self._ask(self._hosts[0], statement)

    def on_standby(self, statement: str) -> list[tuple[object, ...]]:
        """Runs a statement on the standby, and returns the rows of its answer."""
        return self._ask(self._hosts[1], statement)

    def await_replay(self) -> None:
        """Waits until the standby has all that is committed now."""
        [[position]] = self.on_primary("SELECT pg_current_wal_insert_lsn()")
        has_all = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        wait_until(lambda: self.on_standby(has_all) == [(True,)])

    @contextmanager
    def paused_replay(self) -> Iterator[None]:
        """Has the standby stay as it is during a `with` block."""
        self.on_standby("SELECT pg_wal_replay_pause()")
        wait_until(
            lambda: self.on_standby("SELECT pg_get_wal_replay_pause_state()") == [("paused",)]
        )
        try:
            yield
        finally:
            self.on_standby("SELECT pg_wal_replay_resume()")

    def kill_standby(self) -> None:
        """Kills the standby, as a machine that is lost."""
        if self._process:
            # PostgreSQL's immediate shutdown, since processes of one that is killed go on.
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()

    @contextmanager
    def stopped_standby(self) -> Iterator[None]:
        """Has no process of the standby run during a `with` block: nothing answers, or refuses."""
        postmaster = psutil.Process(self._process.pid if self._process else None)
        stopped = [postmaster, *postmaster.children(recursive=True)]
        for each in stopped:
            each.suspend()
        try:
            yield
        finally:
            for each in stopped:
                with suppress(psutil.NoSuchProcess):
                    each.resume()

    def fail_over(self) -> None:
        """Kills the primary, and has the standby take its place."""
        stop_postgres(self._folder)
        with self._connect(self._hosts[1]) as standby:
            # It has no standby of its own to wait for.
            standby.execute("ALTER SYSTEM RESET synchronous_standby_names")
            standby.execute("SELECT pg_promote()")

    def end(self) -> None:
        """Kills both."""
        self.kill_standby()
        stop_postgres(self._folder)

    def start_standby(self) -> None:
        """Starts the standby, which goes on where it was, and waits until it answers."""
        standby = self._hosts[1]
        with Path(standby, "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", standby, "-k", standby, "-h", ""],
                stdout=log,
                stderr=log,
                user=self._user,
                preexec_fn=die_with_parent,
            )
        wait_until(self._standby_answers)

    def _make_standby(self) -> None:
        primary, standby = self._hosts
        Path(standby).mkdir(mode=0o700)
        if self._user is not None:
            os.chown(standby, self._user, -1)
        source = f"host={primary} user=postgres application_name=standby"
        self._run("pg_basebackup", "--pgdata", standby, "--write-recovery-conf", "--dbname", source)
        # The lock of the primary's socket, which is in its folder.
        Path(standby, ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def _standby_answers(self) -> bool:
        try:
            return bool(self.on_standby("SELECT 1"))
        except psycopg.OperationalError:
            return False

    def _await_commits(self) -> None:
        """Has commits wait for the standby."""
        with self._connect(self._hosts[0]) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            connection.execute("SELECT pg_reload_conf()")
            synchronous = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"
            wait_until(lambda: bool(connection.execute(synchronous).fetchall()))

    def _ask(self, host: str, statement: str) -> list[tuple[object, ...]]:
        with self._connect(host) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

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
def pair(*, is_synchronous: bool = True) -> Iterator[Pair]:
    """Yields a primary with a standby, which are killed at the end of the `with` block.

    The standby confirms every commit, unless it is not synchronous.
    """
    servers = Pair(is_synchronous=is_synchronous)
    try:
        yield servers
    finally:
        servers.end()
