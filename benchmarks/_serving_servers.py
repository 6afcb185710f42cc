"""The servers that benchmarks/serving.py stands beside each other; each runs in a process of its own, on loopback.

python benchmarks/_serving_servers.py {hub|asgi|fastapi|pydantic} PORT HOME
"""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path
from typing import Any

import lightgbm
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, create_model

from aihub.api.quick_http import with_route
from aihub.asgi import build
from aihub.hub import opened
from aihub.settings import Settings

NAMES = [f"x{at}" for at in range(10)]
Row: Any = create_model("Row", **dict.fromkeys(NAMES, (float, ...)))


class Body(BaseModel):
    """What the tutorial's way of writing it reads."""

    records: list[Row]


class BareCall:
    """LightGBM's single-row fast call, with nothing around it."""

    def __init__(self, text: str) -> None:
        self.booster = lightgbm.Booster(model_str=text)
        library = lightgbm.basic._LIB  # noqa: SLF001 - the C functions have no public door
        config = ctypes.c_void_p()
        handle = self.booster._handle  # noqa: SLF001 - as above
        library.LGBM_BoosterPredictForMatSingleRowFastInit(
            handle, 0, 0, -1, 1, len(NAMES), b"num_threads=1", ctypes.byref(config)
        )
        self.call, self.config = library.LGBM_BoosterPredictForMatSingleRowFast, config
        self.row, self.answer = (ctypes.c_double * len(NAMES))(), (ctypes.c_double * 1)()
        self.written = ctypes.byref(ctypes.c_int64())

    def __call__(self, row: Any) -> float:
        self.row[:] = row
        self.call(self.config, self.row, self.written, self.answer)
        return float(self.answer[0])


def asgi(home: Path) -> Any:
    """Return a bare ASGI handler: JSON in, fast call, JSON out; no credential, no check, no log."""
    call = BareCall((home / "model.txt").read_text())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        message = await receive()
        record = orjson.loads(message["body"])["records"][0] if message["body"] else dict.fromkeys(NAMES, 0.0)
        body = orjson.dumps({"prediction": [call([record[name] for name in NAMES])]})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def fastapi(home: Path) -> Any:
    """FastAPI as lean as it gets: an async route that reads the raw body."""
    call = BareCall((home / "model.txt").read_text())
    app = FastAPI()

    @app.post("/models/load/predict")
    async def predict(request: Request) -> Response:
        record = orjson.loads(await request.body())["records"][0]
        body = orjson.dumps({"prediction": [call([record[name] for name in NAMES])]})
        return Response(body, media_type="application/json")

    return app


def pydantic(home: Path) -> Any:
    """FastAPI as its tutorial shows it: a model of the body, a plain function."""
    call = BareCall((home / "model.txt").read_text())
    app = FastAPI()

    @app.post("/models/load/predict")
    def predict(body: Body) -> dict[str, list[float]]:
        return {"prediction": [call([getattr(one, name) for name in NAMES]) for one in body.records]}

    return app


def hub(home: Path) -> Any:
    """Return the hub as it serves: authentication, schema check, durable log."""
    context = opened(
        Settings(home=home / "hub", mlflow_tracking_uri="off", bootstrap_key=(home / "key").read_text())
    )
    opened_hub = context.__enter__()
    pool = opened_hub.serving_pool()
    pool.start()
    app = build(opened_hub, pool=pool)
    app.state = (context, pool)
    return app


def worker(home: Path) -> None:
    """Fold what the hub has logged, as `aihub worker` does beside it."""
    with opened(Settings(home=home / "hub", mlflow_tracking_uri="off")) as found:
        while True:
            found.observations.fold_waiting()
            time.sleep(2)


def main() -> None:
    kind, port, home = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    if kind == "worker":
        worker(home)
    app = {"hub": hub, "asgi": asgi, "fastapi": fastapi, "pydantic": pydantic}[kind](home)
    uvicorn.run(
        app, host="127.0.0.1", port=port, log_level="warning", access_log=False, loop="uvloop",
        http=with_route(app) if kind == "hub" else "httptools",
        lifespan="off" if kind == "asgi" else "auto",
    )  # fmt: skip


if __name__ == "__main__":
    main()
