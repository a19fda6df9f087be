"""Rows, their formats, and what a model sees of them. No torch: previews, checks and trainers share it."""

from poise.data.formats import Conversation, conversations, prompts
from poise.data.questions import Question, answer_room, is_correct, questions, references
from poise.data.render import Rendered, Renderer
from poise.data.rows import Row, read_rows

__all__ = [
    "Conversation",
    "Question",
    "Rendered",
    "Renderer",
    "Row",
    "answer_room",
    "conversations",
    "is_correct",
    "prompts",
    "questions",
    "read_rows",
    "references",
]
