from __future__ import annotations

import re

import openai
import pytest
from conftest import wait_until

