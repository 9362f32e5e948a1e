"""What can go wrong with a server: one exception class a kind of failure, and the table of error codes.

Sources of the codes: TDengine `taoserror.h` of 2.4 and 3.3, and the recordings in `tests/contract/`.
"""

from __future__ import annotations

import re

from airflow_provider_tdengine.client.secrets import masked

_SHOWN = 300

# CREATE USER and ALTER USER carry a password; one that the cut leaves without its closing quote counts, too.
_PASSWORD = re.compile(r"""(\bPASS\s+)(?:'(?:\\.|[^'\\])*(?:'|$)|"(?:\\.|[^"\\])*(?:"|$))""", re.IGNORECASE)


def shorten(statement: str, limit: int = _SHOWN) -> str:
    """A statement as an error shows it: one line, at most `limit` characters, printable, without passwords."""
    line = printable(_PASSWORD.sub(r"\1'…'", " ".join(statement[: limit * 2].split())))
    return (
        line if len(line) <= limit and len(statement) <= limit * 2 else f"{line[:limit]}… ({len(statement)} characters)"
    )


def printable(text: str) -> str:
    """The same text, which any file and terminal of UTF-8 takes: halves of characters become question marks."""
    return text.encode("utf-8", "replace").decode()


class TDengineError(Exception):
    """Something that a server said, or did not say.

    Parameters:
        message: one sentence for people; passwords and tokens of addresses in it are masked.
        code: the server's error code, None where there is none.
        statement: the SQL that failed, shortened when shown.
    """

    retryable = False
    exhausted = False
    """Whether it was retried for as long as that makes sense."""

    def __init__(self, message: str, *, code: int | None = None, statement: str | None = None) -> None:
        message = masked(message)
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


class TopicMissing(TDengineError):
    """There is no such topic."""


class PositionGone(TDengineError):
    """A topic's log has not all that comes behind a position: it was kept for too short a time, or is another's."""


class AlreadyExists(TDengineError):
    """A database, table, column or topic of that name is there already."""


class StatementRejected(TDengineError):
    """The server does not accept the statement."""


class UnspeakableName(TDengineError, ValueError):
    """A name that cannot be said in SQL, found before anything is sent."""


class RowRejected(TDengineError):
    """The server does not accept a value: outside KEEP, too long, of another type."""


class AnswerError(TDengineError):
    """An answer that is none of TDengine's: a part of it is missing, or of another kind."""


class BlockError(TDengineError):
    """Bytes that are no block of rows: cut, damaged or of an unknown format."""


class StructureChanged(TDengineError):
    """A table has other columns than when it was described."""


class IncompleteResult(TDengineError):
    """Fewer rows arrived than the server said there are."""

    retryable = True


SYNTAX_ERROR = 0x2600
"""9728, of 3.x: a word that this version does not know, or in a place where none may stand."""

