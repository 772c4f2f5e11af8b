"""Decides by the words of a trailer field, its name and its value, whether it reports a failed transfer."""

from __future__ import annotations

import re

# Values that report nothing: some programs send an error field with every response.
_NOTHING = frozenset(
    ["", "-", "0", "none", "no", "n", "false", "null", "nil", "n/a", "off", "ok", "success", "successful", "[]", "{}"]
)
_NEGATIVE = frozenset({"0", "no", "n", "none", "false", "null", "nil", "off"})
_AFFIRMATIVE = frozenset({"true", "yes", "y", "on", "t"})

# Fields whose syntax and meaning a specification defines: none reports a failed transfer.
_STANDARD = re.compile(
    r"accept-ranges|age|allow|alt-svc|cache-control|content-(?:disposition|language|location|security-policy|type)|date"
    r"|etag|expires|keep-alive|last-modified|link|location|nel|report-to|retry-after|server|server-timing|set-cookie"
    r"|trailer|tracestate|vary|via"
)
# The metadata that a user stored with an object: x-amz-meta-note, x-goog-meta-..., x-object-meta-...
_METADATA = "meta"
# The last word of a name whose value names a thing. The value of such a field is no message.
_IDENTIFIER = re.compile(
    r"ids?|uid|uuid|guid|by|key|token|urls?|uri|links?|href|path|filename|names?|host|hostname|node|server|etag|hash"
    r"|digest|signature|input|nonce|tags?|title|user|owner|bucket|version|agent|timing|type|region|zone|pop"
    r"|(?:crc|sha|md)[0-9]+[a-z]*|trace|traceparent|span"
)

# A name with one of these reports a failure by its presence. Longer ones also occur in compounds such as
# "StreamError"; "Terror" and "Uninterrupted" are other words.
_FAILURE_NAME = re.compile(
    r"(?!(?:t|un|non)(?:error|exception|failure|failed|abort|truncat|interrupt|cancel))"
    r"(?:[a-z]*(?:errors?|exceptions?|failures?|failed|aborted|truncated|incomplete|interrupted|cancell?ed)"
    r"(?:codes?|messages?|msg|text|type|info|details?|reason|status|name|id)?"
    r"|fail|fails|faults?|err|errs|errno|errmsg|errcode|fatal|panic|abort|aborts|truncat(?:e|ion)|interrupt(?:ion)?"
    r"|cancel|cancellation|problems?)"
)
# A failure word beside one of these names a policy or a place: Error-Budget, Fail-Over, On-Error.
_HARMLESS_AFTER = re.compile(
    r"over|safe|fast|soft|open|free|budget|urls?|uri|links?|pages?|docs?|documentation|rate|ratio|percent|percentage"
    r"|threshold|limit|domains?|zone|handler|handling|policy|reporting|reporter|tolerance|tolerant|correction|detection"
    r"|injection|token|endpoint|mode|level|margin|probability"
)
_HARMLESS_BEFORE = frozenset({"on", "if", "max", "min", "allowed", "ignore", "ignored", "recovered", "retried"})
# These negate the next word: No-Error, Not-Complete.
_NOT = frozenset({"no", "not", "non", "without"})
# These names report a failure only with an affirmative value or a message: "X-Partial: true", "X-Partial: node3".
_FLAG_NAME = re.compile(
    r"mismatch(?:ed|es)?|broken|corrupt(?:ed|ion)?|damaged|partial|premature(?:ly)?|unexpected|crashed|killed|timedout"
    r"|disconnected|lost|loss|missing|dropped|terminated|unfinished|invalid|short|cut|abrupt|abnormal|unclean|reset"
)
_SUCCESS_NAME = re.compile(
    r"success|successful|succeeded|complete|completed|finished|ok|valid|verified|intact|match|matched|matches|done|eof"
    r"|final|whole"
)
# The value of these is a message about the outcome.
_STATE_NAME = re.compile(
    r"[a-z]*status|state|result|outcome|reason|warnings?|warn|message|msg|notes?|notice|details?|cause|diagnostics?"
    r"|alert|eof|end|ending|close|closing|closure|termination|finish|completion|integrity|verification|verify"
    r"|validation|check|health|condition|info|event|signal|verdict|report|comment|remark|incident|shutdown"
)
_OUTCOME_NAME = re.compile(r"[a-z]*status|result|outcome")
# The value of these is a state, too, or the name of a host or a file, in which a word means nothing.
_SUBJECT_NAME = re.compile(
    r"stream|transfer|upstream|backend|body|connection|download|read|write|fetch|origin|source|response|checksum"
    r"|content|payload|copy"
)
_EXIT_NAME = re.compile(r"(?:^|-)(?:exit(?:-?(?:code|status|value|reason))?$|return-?code|rc$)")

