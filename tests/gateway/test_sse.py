from __future__ import annotations

import pytest

from poise_gateway.sniff import model_path, token_counts, without_paths
from poise_gateway.sse import Lines, error_event, leading_error

STREAM = b'data: {"a": 1}\n\ndata: {"b": 2}\r\n\r\ndata: [DONE]\n\n'


@pytest.mark.parametrize("size", range(1, len(STREAM) + 1))
def test_only_whole_lines_go_on_however_they_arrive(size):
    lines = Lines()
    pieces = [lines.feed(STREAM[at : at + size]) for at in range(0, len(STREAM), size)]
    assert b"".join(pieces) == STREAM
    assert all(piece.endswith(b"\n") for piece in pieces if piece)
    assert lines.done


def test_a_line_that_never_ends_is_held_back():
    lines = Lines()
    assert lines.feed(b'data: {"a": 1}\ndata: {"b') == b'data: {"a": 1}\n'
    assert not lines.done


def test_an_error_is_an_event_of_its_own_even_in_the_middle_of_another():
    content = Lines().feed(b'data: {"a": 1}\ndata: {"b') + error_event(b'{"error": 1}')
    assert content.split(b"\n\n") == [b'data: {"a": 1}', b'data: {"error": 1}', b""]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b'data: {"error": {"code": 400}}\n\ndata: [DONE]\n\n', b'{"error": {"code": 400}}'),
        (b'data: {"error":1}\n', b'{"error":1}'),
        (b'data: {"choices": [], "error": null}\n\n', None),
        (b"", None),
    ],
)
def test_an_error_is_seen_at_the_beginning_alone(data, error):
    assert leading_error(data) == error


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        (b'{"usage":{"prompt_tokens":5,"total_tokens":8,"completion_tokens":3}}', (5, 3)),
        (b'{"usage": {"prompt_tokens": 5, "total_tokens": 5}}', (5, 0)),
        (b'{"usage":{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}}', (5, 3)),
        (b'{"usage":null}', None),
        (rb'{"content":"\"usage\":{\"prompt_tokens\":99}"}', None),
        (b"", None),
    ],
)
def test_token_counts(data, counts):
    assert token_counts(data) == counts


def test_paths_are_found_and_taken_out():
    assert model_path(b'{"model":"/models/tiny","x":1}') == b"/models/tiny"
    assert model_path(b'{"model":"tiny"}') is None
    said = without_paths("no /mnt/a/b.bin; see https://docs.vllm.ai/en/latest or /v1/models, 3/4 of them")
    assert said == "no <path>; see https://docs.vllm.ai/en/latest or /v1/models, 3/4 of them"