CODES: dict[int, type[TDengineError]] = {
    # Login and rights
    0x0003: AuthenticationFailed,  # authentication failure
    0x0351: AuthenticationFailed,  # invalid user
    0x0357: AuthenticationFailed,  # 855 authentication failure
    0x0358: AuthenticationFailed,  # user not available
    0x1105: AuthenticationFailed,  # 4357 no auth info input (adapter)
    0x0214: PermissionDenied,  # no write permission (client)
    0x0303: PermissionDenied,  # insufficient privilege for operation
    0x0315: PermissionDenied,  # user is disabled
    0x0512: PermissionDenied,  # database write operation denied (vnode)
    0x2644: PermissionDenied,  # 9796 permission denied or target object not exist
    0xFFFD: PermissionDenied,  # adapter: it is set to reject such statements (by its code of 3.4)
    # Nobody there, or lost on the way
    0x000B: ConnectionFailed,  # 11 unable to establish connection
    0x0015: ConnectionFailed,  # unable to resolve FQDN; a busy 2.6.0.66 says it, too
    0x0018: ConnectionFailed,  # connection broken
    0x0019: ConnectionFailed,  # rpc time-out
    0x0020: ConnectionFailed,  # some node is not connected
    0x0021: ConnectionFailed,  # some node's connection broke
    0x0023: ConnectionFailed,  # network error
    0x020B: ConnectionFailed,  # 523 invalid connection
    0x0213: ConnectionFailed,  # disconnected from service
    0x0215: ConnectionFailed,  # connection killed
    # There, but not now
    0x0001: ServerBusy,  # action in progress
    0x0005: ServerBusy,  # system not ready
    0x0009: ServerBusy,  # processing of request timed out
    0x000A: ServerBusy,  # number of sessions reached limit (2.x)
    0x0014: ServerBusy,  # database not ready
    0x0022: ServerBusy,  # number of sessions reached limit (3.x)
    0x0024: ServerBusy,  # network busy
    0x0130: ServerBusy,  # server is starting
    0x0131: ServerBusy,  # server is stopping
    0x0212: ServerBusy,  # action in progress (client, 2.x)
    0x0301: ServerBusy,  # message is progressing (2.x)
    0x0309: ServerBusy,  # too many connections (2.x)
    0x033C: ServerBusy,  # cluster not ready (2.x)
    0x0387: ServerBusy,  # vgroup not ready, database unsynced
    0x0396: ServerBusy,  # database is being created
    0x03D3: ServerBusy,  # conflicting transaction not completed
    0x03D5: ServerBusy,  # transaction: network unavailable
    0x0500: ServerBusy,  # vnode: action in progress
    0x0503: ServerBusy,  # 1283 vnode closed or removed: lists meet it while databases are dropped (3.3.5.2)
    0x050B: ServerBusy,  # vnode: memory is full, commit failed
    0x050C: ServerBusy,  # vnode: memory is full, waiting for commit
    0x050E: ServerBusy,  # vnode: balancing
    0x0510: ServerBusy,  # vnode: closing
    0x0511: ServerBusy,  # vnode: not synced
    0x0513: ServerBusy,  # vnode: syncing
    0x0528: ServerBusy,  # vnode: no buffer available
    0x0529: ServerBusy,  # vnode: stopped
    0x0531: ServerBusy,  # vnode: query busy
    0x0707: ServerBusy,  # query not ready (2.x)
    0x0903: ServerBusy,  # sync time-out
    0x090C: ServerBusy,  # sync: not the leader
    0x0911: ServerBusy,  # sync: not ready to propose
    0x0914: ServerBusy,  # sync: restoring
    0x0916: ServerBusy,  # sync: buffer full
    0x0917: ServerBusy,  # sync: write stall
    0xFFFE: ServerBusy,  # adapter: more queries than it is set to take at a time (by its code of 3.4)
    # Objects
    0x0360: AlreadyExists,  # 864 table (2.x) or super table (3.x) already exists
    0x0369: AlreadyExists,  # tag already exists
    0x036B: AlreadyExists,  # 875 column already exists
    0x0381: AlreadyExists,  # 897 database already exists
    0x0525: AlreadyExists,  # vnode: column already exists
    0x0603: AlreadyExists,  # 1539 table already exists (3.x)
    0x0217: DatabaseMissing,  # database not specified or available
    0x0380: DatabaseMissing,  # 896 database not specified or available
    0x0383: DatabaseMissing,  # invalid database name
    0x0388: DatabaseMissing,  # database not exist (3.x)
    0x2616: DatabaseMissing,  # database not specified (3.x)
    0x0218: TableMissing,  # table does not exist (client)
    0x0362: TableMissing,  # 866 table does not exist
    0x036D: TableMissing,  # super table does not exist (2.x)
    0x0618: TableMissing,  # vnode: table not exist
    0x061A: TableMissing,  # vnode: super table not exist
    0x2603: TableMissing,  # 9731 table does not exist (3.x)
    0x2662: TableMissing,  # 9826 fail to get table info; of its database, too: see error_for()
    # Subscriptions
    0x03E0: AlreadyExists,  # 992 topic already exists
    0x03E1: TopicMissing,  # 993 topic not exist
    0x03EC: ServerBusy,  # 1004 consumer group being used by some consumer
    0x03EF: ServerBusy,  # 1007 topic being rebalanced (3.3.5.2)
    0x03EB: ServerBusy,  # 1003 topic subscribed cannot be dropped; a consumer that was cut off stays for some seconds
    0x4001: ConnectionFailed,  # 16385 consumer mismatch: the vgroup is another consumer's by now
    0x4002: ConnectionFailed,  # 16386 consumer closed
    0x4007: PositionGone,  # 16391 offset out of range
    0x4008: PositionGone,  # 16392 vgroup does not belong to this consumer
    # Values
    0x0224: RowRejected,  # value out of range
    0x060B: RowRejected,  # 1547 timestamp data out of range
    0x2653: RowRejected,  # 9811 value too long for column or tag
    # Statements
    0x0200: StatementRejected,  # 512 invalid operation (2.x)
    0x0216: StatementRejected,  # 534 syntax error (2.x), bad value in INSERT (both)
    SYNTAX_ERROR: StatementRejected,  # 9728 (3.x)
    0x2602: StatementRejected,  # 9730 invalid column name (3.x)
    0x2617: StatementRejected,  # 9751 invalid identifier (3.x)
}
"""What a code means, where it means the same in every version; all else is a StatementRejected."""

_ADAPTER_FAILED = 0xFFFF

_SAID = 1000
"""Characters of a server's message that are shown."""


def error_for(code: int, message: str, statement: str | None = None) -> TDengineError:
    """The exception for an error code that a server answered.

    Parameters:
        code: as it came, with or without the sign bits that 3.x errors carry internally.
        message: the server's words.
        statement: the SQL that was sent.
    """
    code &= 0xFFFF
    message = printable(message[:_SAID])
    kind = CODES.get(code, StatementRejected)
    if code == _ADAPTER_FAILED and "invalid connection" in message:
        # An adapter of 2.4 says this of a wrong password and of a taosd that is away (measured 2.4.0.18).
        ambiguous = AuthenticationFailed(f"The server says: {message}", code=code, statement=statement)
        ambiguous.retryable = True
        return ambiguous
    if kind is TableMissing and "Database not exist" in message:
        kind = DatabaseMissing
    return kind(f"The server says: {message}", code=code, statement=statement)
