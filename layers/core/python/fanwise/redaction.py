"""Text that is fit to be told: in messages, logs and events, which many may read and nobody may take back.

What items point at, and what a store answers, may carry credentials or a payload: the signature of a presigned
URL, a user and password in front of a host, a token, an image as `data:`. They are cut out wherever an error gets
its message (`errors.FanwiseError`), and from what Step Functions hands on as a cause. What they stood in stays, so
that one still sees what was meant. The item itself is in its dead letter, as it came.
"""

import re

MAX_MESSAGE_CHARACTERS = 2000
_CUT = "…"

# Parameters of presigned URLs (S3, CloudFront, Google, Azure), the parts of an Authorization header, and what XML
# errors of S3 repeat. Their names are as good in an encoded URL inside of another one.
_SIGNED = (
    r"(?:x-(?:amz|goog)-)?(?:signature|credential|security-token)|signatureprovided|stringtosign|canonicalrequest"
    r"|awsaccesskeyid|googleaccessid|key-pair-id|policy|sig|(?:access|id|refresh|auth|session)?_?token|api_?key"
    r"|(?:client_)?secret|secret_access_key|password"
)
# Names that stand before their value in settings, headers and JSON.
_NAMED = (
    r"(?:aws[-_]?)?secret[-_]?(?:access[-_]?)?key|(?:x-amz-|aws[-_]?)?(?:security|session)[-_]?token|password"
    r"|(?:proxy-)?authorization"
)
# Base64 that nothing names: an image by its first bytes, or a long run that no path, digest or name looks like.
_BASE64 = re.compile(
    r"(?P<image>iVBORw0KGgo|/9j/|R0lGOD|UklGR|SUkqA|TU0AK)[A-Za-z0-9+/_=-]{20,}"
    r"|(?P<begin>[A-Za-z0-9+/_=-]{8})[A-Za-z0-9+/_=-]{52,}"
)
_DENSE = re.compile(r"[A-Za-z0-9+]{40,}")  # between what parts a path or a name
_SECRETS = re.compile(
    rf"""(?ix)
    (?P<user> :// )                        # and perhaps a password, in front of a host
      [^/\s@?\#"']+ @
  | (?P<parameter> (?: (?<![a-z0-9]) | (?<=%26|%3f) | (?<=2526|253f) ) (?:{_SIGNED}) (?: = | %(?:25)*3d | > ) )
      [^\s&"'<>,;|)\]}}]+
  | (?P<named> (?<![a-z0-9]) (?:{_NAMED}) ["']? \s* : \s* ["']? )
      (?! \s | bearer | {_CUT} ) (?: basic \s+ )? [^\s"'<>,;]+
  | (?P<bearer> \b bearer \s+ ) [a-z0-9._~+/=-]{{8,}}
  | (?P<data> \b data: [a-z0-9.+/-]* (?: ; [a-z0-9.=_-]+ )* , ) [^\s"'<>]+
  | (?P<key> \b (?: AKIA | ASIA ) ) [A-Z0-9]{{16}}
    """
)


def redacted(text: str, most_characters: int = MAX_MESSAGE_CHARACTERS) -> str:
    """The text without credentials and payloads; a longer one is cut in its middle: the remedy comes last."""
    told = _BASE64.sub(_kept_of_base64, _SECRETS.sub(_kept, text))
    if len(told) <= most_characters:
        return told
    tail = most_characters // 4
    return told[: most_characters - tail - len(_CUT)] + _CUT + told[-tail:]


def _kept(match: "re.Match[str]") -> str:
    """What stood before a secret, and a mark in its place."""
    before = match[match.lastgroup or 0]
    return f"{before}{_CUT}{'@' if match.lastgroup == 'user' else ''}"


def _kept_of_base64(match: "re.Match[str]") -> str:
    """How it begins, so that one sees what it was; the whole of what is no payload."""
    if match["image"]:
        return match["image"] + _CUT
    run = match[0]
    return match["begin"] + _CUT if any(map(_is_mixed, _DENSE.findall(run))) else run


def _is_mixed(run: str) -> bool:
    """Whether it has small and capital letters and digits, which hexadecimal and words have not."""
    return bool(re.search("[a-z]", run) and re.search("[A-Z]", run) and re.search("[0-9]", run))
