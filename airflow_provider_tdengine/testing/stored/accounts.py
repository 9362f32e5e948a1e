"""Users: their passwords, and what they may do."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from airflow_provider_tdengine.testing.generations import Generation


@dataclass(frozen=True)
class Right:
    """What 3.x has granted to a user.

    Parameters:
        right: "read" or "write".
        database: a database.
        table: a super table or normal table; empty for all of the database.
        condition: on tags, empty for all subtables; such a right is listed and nothing else.
    """

    right: str
    database: str
    table: str = ""
    condition: str = ""


@dataclass
class Account:
    """A user.

    Parameters:
        name: in lower case.
        password: in clear text; this is a box for tests.
        privilege: "super", or "writable" and "readable" of 2.x.
        create_databases: 3.x's CREATEDB.
        sysinfo: 3.x's SYSINFO: may see how the server is set up.
        grants: what 3.x has granted.
    """

    name: str
    password: str
    privilege: str
    create_databases: bool = False
    sysinfo: bool = True
    grants: list[Right] = field(default_factory=list)
    created: int = field(default_factory=lambda: time.time_ns() // 10**6)


class Accounts:
    """The users of a box.

    Parameters:
        generation: whose rules.
        password: of root.
        checked: rights are checked, as 2.x and the enterprise edition of 3.x do; not only listed.
    """

    def __init__(self, generation: Generation, password: str, checked: bool = True) -> None:
        self.generation = generation
        self.checked = checked
        self.users = {"root": Account("root", password, "super", create_databases=True)}

    def find(self, name: str) -> Account:
        """A user by name.

        Raises:
            BoxError: there is none.
        """
        if name not in self.users:
            raise self.generation.errors("user_missing")
        return self.users[name]

    def login(self, name: str, password: str) -> None:
        """Check a password.

        Raises:
            BoxError: wrong user or password.
        """
        account = self.users.get(name)
        if account is None or account.password != password:
            raise self.generation.errors("wrong_password")

    def create(self, name: str, password: str, create_databases: bool, sysinfo: bool = True) -> None:
        """Add a user, who may write in 2.x and do nothing yet in 3.x.

        Raises:
            BoxError: there is one of that name.
        """
        if name in self.users:
            raise self.generation.errors("user_exists")
        self.users[name] = Account(name, password, "writable", create_databases, sysinfo)

    def alter(
        self,
        name: str,
        password: str | None,
        privilege: str | None,
        create_databases: bool | None,
        sysinfo: bool | None = None,
    ) -> None:
        """Change what is not None.

        Raises:
            BoxError: there is no such user.
        """
        account = self.find(name)
        if password is not None:
            account.password = password
        if privilege is not None:
            account.privilege = privilege
        if create_databases is not None:
            account.create_databases = create_databases
        if sysinfo is not None:
            account.sysinfo = sysinfo

    def drop(self, name: str) -> None:
        """Remove a user.

        Raises:
            BoxError: there is none, or it is root.
        """
        if self.find(name).privilege == "super":
            raise self.generation.errors("denied_administration")
        del self.users[name]

    def is_super(self, name: str) -> bool:
        return self.find(name).privilege == "super"

    def may(self, name: str, right: str, database: str) -> bool:
        """True if a user may "read" or "write" in a database."""
        account = self.find(name)
        if account.privilege == "super" or not self.checked:
            return True
        if self.generation.number == 2:
            return right == "read" or account.privilege == "writable"
        return Right(right, database) in account.grants

    def may_create_databases(self, name: str) -> bool:
        account = self.find(name)
        return (
            account.create_databases
            or not self.checked
            or (self.generation.number == 2 and account.privilege == "writable")
        )
