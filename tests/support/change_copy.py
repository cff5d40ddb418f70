"""A copy of a tenant's customers that follows their changes."""

from twc_customer_server.storage.changes import Change, ChangePlace


class ChangeCopy:
    """Keeps what a follower of changes makes of them: the live customers, encoded."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.place = ChangePlace()

    def apply(self, changes: list[Change]) -> None:
        """Makes changes, which must be in order, and goes on behind them."""
        for change in changes:
            assert change.place > self.place
            self.place = change.place
            if change.deleted_at is not None:
                self.bodies.pop(change.place.id, None)
            else:
                self.bodies[change.place.id] = change.body
