"""What anyone may set of an image, and of which kind it must be.  Pure."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.image.formats import ContainerFormat, DiskFormat

IMAGE_ID = r"^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"

Name = Annotated[str, Meta(max_length=255)]
Count = Annotated[int, Meta(le=2**31 - 1)]
Visibility = Literal["community", "public", "private", "shared"]


class BaseFields(Struct, kw_only=True):
    """What anyone may set of an image; whatever else a body holds are properties."""

    name: Name | UnsetType | None = UNSET
    visibility: Visibility | UnsetType = UNSET
    protected: bool | UnsetType = UNSET
    os_hidden: bool | UnsetType = UNSET
    owner: Name | UnsetType | None = UNSET
    disk_format: DiskFormat | UnsetType | None = UNSET
    container_format: ContainerFormat | UnsetType | None = UNSET
    min_disk: Count | UnsetType = UNSET
    min_ram: Count | UnsetType = UNSET
    tags: list[Name] | UnsetType = UNSET


class ImageCreate(BaseFields, kw_only=True):
    """The body of POST /v2/images."""

    id: Annotated[str, Meta(pattern=IMAGE_ID)] | UnsetType = UNSET
