"""What can go wrong with a server: one exception class a kind of failure, and the table of error codes.

Sources of the codes: TDengine `taoserror.h` of 2.4 and 3.3, and the recordings in `tests/contract/`.
"""

from __future__ import annotations

_SHOWN = 300


def shorten(statement: str, limit: int = _SHOWN) -> str:
    """A statement as an error shows it: one line, at most `limit` characters."""
    line = " ".join(statement[: limit * 2].split())
    return line if len(line) <= limit and len(statement) <= limit * 2 else f"{line[:limit]}… ({len(statement)} characters)"


class TDengineError(Exception):
    """Something that a server said, or did not say.

    Parameters:
        message: one sentence for people.
        code: the server's error code, None where there is none.
        statement: the SQL that failed, shortened when shown.
    """

    retryable = False

    def __init__(self, message: str, *, code: int | None = None, statement: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.statement = statement

    def __str__(self) -> str:
        code = "" if self.code is None else f" [code {self.code}, 0x{self.code & 0xFFFF:04X}]"
        statement = "" if self.statement is None else f" in: {shorten(self.statement)}"
        return f"{self.message}{code}{statement}"


class AddressError(TDengineError):
    """An address or connection setting that cannot be right, found before anything is sent."""


class ConnectionFailed(TDengineError):
    """No connection, a connection that was lost, or a peer that does not speak the protocol."""

    retryable = True


class CertificateRejected(ConnectionFailed):
    """The server's TLS certificate was not trusted."""

    retryable = False


class Timeout(ConnectionFailed):
    """The server did not answer in time."""


class AuthenticationFailed(TDengineError):
    """Wrong user, password or token."""


class PermissionDenied(TDengineError):
    """The account may not do this."""


class UnsupportedServer(TDengineError):
    """The server is older than this package supports, or lacks something that is needed."""


class ServerBusy(TDengineError):
    """The server is there but cannot do it now."""

    retryable = True


class DatabaseMissing(TDengineError):
    """There is no such database."""


class TableMissing(TDengineError):
    """There is no such table or super table."""


class AlreadyExists(TDengineError):
    """A database, table or column of that name is there already."""


class StatementRejected(TDengineError):
    """The server does not accept the statement."""


class RowRejected(TDengineError):
    """The server does not accept a value: outside KEEP, too long, of another type."""


class BlockError(TDengineError):
    """Bytes that are no block of rows: cut, damaged or of an unknown format."""


class IncompleteResult(TDengineError):
    """Fewer rows arrived than the server said there are."""

    retryable = True


CODES: dict[int, type[TDengineError]] = {
    # Login. 2.x adapters answer 65535 for a wrong password; see error_for().
    0x0357: AuthenticationFailed,  # 855 authentication failure
    0x0356: AuthenticationFailed,  # invalid user
    0x020A: ConnectionFailed,  # disconnected
    0x020B: ConnectionFailed,  # 523 unable to establish connection
    0x0350: AuthenticationFailed,  # user does not exist (3.x), "user already exist" is 0x0351
    0x1105: AuthenticationFailed,  # 4357 no auth info input (adapter)
    # Rights
    0x0303: PermissionDenied,  # insufficient privilege for operation (3.x: Insufficient privilege)
    0x2644: PermissionDenied,  # 9796 permission denied or target object not exist (3.x parser)
    0x0606: PermissionDenied,  # no write permission (2.x)
    0x0508: PermissionDenied,  # vnode: no write auth (2.x)
    # The server is not ready, or lost somebody on the way
    0x0001: ServerBusy,  # action in progress
    0x0002: ServerBusy,  # authentication required (2.x, while starting)
    0x000B: ConnectionFailed,  # 11 unable to establish connection
    0x0018: ConnectionFailed,  # conn is broken (3.x)
    0x0019: ServerBusy,  # conn error / rpc timeout (3.x)
    0x0020: ServerBusy,  # rpc max sessions (3.x)
    0x0217: ServerBusy,  # query cancelled or no memory (2.x)
    0x0312: ServerBusy,  # mnode not ready (2.x)
    0x0320: ServerBusy,  # object is being created (3.x)
    0x0369: ServerBusy,  # table is being created
    0x0503: ServerBusy,  # vnode is not ready (2.x)
    0x0507: ServerBusy,  # vnode missing data file / no disk permission (2.x)
    0x050B: ServerBusy,  # vnode is closing, dropping, updating (2.x)
    0x090C: ServerBusy,  # sync: not the leader
    0x0914: ServerBusy,  # sync: leader is restoring
    0x0911: ServerBusy,  # sync: not ready to propose
    0x03D3: ServerBusy,  # conflict transaction not completed
    0x2501: ServerBusy,  # scheduler: job not running / dropped
    # Objects
    0x0381: AlreadyExists,  # 897 database already exists
    0x0360: AlreadyExists,  # 864 table / super table already exists
    0x0603: AlreadyExists,  # 1539 table already exists (3.x vnode)
    0x036B: AlreadyExists,  # 875 column already exists
    0x0369 + 0x10000: AlreadyExists,  # never sent; keeps the tag code's place in taoserror.h visible
    0x0383: DatabaseMissing,  # invalid database name (2.x)
    0x0388: DatabaseMissing,  # database not exist (3.x)
    0x0380: DatabaseMissing,  # 896 database not specified or available
    0x0362: TableMissing,  # 866 table does not exist
    0x0618: TableMissing,  # table not exist (3.x vnode)
    0x2603: TableMissing,  # 9731 table does not exist (3.x parser)
    0x2662: TableMissing,  # 9826 fail to get table info (3.x parser), or its database; see error_for()
    # Values
    0x060B: RowRejected,  # 1547 timestamp data out of range
    0x2653: RowRejected,  # 9811 value too long for column or tag
    # Statements
    0x0200: StatementRejected,  # 512 invalid operation (2.x)
    0x0216: StatementRejected,  # 534 syntax error (2.x), bad value in INSERT (both)
    0x2600: StatementRejected,  # 9728 syntax error (3.x)
    0x2602: StatementRejected,  # 9730 invalid column name (3.x)
}
