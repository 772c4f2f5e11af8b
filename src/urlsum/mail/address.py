"""The mailbox behind an address: addresses that differ in spelling and reach one person are one recipient.

Limits and suppressions use it; an email always goes to the address as given. RFC 5321, 2.3.11 leaves the meaning of a
local part to its host, so each rule here is that of a provider.
"""

from __future__ import annotations

import re

# Nearly every host that delivers an address with a tag ignores the tag (subaddressing, RFC 5233): Google Workspace,
# Microsoft 365, Fastmail, iCloud, Proton, and Postfix and Exim as usually set up. The others refuse it. A host on which
# "+" separates two people makes them share a limit; without the rule, tags would be as many limits as anybody likes.
TAG = "+"
# Yahoo's disposable addresses; its user names cannot contain a hyphen.
# https://help.yahoo.com/kb/SLN3523.html
HYPHEN_TAG_DOMAIN = re.compile(r"yahoo\.[a-z]{2,3}(\.[a-z]{2})?|ymail\.com|rocketmail\.com")

# Several domains of one provider, where the same local part is the same mailbox.
ALIASES = {
    "googlemail.com": "gmail.com",  # https://support.google.com/mail/answer/10313
    "me.com": "icloud.com",  # https://support.apple.com/en-us/102540
    "mac.com": "icloud.com",
    "protonmail.com": "proton.me",  # https://proton.me/support/addresses-and-aliases
    "protonmail.ch": "proton.me",
    "pm.me": "proton.me",
    "ya.ru": "yandex.ru",  # https://yandex.com/support/yandex-360/customers/mail/
    **{f"yandex.{country}": "yandex.ru" for country in ("com", "by", "kz", "ua", "uz", "az", "ee", "lt", "lv", "pl")},
}
# Characters that a provider ignores in a local part. Yandex treats dots and hyphens alike and allows no two in a row,
# so leaving both out merges no two of its users.
IGNORED = {
    "gmail.com": ".",  # https://support.google.com/mail/answer/7436150
    "proton.me": ".-_",
    "yandex.ru": ".-",
}
# Mail to anything@user.fastmail.com reaches user@fastmail.com.
# https://www.fastmail.help/hc/en-us/articles/360060591053
SUBDOMAIN_PROVIDERS = ("fastmail.com", "fastmail.fm")


def mailbox(address: str) -> str:
    """The mailbox that ``address`` reaches, as the key of its recipient; not an address to send to.

    Case is ignored, in the local part too: no common provider distinguishes it. Idempotent.

    >>> mailbox("J.Doe+urlsum@GoogleMail.com"), mailbox("J.Doe+urlsum@example.org")
    ('jdoe@gmail.com', 'j.doe@example.org')
    """
    local, _, domain = address.strip().lower().rpartition("@")
    domain = domain.rstrip(".")
    for provider in SUBDOMAIN_PROVIDERS:
        if domain.endswith(f".{provider}"):
            local, domain = domain.removesuffix(f".{provider}").rpartition(".")[2], provider
    domain = ALIASES.get(domain, domain)
    local = _before(TAG, local)
    if HYPHEN_TAG_DOMAIN.fullmatch(domain):
        local = _before("-", local)
    kept = local.translate({ord(character): None for character in IGNORED.get(domain, "")})
    return f"{kept or local}@{domain}"


def _before(separator: str, local: str) -> str:
    # An address that begins with the separator has no tag.
    return local.partition(separator)[0] or local
