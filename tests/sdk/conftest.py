"""Where the gateway is and which key it gave, as tests/front/sdks.rs says."""

import os

import anthropic
import openai
import pytest
from google import genai

URL = os.environ["TOLLGATE_URL"]
KEY = os.environ["TOLLGATE_KEY"]


@pytest.fixture
def chat():
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)


@pytest.fixture
def claude():
    return anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)


@pytest.fixture
def gemini():
    return genai.Client(api_key=KEY, http_options={"base_url": URL})
