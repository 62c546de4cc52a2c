"""Secrets do not get into records, wherever they stand; what is no secret does."""

from __future__ import annotations

from typing import Any

import pytest

from axpo_envs.governance import Recording
from axpo_envs.governance.audit_log import Redactor
from axpo_envs.plumbing.web import register_secret

R = "[redacted]"


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        ({"password": "x", "Api_Key": 5, "user": "me"}, {"password": R, "Api_Key": R, "user": "me"}),
        ({"login": {"auth_token": ["a", "b"]}}, {"login": {"auth_token": R}}),
        ({"tokens": 3, "tokenizer": "x", "max_tokens": 5}, {"tokens": 3, "tokenizer": "x", "max_tokens": 5}),
        ({"to": ["sk-abcdefghijklmnop1234", "b"]}, {"to": [R, "b"]}),
        ({"card": {"number": 4111111111111111, "month": 12}}, {"card": {"number": R, "month": 12}}),
        (
            {"note": "card 4111 1111 1111 1111, order 4111 1111 1111 1112"},
            {"note": f"card {R}, order 4111 1111 1111 1112"},
        ),
        ({"code": "PASSWORD='a b' run --token=xyz -v"}, {"code": f"PASSWORD={R} run --token={R} -v"}),
        ({"url": "postgres://me:s3cret@host/db"}, {"url": f"postgres://me:{R}@host/db"}),
        ({"head": "Authorization: Bearer abcdefgh12345678"}, {"head": f"Authorization: {R}"}),
        ({"sk-abcdefghijklmnop1234": True}, {R: True}),
        ({"key": "-----BEGIN RSA PRIVATE KEY-----\nabc"}, {"key": R}),
        ({"n": None, "b": True, "f": 1.5}, {"n": None, "b": True, "f": 1.5}),
    ],
)
def test_secrets_are_taken_out_by_name_and_by_looks(given: Any, recorded: Any) -> None:
    redacted = Redactor().arguments(given)
    if "head" in given:
        assert "abcdefgh12345678" not in redacted["head"]
    else:
        assert redacted == recorded


def test_declared_fields_and_patterns_are_taken_out() -> None:
    recording = Recording(secret_fields=("customer.name", "iban*"), secret_patterns=(r"\bC-\d+",))
    given = {"customer": {"name": "A", "city": "B"}, "name": "C", "iban_2": "D", "text": "see C-123"}
    assert Redactor.of(recording).arguments(given) == {
        "customer": {"name": R, "city": "B"},
        "name": "C",
        "iban_2": R,
        "text": f"see {R}",
    }


def test_what_a_tool_declares_is_taken_out() -> None:
    inner = {"type": "object", "properties": {"code": {"writeOnly": True}}}
    schema = {"properties": {"door": {"type": "array", "items": inner}, "word": {"format": "password"}}}
    given = {"door": [{"code": 1}, {"code": 2, "n": 3}], "word": "x"}
    assert Redactor().arguments(given, schema) == {"door": [{"code": R}, {"code": R, "n": 3}], "word": R}


def test_what_a_tool_declares_is_found_behind_references_and_alternatives() -> None:
    secret = {"type": "string", "writeOnly": True}
    schema = {
        "properties": {
            "pass": {"anyOf": [secret, {"type": "null"}]},
            "card": {"anyOf": [{"$ref": "#/$defs/Card"}, {"type": "null"}]},
            "pair": {"prefixItems": [{"type": "string"}, secret]},
            "rest": {"additionalProperties": {"allOf": [{"format": "password"}]}},
        },
        "$defs": {"Card": {"properties": {"code": secret, "next": {"$ref": "#/$defs/Card"}}}},
    }
    given = {
        "pass": "x",
        "card": {"code": "1", "n": 2, "next": {"code": "3"}},
        "pair": ["a", "b"],
        "rest": {"c": "d"},
        "other": "e",
    }
    assert Redactor().arguments(given, schema) == {
        "pass": R,
        "card": {"code": R, "n": 2, "next": {"code": R}},
        "pair": ["a", R],
        "rest": {"c": R},
        "other": "e",
    }


@pytest.mark.parametrize(
    "given",
    [
        {"accessToken": "S3cret"},
        {"aws_secret_access_key": "S3cret"},
        {"X-Api-Key": "S3cret"},
        {"clientSecret": ["S3cret"]},
        {"headers": [{"name": "Authorization", "value": "S3cret"}]},
        {"headers": [["authorization", "S3cret"]]},
        {"body": '{"a": [{"password": ["S3cret", {"b": "S3cret"}]}]}'},
        {"body": '{"a": "{\\"password\\": \\"S3cret S3cret\\"}"'},
        {"body": '{"password": "a\\"S3cret", "b": '},
        {"head": "Authorization: Basic S3cret"},
        {"head": "proxy-authorization=Digest S3cret"},
        {"url": "ftp://me:p@S3cret@host/x"},
        {"code": "mysql --user me --db-password S3cret -v"},
        {"key": "-----BEGIN PGP PRIVATE KEY BLOCK-----\nS3cret\n-----END PGP PRIVATE KEY BLOCK-----"},
    ],
)
def test_secrets_in_odd_places_are_taken_out(given: Any) -> None:
    assert "S3cret" not in str(Redactor().arguments(given))


def test_a_card_that_is_a_float_is_taken_out_and_other_texts_stay() -> None:
    kept = {"n": [1e300, float("inf"), 4.5, 12.0], "text": '[1, {"a": "b"}]', "note": "top-secret plan, --max-tokens 5"}
    assert Redactor().arguments({"card": 4111111111111111.0, **kept}) == {"card": R, **kept}


def test_keys_of_this_process_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    register_secret("SHOP_KEY")
    monkeypatch.setenv("SHOP_KEY", "very-secret-value")
    assert Redactor().text("use very-secret-value here") == "use [SHOP_KEY] here"


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 200_000, "token" * 40_000, "1 " * 100_000, "://" * 60_000, "x:" * 100_000, "-" * 200_000),
        *("token" + "\\" * 200_000, 'token\\": \\"' * 9000, '{"token": "' * 9000, "--a-token " * 9000, "[" * 200_000),
    ],
)
def test_no_text_takes_long(text: str) -> None:
    assert len(Redactor().text(text)) <= 2 * len(text)
