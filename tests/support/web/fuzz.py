"""Hooks for Schemathesis (SCHEMATHESIS_HOOKS): rules of the contract that its generator cannot know."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

import schemathesis

from urlsum.web.submission import IDEMPOTENCY_KEY_LIMIT

if TYPE_CHECKING:
    from schemathesis import Case, HookContext

KEY = "Idempotency-Key"
OWN = "http://127.0.0.1:"


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Replace every valid Idempotency-Key by a new one, and what a test run cannot wait for or read.

    The generator repeats the same short keys with other fields. urlsum refuses such a request with 422, as the draft of
    the header requires (draft-ietf-httpapi-idempotency-key-header, 2.7), but no schema can express that.
    """
    if isinstance(case.body, dict) and str(case.body.get("url")).startswith(OWN):
        # The generator submits the check_url of a response, and urlsum does not read itself.
        case.body["url"] = "http://site.com/file.txt"
    if "wait=" in str(case.headers.get("Prefer")):
        case.headers["Prefer"] = "wait=0"  # the tasks do not end, and the generator gives up after 10 s
    key = case.headers.get(KEY)
    fresh = uuid.uuid4().hex
    if isinstance(key, str) and re.fullmatch(r"[!-~]([ -~]*[!-~])?", key) and len(key) <= IDEMPOTENCY_KEY_LIMIT:
        case.headers[KEY] = key[: IDEMPOTENCY_KEY_LIMIT - len(fresh)] + fresh
