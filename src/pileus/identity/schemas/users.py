"""Users and groups."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.identity.schemas.fields import Id, Name, ShortName, Text, self_link
from pileus.identity.store.records import Group, User
from pileus.kernel.clock import to_iso_micro

Password = Annotated[str, Meta(max_length=4096)]


class UserOptions(Struct, forbid_unknown_fields=True):
    """What holds for one user; null takes an option away."""

    ignore_change_password_upon_first_use: bool | None = None
    ignore_password_expiry: bool | None = None
    ignore_lockout_failure_attempts: bool | None = None
    ignore_user_inactivity: bool | None = None
    lock_password: bool | None = None
    immutable: bool | None = None
    multi_factor_auth_enabled: bool | None = None
    multi_factor_auth_rules: list[Annotated[list[str], Meta(min_length=1)]] | None = None


def _require_options(options: dict[str, Any] | UnsetType) -> None:
    if isinstance(options, dict):
        try:
            msgspec.convert(options, UserOptions)
        except msgspec.ValidationError as error:
            raise ValueError(f"options: {error}") from error


class UserCreate(Struct, kw_only=True):
    """A user to make."""

    name: Name
    domain_id: Id | UnsetType | None = UNSET
    password: Password | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    default_project_id: Id | UnsetType | None = UNSET
    options: dict[str, Any] | UnsetType = UNSET

    def __post_init__(self) -> None:
        _require_options(self.options)


class UserCreateBody(Struct):
    """The body of a create."""

    user: UserCreate


class UserUpdate(Struct, kw_only=True):
    """Changes of a user."""

    name: Name | UnsetType = UNSET
    domain_id: Id | UnsetType = UNSET
    password: Password | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    default_project_id: Id | UnsetType | None = UNSET
    options: dict[str, Any] | UnsetType = UNSET

    def __post_init__(self) -> None:
        _require_options(self.options)


class UserUpdateBody(Struct):
    """The body of an update."""

    user: UserUpdate


class PasswordChange(Struct):
    """A new password, and the one to show that one may."""

    password: Password
    original_password: Password


class PasswordChangeBody(Struct):
    """The body of a change of password."""

    user: PasswordChange


class GroupCreate(Struct, kw_only=True):
    """A group to make."""

    name: ShortName
    domain_id: Id | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET


class GroupCreateBody(Struct):
    """The body of a create."""

    group: GroupCreate


class GroupUpdate(Struct, kw_only=True):
    """Changes of a group."""

    name: ShortName | UnsetType = UNSET
    domain_id: Id | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET


class GroupUpdateBody(Struct):
    """The body of an update."""

    group: GroupUpdate


def show_user(user: User, base_url: str) -> dict[str, Any]:
    """Return a user as shown."""
    shown = {
        **user.extra,
        "id": user.id,
        "name": user.name,
        "domain_id": user.domain_id,
        "enabled": user.enabled,
        "password_expires_at": None if user.password_expires_at is None else to_iso_micro(user.password_expires_at),
        "options": user.options,
        "links": self_link(base_url, f"users/{user.id}"),
    }
    return shown | ({"default_project_id": user.default_project_id} if user.default_project_id else {})


def show_group(group: Group, base_url: str) -> dict[str, Any]:
    """Return a group as shown."""
    return {
        **group.extra,
        "id": group.id,
        "name": group.name,
        "domain_id": group.domain_id,
        "description": group.description,
        "links": self_link(base_url, f"groups/{group.id}"),
    }
