"""Defines how the messages of a server are read before the SDK reads them, so that no answer to a call is lost.

The SDK drops a message that it cannot parse, and the call waits for it until its time limit; and it raises where a
result does not keep to the protocol or to the tool's output schema. A server with such a fault answers, all the same:
the policy is to read what it answered, or that it answered nonsense, as soon as it did.

| the server sends | the policy reads |
|---|---|
| halves of surrogate pairs | U+FFFD in their place |
| a result that breaks the output schema, or holds unknown blocks | the blocks that can be read, the others described |
| a block that stands alone instead of in a list, an image without its kind, a batch of one answer | that |
| a result without any content | an error |
| a tool with an unusable output schema, or without an input schema | that tool, beside the others |
| an answer that is no JSON-RPC response, or no JSON, with the id of a call in it | an error |
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx2
import pydantic
from mcp import types
from mcp.shared.message import SessionMessage

from axpo_envs.backends.mcp._lines import WholeLines
from axpo_envs.parsing import clip
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.tool.protocol import ToolError

_CALL: Final = "tools/call"
_LIST: Final = "tools/list"
_UNREAD: Final = ("outputSchema", "annotations", "icons", "execution")
_CARRIED: Final = "axpo/result"
_INPUT_REQUIRED: Final = "input_required"
_NO_RESPONSE: Final = -32099
_BLOCKS: Final[pydantic.TypeAdapter[types.ContentBlock]] = pydantic.TypeAdapter(types.ContentBlock)
_TOO_DEEP: Final = "recursion limit"
"""What the parser says of JSON that is nested more than some 200 levels deep."""
_ABOUT_THE_WHOLE: Final = ("missing", "model_type", "model_attributes_type", "dict_type")
_BYTE_ORDER_MARK: Final = "\ufeff"
_ID: Final = re.compile(r'"id"\s*:\s*(\d{1,18})\b')
_ENCODED: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
"""A half of a pair as bytes, which UTF-8 does not allow."""
_ESCAPES: Final = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u([dD][89a-fA-F]..)|\\.", re.DOTALL)


class CallResults:
    """Knows which answers are those of calls and listings, and hands their results past the SDK's checks."""

    def __init__(self) -> None:
        self._calls: set[str] = set()
        self._listings: set[str] = set()

    def sent(self, item: Any) -> None:
        """Is told of every message to the server."""
        message = getattr(item, "message", None)
        if isinstance(message, types.JSONRPCRequest) and message.method == _CALL:
            self._calls.add(str(message.id))
        elif isinstance(message, types.JSONRPCRequest) and message.method == _LIST:
            self._listings.add(str(message.id))

    def received(self, item: Any) -> Any:
        """What the SDK is given in place of a message, or of the error of parsing it."""
        if isinstance(item, ValueError):
            item = _repaired(item)
        message = getattr(item, "message", None)
        if not isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
            return item
        if str(message.id) in self._listings:
            self._listings.discard(str(message.id))
            if isinstance(message, types.JSONRPCResponse) and isinstance(message.result.get("tools"), list):
                message.result = {**message.result, "tools": [_listed(tool) for tool in message.result["tools"]]}
            return item
        if str(message.id) not in self._calls:
            return item
        self._calls.discard(str(message.id))
        if isinstance(message, types.JSONRPCResponse) and message.result.get("resultType") != _INPUT_REQUIRED:
            # An error's content is not held against the output schema.
            carried = {_CARRIED: message.result}
            message.result = {"content": [], "isError": True, "resultType": "complete", "_meta": carried}
        return item


def result_of(given: types.CallToolResult) -> types.CallToolResult:
    """The result that a server sent, of what can be read of it.

    Args:
        given: what the SDK returned.

    Raises:
        ToolError: nothing can be read.
    """
    raw = (given.meta or {}).get(_CARRIED)
    if not isinstance(raw, Mapping):
        return given
    blocks, structured = raw.get("content"), raw.get("structuredContent")
    if isinstance(blocks, str | Mapping):
        blocks = [blocks]
    if not isinstance(blocks, list):
        if structured is None:
            raise ToolError(f"the tool's server answered without content: {clip(json.dumps(raw), 200)}")
        blocks = []
    content = [_block(block) for block in blocks]
    if structured is not None and not isinstance(structured, Mapping):
        structured = {"result": structured}
    return types.CallToolResult(
        content=content, structured_content=structured, is_error=raw.get("isError") in (True, "true")
    )


