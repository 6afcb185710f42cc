"""`/models`: what there is, and what serves."""

from __future__ import annotations

from fastapi import APIRouter, Request

from aihub.api.bodies import JsonRoute
from aihub.api.conditional import tagged
from aihub.api.context import ModelsReader
from aihub.api.pages import Cursor, Limit, Page, cut, decode_name
from aihub.api.problems import documented
from aihub.api.views import ModelName, ModelView
from aihub.errors import NotFoundError
from aihub.store import deployments as deployment_rows
from aihub.store import models as model_rows
from aihub.store import rollouts as rollout_rows

router = APIRouter(route_class=JsonRoute, tags=["models"])
KIND = "models"


@router.get("/models", summary="List the models", responses=documented())
def list_models(who: ModelsReader, limit: Limit = 50, cursor: Cursor = None) -> Page[ModelView]:
    """Models in the order of their names, each with what of it serves and what runs beside that."""
    after = decode_name(KIND, cursor)
    with who.reading() as connection:
        rows = model_rows.page_of_models(connection, tenant=who.tenant, after=after, limit=limit + 1)
        rows, following = cut(KIND, rows, limit, lambda row: str(row["name"]))
        ids = [row["id"] for row in rows]
        champions = deployment_rows.champions_of(connection, tenant=who.tenant, model_ids=ids)
        beside = rollout_rows.select_active(connection, tenant=who.tenant, model_ids=ids)
    return Page(items=[ModelView.of(row, champions, beside) for row in rows], next=following)


@router.get(
    "/models/{name}",
    summary="Look at a model",
    response_model=ModelView,
    responses=documented(NotFoundError),
)
def show_model(request: Request, name: ModelName, who: ModelsReader) -> object:
    """One model, with what of it serves and what runs beside that."""
    with who.reading() as connection:
        rows = model_rows.page_of_models(connection, tenant=who.tenant, name=name)
        if not rows:
            raise NotFoundError("model", name, model_rows.list_models(connection, tenant=who.tenant))
        ids = [rows[0]["id"]]
        champions = deployment_rows.champions_of(connection, tenant=who.tenant, model_ids=ids)
        beside = rollout_rows.select_active(connection, tenant=who.tenant, model_ids=ids)
    return tagged(request, ModelView.of(rows[0], champions, beside))
