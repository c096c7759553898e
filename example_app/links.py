"""The links: anybody who is signed in reads, writers save, people remove their own and admins anybody's."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Path
from pydantic import BaseModel, Field, HttpUrl

from example_app.auth import CurrentUser, Remover, Writer, auth
from example_app.tables import Link, Tag

# The names of the functions are the operation ids, so that generated clients have readable methods.
router = APIRouter(
    prefix="/links", tags=["links"], generate_unique_id_function=lambda route: route.name
)
NO_SUCH_LINK: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "No such link."}}

# What the columns can hold, so that bad input is refused before the database sees it.
LinkId = Annotated[int, Path(ge=1, le=2**31 - 1)]
TagName = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[\w-]+$")]


class LinkIn(BaseModel):
    """A link to save."""

    url: HttpUrl
    title: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
    tags: Annotated[list[TagName], Field(max_length=10)] = []


class LinkOut(BaseModel):
    """A saved link."""

    id: int
    url: str
    title: str
    saved_by: str
    saved_at: datetime
    tags: list[str]


@router.get("")
async def list_links(_: CurrentUser, tag: TagName | None = None) -> list[LinkOut]:
    """List the newest links, all of them or those with a tag."""
    query = Link.select(
        Link.id, Link.url, Link.title, Link.saved_at, Link.saved_by._.username.as_alias("saved_by")
    )
    if tag is not None:
        tagged = await Tag.select(Tag.link).where(Tag.name == tag).output(as_list=True)
        query = query.where(Link.id.is_in(tagged or [0]))
    rows = await query.order_by(Link.id, ascending=False).limit(50)
    found = await Tag.select(Tag.link, Tag.name).where(
        Tag.link.is_in([row["id"] for row in rows] or [0])
    )
    return [
        LinkOut(**row, tags=[one["name"] for one in found if one["link"] == row["id"]])
        for row in rows
    ]


@router.post("", status_code=201)
async def save_link(user: Writer, link: LinkIn) -> LinkOut:
    """Save a link."""
    row = Link(url=str(link.url), title=link.title, saved_by=user.id, saved_at=auth.clock())
    await row.save()
    tags = list(dict.fromkeys(link.tags))
    if tags:
        await Tag.insert(*(Tag(link=row.id, name=name) for name in tags))
    return LinkOut(
        id=row.id,
        url=row.url,
        title=row.title,
        saved_by=user.username,
        saved_at=row.saved_at,
        tags=tags,
    )


@router.delete("/{link_id}", status_code=204, responses=NO_SUCH_LINK)
async def remove_own_link(user: Writer, link_id: LinkId) -> None:
    """Remove a link of one's own."""
    gone = (
        await Link.delete().where(Link.id == link_id, Link.saved_by == user.id).returning(Link.id)
    )
    if not gone:
        raise HTTPException(404, "There is no such link of yours.")


@router.delete("/{link_id}/by-admin", status_code=204, responses=NO_SUCH_LINK)
async def remove_any_link(_: Remover, link_id: LinkId) -> None:
    """Remove anybody's link. For admins."""
    if not await Link.delete().where(Link.id == link_id).returning(Link.id):
        raise HTTPException(404, "There is no such link.")
