"""The errors that the box answers, by what went wrong; each generation words them in its own way."""

from __future__ import annotations


class BoxError(Exception):
    """What the box answers instead of a result.

    Parameters:
        code: TDengine's error code.
        message: TDengine's words for it.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} [{code}]")
        self.code = code
        self.message = message


class ErrorTable:
    """The errors of one generation, by name.

    Parameters:
        entries: name -> (code, text); the text may hold `{placeholders}`.
    """

    def __init__(self, entries: dict[str, tuple[int, str]]) -> None:
        self._entries = entries

    def __or__(self, other: dict[str, tuple[int, str]]) -> ErrorTable:
        """The same errors, some of them said otherwise."""
        return ErrorTable(self._entries | other)

    def __call__(self, name: str, /, **values: object) -> BoxError:
        """The error of that name, its placeholders filled."""
        code, text = self._entries[name]
        return BoxError(code, text.format(**values))


_BOTH: dict[str, tuple[int, str]] = {
    "database_exists": (0x0381, "Database already exists"),
    "out_of_keep": (0x060B, "Timestamp data out of range"),
    "too_long_statement": (0x0219, "SQL statement too long"),
    "denied_administration": (0x0303, "Insufficient privilege for operation"),
    "no_login": (0x1105, "no auth info input"),
    "user_exists": (0x0351, "User already exists"),
    "user_missing": (0x0350, "User not exist"),
    "bad_block": (0x0118, "Invalid parameters: {why}"),
    "no_result": (0xFFFF, "result {id} is not there"),
    "not_connected": (0xFFFF, "server not connected"),
}

ERRORS_2 = ErrorTable(
    _BOTH
    | {
        "syntax": (0x0216, 'syntax error near "{near}"'),
        "unknown": (0x0200, "invalid operation: TDengine in a box does not know: {what}"),
        "wrong_password": (0xFFFF, "factory is not able to fill the pool: [0x20b] invalid connection"),
        "denied": (0x0303, "Insufficient privilege for operation"),
        "denied_write": (0x0214, "No write permission"),
        "no_database": (0x0380, "Database not specified or available"),
        "database_missing": (0x0383, "Invalid database name"),
        "query_database_missing": (0x0362, "Table does not exist"),
        "quoted_database": (0x0380, "Database not specified or available"),
        "table_exists": (0x0360, "Table already exists"),
        "stable_exists": (0x0360, "Table already exists"),
        "table_missing": (0x0362, "Table does not exist"),
        "query_table_missing": (0x0362, "Table does not exist"),
        "no_super_table": (0x0200, "invalid operation: not super table"),
        "bad_table_name": (0x0200, "invalid operation: invalid table name"),
        "column_missing": (0x0200, "invalid operation: invalid column name"),
        "insert_column_missing": (0x0200, "invalid operation: '{name}' (invalid column/tag name)"),
        "alter_column_missing": (0x0200, "invalid operation: invalid column name"),
        "column_exists": (0x0200, "invalid operation: duplicated column names"),
        "tag_exists": (0x0200, "invalid operation: duplicated column names"),
        "narrower": (0x021F, "Invalid column length"),
        "primary_key_change": (0x0200, "invalid operation: cannot drop or change the first column"),
        "too_long": (0x0216, "invalid operation: '{value}' (string data overflow)"),
        "bad_value": (0x0216, "invalid operation: '{value}' ({why})"),
        "value_count": (0x0216, 'syntax error near "{near}" (values and columns do not match)'),
        "tag_count": (0x0200, "invalid operation: tags number not matched"),
        "function": (0x0200, "invalid operation: invalid function"),
        "parameters": (0x0200, "invalid operation: invalid parameters"),
        "bad_expression": (0x0200, "invalid operation: {why}"),
    }
)

ERRORS_3 = ErrorTable(
    _BOTH
    | {
        "syntax": (0x2600, 'syntax error near "{near}"'),
        "unknown": (0x2600, "syntax error: TDengine in a box does not know: {what}"),
        "wrong_password": (0x0357, "Authentication failure"),
        "denied": (0x2644, "Permission denied or target object not exist"),
        "denied_write": (0x2644, "Permission denied or target object not exist"),
        "no_database": (0x2616, "Database not specified"),
        "topic_database_missing": (0x0380, "Database not specified or available"),
        "topic_without_log": (0x038C, "WAL retention period is zero"),
        "topic_exists": (0x03E0, "Topic already exists"),
        "topic_missing": (0x03E1, "Topic not exist"),
        "topic_in_use": (0x03EB, "Topic subscribed cannot be dropped"),
        "group_in_use": (0x03EC, "Consumer group being used by some consumer"),
        "database_has_topic": (0x03ED, "Topic must be dropped first"),
        "not_subscribed": (0xFFFF, "tmq not init"),
        "subscribed_already": (0xFFFF, "tmq should have unsubscribed first"),
        "bad_consumer_option": (0xFFFF, "fail"),
        "no_consumer": (0xFFFF, "new consumer return nil"),
        "consumer_refused": (0xFFFF, "new consumer return nil"),
        "no_message": (0xFFFF, "message is nil"),
        "no_message_to_fetch": (0xFFFF, "message ID are not equal"),
        "no_message_of_that_number": (0xFFFF, "message ID is not equal"),
        "offset_out_of_range": (0x4007, "Offset out of range"),
        "vgroup_of_others": (0x4008, "VgId does not belong to this consumer"),
        "topic_of_others": (0x4009, "Topic does not belong to this consumer"),
        "nothing_altered": (0x038A, "Database options not changed"),
        "database_missing": (0x0388, "Database not exist"),
        "query_database_missing": (0x2662, "Fail to get table info, error: Database not exist"),
        "table_exists": (0x0603, "Table already exists"),
        "stable_exists": (0x0360, "STable already exists"),
        "table_missing": (0x2603, "Table does not exist"),
        "query_table_missing": (0x2662, "Fail to get table info, error: Table does not exist"),
        "no_super_table": (0x2603, "Table does not exist: not a super table"),
        "dot_in_name": (0x2617, "The table name cannot contain '.'"),
        "column_missing": (0x2602, "Invalid column name: {name}"),
        "insert_column_missing": (0x2602, "Invalid column name: {name}"),
        "alter_column_missing": (0x036C, "Column does not exist"),
        "column_exists": (0x036B, "Column already exists"),
        "tag_exists": (0x0369, "Tag already exists"),
        "narrower": (
            0x264B,
            "Only varbinary/binary/nchar/geometry column length could be modified, "
            "and the length can only be increased, not decreased",
        ),
        "primary_key_change": (0x264B, "The primary key cannot be dropped or changed"),
        "too_long": (0x2653, "Value too long for column/tag: {column}"),
        "bad_value": (0x0216, "syntax error near '{near}' ({why})"),
        "value_count": (0x0216, "syntax error near '{near}' (illegal number of values)"),
        "decimal_overflow": (0x013D, "Decimal value overflow"),
        "decimal_tag": (0x2602, "Decimal type is not allowed for tag"),
        "stt_trigger": (0x2619, "Invalid option sstTrigger: {value}, valid range: [1, 1]"),
        "long_duration": (0x2619, "Invalid parameters, should be s3_keeplocal >= 3 * duration"),
        "tag_count": (0x260D, "Tags number not matched"),
        "function": (0x2803, "Invalid function name: {name}"),
        "parameters": (0x2801, "Invalid parameters: {name}"),
        "json_group": (0x072E, "Json not support in group/partition by"),
        "group_and_window": (0x2624, "GROUP BY and WINDOW-clause can't be used together"),
        "bad_expression": (0x2600, "syntax error: {why}"),
    }
)

_INVALID = (0x0118, "Invalid parameters")
_NO_MESSAGE = (0xFFFF, "message is nil")

ERRORS_30 = ERRORS_3 | {
    "no_message_to_fetch": _NO_MESSAGE,
    "no_message_of_that_number": _NO_MESSAGE,
    "offset_out_of_range": _INVALID,
    "vgroup_of_others": _INVALID,
    "topic_of_others": _INVALID,
}
"""What 3.0 says of subscriptions (measured 3.0.5.2)."""

ERRORS_335 = ERRORS_3 | {
    "query_database_missing": (0x0388, "Fail to get table info, error: Database not exist"),
    "query_table_missing": (0x2603, "Fail to get table info, error: Table does not exist"),
    "topic_database_missing": (0x0388, "Database not exist"),
    "consumer_refused": (0xFFFF, "init tscObj failed"),
}
"""What 3.3.5 says with other codes (measured 3.3.5.2)."""
