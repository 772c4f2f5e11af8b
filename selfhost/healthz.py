"""GET /healthz: whether table and queue take what the server writes, for the container's health check and for monitors.

The response names what fails and nothing else; why it fails is in the log. A proxy need not pass it on.
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from urlsum import wiring
from urlsum.wiring import Services

router = APIRouter()

PATH = "/healthz"


@router.get(PATH, include_in_schema=False)
def healthz(services: Annotated[Services, Depends(wiring.provided)]) -> JSONResponse:
    """Respond with 200, or with 503 and the faults. However often this is asked, the stores are tried every 2.5 s.

    A warning alone is 200: it concerns others, and a server taken out of rotation would make it worse.
    """
    found = services.health()
    faults = found.faults
    status = HTTPStatus.SERVICE_UNAVAILABLE if faults else HTTPStatus.OK
    return JSONResponse(
        {"healthy": not faults, "faults": faults, "warnings": found.warnings}, status, {"Cache-Control": "no-store"}
    )
