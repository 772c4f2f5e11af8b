"""GET /check: tell how far a task is and, at the end, the digest. DELETE /check: cancel it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from urlsum import service
from urlsum.web import responses
from urlsum.web.application import application
from urlsum.web.lambda_handler import LambdaHandler
from urlsum.wiring import Ports, ports

router = APIRouter()


@router.head("/check", include_in_schema=False)
@router.get("/check", operation_id="check", summary="Check a task")
def check(
    request: Request, task_id: Annotated[str, Depends(responses.task_id)], use: Annotated[Ports, Depends(ports)]
) -> Response:
    """Tell how far the task is and, at the end, the MD5 of the file or why there is none.

    Whoever knows the id may ask. Neither the e-mail address nor any internal state is shown.
    """
    now = use.clock()
    return responses.checked(service.check(task_id, table=use.table, now=now), now, request, use.settings)


@router.delete("/check", operation_id="cancel", summary="Cancel a task")
def cancel(
    request: Request, task_id: Annotated[str, Depends(responses.task_id)], use: Annotated[Ports, Depends(ports)]
) -> Response:
    """End the task if it has not ended: there will be no digest and no mail.

    Whoever knows the id may do it, once or again with the same answer. A worker that is reading the file stops at its
    next checkpoint.
    """
    task = service.cancel(task_id, table=use.table, now=use.clock())
    return responses.cancelled(task, request, use.settings)


app = application(router)
handler = LambdaHandler(app)