def _listed(tool: Any) -> Any:
    """What a server says of a tool, as the SDK takes it: for the fault of one it would refuse all of them."""
    if not isinstance(tool, Mapping):
        return tool
    # Nothing is held against the output schema, and hints are no evidence.
    kept = {name: part for name, part in tool.items() if name not in _UNREAD}
    for name in ("description", "title"):
        if not isinstance(kept.get(name), str):
            kept.pop(name, None)
    schema = kept.get("inputSchema")
    kept["inputSchema"] = {"type": "object"} if schema is None else schema
    if isinstance(schema, Mapping) and schema.get("type") is None:
        kept["inputSchema"] = {**schema, "type": "object"}
    return kept


def _block(block: Any) -> types.ContentBlock:
    try:
        return _BLOCKS.validate_python(block, by_name=False)
    except pydantic.ValidationError:
        pass
    text = block if isinstance(block, str) else block.get("text") if isinstance(block, Mapping) else None
    if isinstance(text, str):
        return types.TextContent(type="text", text=text)
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind == "image" and isinstance(block.get("data"), str):
        # What kind of image it is, its bytes say.
        return types.ImageContent(type="image", data=block["data"], mime_type="image/*")
    named = f" kind {kind}" if isinstance(kind, str) else "n unknown kind"
    return types.TextContent(type="text", text=f"[content of a{named}: {clip(json.dumps(block), 200)}]")


def _repaired(error: ValueError) -> Any:
    """The message that could not be parsed, if it can be after all; an answer that says so to the call that waits."""
    document = _document_of(error) if isinstance(error, pydantic.ValidationError) else None
    if isinstance(document, str):
        found = _ID.search(document)
        return error if found is None else _refusal(int(found[1]), "it is not valid JSON, or nested too deeply")
    if isinstance(document, list):
        # A batch, which the protocol once allowed; a call is answered alone all the same.
        document = next((part for part in document if isinstance(part, Mapping) and "method" not in part), None)
    if not isinstance(document, Mapping):
        return error
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_python(_well_formed(document), by_name=False))
    except pydantic.ValidationError:
        identity = document.get("id")
    if "method" in document or not isinstance(identity, int | str):
        return error
    return _refusal(identity, f"it is no JSON-RPC response: {clip(json.dumps(document), 200)}")


def _refusal(identity: int | str, problem: str) -> SessionMessage:
    error = types.ErrorData(
        code=_NO_RESPONSE, message=f"the tool's server sent an answer that cannot be read; {problem}"
    )
    return SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=identity, error=error))


def _document_of(error: pydantic.ValidationError) -> Any:
    """The message of which parsing failed: read from JSON, or its text where it is none."""
    details = error.errors(include_url=False, include_context=False)
    for detail in details:
        if detail["type"] == "json_invalid" and isinstance(detail["input"], str):
            text = detail["input"].lstrip(_BYTE_ORDER_MARK)
            try:
                return text if _TOO_DEEP in detail["msg"] else json.loads(text)
            except (ValueError, RecursionError):
                return text
    # Every message lacks what another kind of message needs, so one of the errors is about the message as a whole.
    return next((detail["input"] for detail in details if detail["type"] in _ABOUT_THE_WHOLE), None)


def _well_formed(value: Any) -> Any:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list):
        return [_well_formed(item) for item in value]
    if isinstance(value, dict):
        return {well_formed(name): _well_formed(item) for name, item in value.items()}
    return value


class RepairedBody(httpx2.AsyncByteStream):
    """The body of an answer over HTTP with U+FFFD in place of halves of surrogate pairs.

    Args:
        body: the body as it comes.
    """

    def __init__(self, body: Any) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        lines = WholeLines()
        async for block in self._body:
            if whole := lines.add(block):
                yield _without_halves(whole)
        if rest := lines.rest():
            yield _without_halves(rest)

    async def aclose(self) -> None:
        """Closes the body."""
        await self._body.aclose()


class RefusalBody(httpx2.AsyncByteStream):
    """A JSON-RPC error as the body of an answer over HTTP that has none.

    Args:
        code: its code.
        problem: what it says.
        body: the body as it comes, which is not read.
    """

    def __init__(self, code: int, problem: str, body: Any) -> None:
        self._text = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": problem}})
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._text.encode("ascii")

    async def aclose(self) -> None:
        """Closes the body that was not read."""
        await self._body.aclose()


def _without_halves(text: bytes) -> bytes:
    text = _ENCODED.sub(b"\xef\xbf\xbd", text)
    if b"\\u" not in text:
        return text
    return _ESCAPES.sub(lambda found: b"\\ufffd" if found[1] else found[0], text)
