"""Loaded by Schemathesis itself (SCHEMATHESIS_HOOKS): what its generator cannot know of the contract."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

import schemathesis

from urlsum.web.submission import IDEMPOTENCY_KEY_LIMIT

if TYPE_CHECKING:
    from schemathesis import Case, HookContext

KEY = "Idempotency-Key"


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Make every usable Idempotency-Key a new one.

    The generator sends the same short keys with other fields again and again. That such a request is refused with 422
    is as the draft of the header has it (draft-ietf-httpapi-idempotency-key-header, 2.7), but no schema can say so.
    """
    key = case.headers.get(KEY)
    fresh = uuid.uuid4().hex
    if isinstance(key, str) and re.fullmatch(r"[!-~]([ -~]*[!-~])?", key) and len(key) <= IDEMPOTENCY_KEY_LIMIT:
        case.headers[KEY] = key[: IDEMPOTENCY_KEY_LIMIT - len(fresh)] + fresh