_WORD = (
    r"errors?|err|errno|exceptions?|fail(?:s|ed|ing|ures?)?|faults?|fatal|panic(?:ked)?|abort(?:s|ed|ing|ion)?"
    r"|truncat(?:ed|ion)|incomplete(?:ly)?|interrupt(?:s|ed|ion)?|cancel(?:s|l?ed|l?ing|lation)?|mismatch(?:es|ed)?"
    r"|broken|corrupt(?:ed|ion)?|damaged|unexpected(?:ly)?|premature(?:ly)?|reset|timed?[ _-]?out(?!\s*=)"
    r"|disconnect(?:s|ed|ion)?|crash(?:ed)?|unsuccessful|abrupt(?:ly)?|abnormal(?:ly)?"
    r"|econn[a-z]+|epipe|eio|enospc|enomem|etimedout|edquot"  # the names of errno(3)
)
# Only in messages: as the value of another field these are ordinary words.
_MESSAGE_WORD = (
    _WORD + r"|partial(?:ly)?|killed|lost|dropped|refused|denied|unavailable|unreachable|unfinished|unhealthy|exceeded"
    r"|exhausted|overloaded|invalid|bad|unable|cannot|stalled|nok|hang[ _-]?up|hung up|(?:gave|given|giving) up"
    r"|out of memory|oom|(?:disk|quota|volume) full|(?:went|gone) away|unclean|dead|cut off"
    r"|(?:too|ended|stopped|finished|closed) early|eof before|before eof"
    r"|no (?:match|eof|space|data|response)"
    r"|(?:not|[a-z]*n't)[ _-](?:[a-z0-9]+[ _-])?(?:completed?|finish(?:ed)?|ok|valid|all|read|sent|available|enough"
    r"|successful|intact|match(?:ed|ing)?|whole|written|transferred|found)"
    r"|short[ _-](?:read|write|body|file|count|by|of|response|data|transfer|stream|content)"
    r"|(?:read|write|body|file|too|cut|content|came|fell|stopped|stream|ran)[ _-]short"
    r"|missing (?:bytes|data|blocks?|chunks?|parts?)|(?:bytes|data|blocks?|chunks?|parts?) (?:[a-z]+ )?missing"
)
_IN_MESSAGE = re.compile(rf"(?<![a-z0-9])(?:{_MESSAGE_WORD})(?![a-z0-9])")
# A word between blanks or punctuation: not "error-free", "abort-123" or "error.example".
_ALONE = rf"(?:{_WORD})(?=$|[\s:,;!)\"']|\.(?:\s|$))"
_BETWEEN_BLANKS = re.compile(rf"(?:^|[\s(\"'])(?:{_ALONE})")
_AT_THE_BEGINNING = re.compile(_ALONE)
_NEGATED = re.compile(
    rf"(?<![a-z0-9])(?:no|not|never|without|zero|0)[\s_-]+(?:[a-z0-9]+[\s_-]+)?(?:{_WORD}|problems?|partial|invalid|lost"
    r"|dropped)(?![a-z0-9])"
    rf"|(?<![a-z0-9])(?:{_WORD})(?:[\s_-]free(?![a-z0-9])"
    r"|[\"']?\s*[=:]\s*[\"']?(?:0|no|none|false|null|nil|ok)(?![a-z0-9.]))"
)
# Every connection is closed at its end. A message says so because of how, or by whom.
_CLOSED = re.compile(r"(?<![a-z0-9])(?<!half[ _-])(?:closed|terminated)(?![a-z0-9])")
_ORDERLY = re.compile(r"normal|clean|graceful|success|complete|orderly")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NUMBER = re.compile(r"-?[0-9]{1,9}(?![0-9])")
# RFC 9209, 2.1.1.
_PROXY_ERROR = re.compile(r";\s*error\s*=")
# RFC 7234, 5.5: a cache served a stale response, or changed it. RFC 9111 dropped the field, but proxies send it.
_CACHE_WARNING = re.compile(r"(?:11[0-3]|214)(?![0-9])")
# RFC 9110, 15.5: from here on a status is an error.
_FIRST_ERROR_STATUS = 400
_LAST_STATUS = 999
# Messages are shorter, and search time grows faster than the text: this much takes 1 ms at most.
MAX_CHARACTERS = 500


