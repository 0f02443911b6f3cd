"""What reaches a served model."""

from pydantic import Field

from agentrl.trainer.config.section import Section


class ServedSettings(Section):
    """A model behind a server that speaks OpenAI's chat-completions protocol."""

    base_url: str | None = Field(
        None, description="openai: up to and including the version, for instance http://localhost:8000/v1"
    )
    model: str | None = Field(None, description="openai: the name that the server knows the model by")
    api_key_env: str = Field("OPENAI_API_KEY", description="openai: environment variable with the key; unset: no key")
    requests_per_minute: float | None = Field(None, gt=0, description="openai: most requests begun; null for no bound")
    retries: int = Field(5, ge=0, le=100, description="openai: requests sent again after no answer, 429 or 5xx")
    timeout_s: float = Field(120.0, gt=0, description="openai: longest wait for an answer")
    price_in: float = Field(0.0, ge=0, description="openai: price of a million tokens read, for the cost")
    price_out: float = Field(0.0, ge=0, description="openai: price of a million tokens written")