def reports_failure(name: str, value: str, status: int) -> bool:
    """Whether the trailer field ``name``, in lower case, reports a failed transfer with ``value``.

    ``status`` is that of the response. No specification lists such fields, so their words decide. The name of an error
    alone suffices; in other fields the value must be a message of failure. A value that names a thing is no message.
    """
    name, value = name[:MAX_CHARACTERS], value[:MAX_CHARACTERS]
    words = re.split(r"[^a-z0-9]+", name)
    if _STANDARD.fullmatch(name) or _METADATA in words or (name == "warning" and _CACHE_WARNING.match(value)):
        return False
    text = _CAMEL.sub(" ", value).strip(" \t\"'").lower().rstrip(".! ")
    if name == "proxy-status":
        return bool(_PROXY_ERROR.search(text))
    failure, success = _outcome_words(words)
    if failure:
        return not reports_nothing(text)
    if _IDENTIFIER.fullmatch(words[-1]):
        return False
    if text in _NOTHING:
        return success and text in _NEGATIVE
    return _value_reports_failure(name, words, text, status, success=success)


def reports_nothing(text: str) -> bool:
    """Whether the value ``text`` of an error field says that there was none."""
    text = text[:MAX_CHARACTERS].strip(" \t\"'").lower()
    return text in _NOTHING or bool(_NEGATED.match(text) and not _is_message_of_failure(text))


def _outcome_words(words: list[str]) -> tuple[bool, bool]:
    """Whether the name means a failure, and whether it means a success."""
    failure = success = False
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        failed, succeeded = bool(_FAILURE_NAME.fullmatch(word)), bool(_SUCCESS_NAME.fullmatch(word))
        if _HARMLESS_AFTER.fullmatch(after) or (failed and before in _HARMLESS_BEFORE):
            continue
        if before in _NOT:
            failed, succeeded = succeeded, failed
        failure, success = failure or failed, success or succeeded
    return failure, success


def _value_reports_failure(name: str, words: list[str], text: str, status: int, *, success: bool) -> bool:
    number = _number(text)
    if _EXIT_NAME.search(name):
        return number != 0  # of exit codes only 0 is a success
    flag = _any(_FLAG_NAME, words) or {"timed", "out"} <= set(words)
    # A number counts the loss; RateLimit-Reset is a time.
    if flag and (text in _AFFIRMATIVE or (text == str(number) and "reset" not in words)):
        return True
    if number is not None and _any(_OUTCOME_NAME, words):
        if number == status:
            text = text.removeprefix(f"{status} partial content")  # the phrase of 206
        elif _is_error_status(number, text):
            return True
    if flag or success or _any(_STATE_NAME, words):
        return text == "short" or _is_message_of_failure(text)
    judged = _NEGATED.sub("", text)
    return bool(_BETWEEN_BLANKS.search(judged) if _any(_SUBJECT_NAME, words) else _AT_THE_BEGINNING.match(judged))


def _any(pattern: re.Pattern[str], words: list[str]) -> bool:
    return any(pattern.fullmatch(word) for word in words)


def _is_error_status(number: int, text: str) -> bool:
    # A status has three digits. A longer number that stands alone is an error of some program.
    return not 0 <= number < _FIRST_ERROR_STATUS and (number <= _LAST_STATUS or text == str(number))


def _is_message_of_failure(text: str) -> bool:
    rest = _NEGATED.sub(" ", text)
    if _IN_MESSAGE.search(rest):
        return True
    # As the whole value, "closed" is the state of every stream that ended.
    return bool(_CLOSED.search(rest)) and rest != "closed" and not _ORDERLY.search(rest)


def _number(text: str) -> int | None:
    match = _NUMBER.match(text)
    return int(match[0]) if match else None
