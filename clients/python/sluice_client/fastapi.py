"""Callbacks in a FastAPI route. Imports FastAPI when the dependency is made."""

# Annotations are values here: FastAPI reads those of the dependency, and its Request is imported within a function.

from collections.abc import Awaitable, Callable, Sequence

from sluice_client.callbacks import TOLERANCE_S, Callback, refusal, verify
from sluice_client.errors import BadSignature, UsageError


def sluice_callback(
    secrets: str | Sequence[str] | None = None, *, tolerance_s: float = TOLERANCE_S
) -> Callable[..., Awaitable[Callback]]:
    """Return a dependency that yields the verified callback of a request; a bad signature answers 401.

    Without usable secrets every callback answers 500, and the log says why.

    @app.post("/sluice/callback", status_code=204)
    async def done(callback: Annotated[Callback, Depends(sluice_callback())]) -> None:
        await store(callback.id, callback.data)
    """
    from fastapi import HTTPException, Request

    async def verified(request: Request) -> Callback:
        try:
            return verify(request.headers, await request.body(), secrets, tolerance_s=tolerance_s)
        except (BadSignature, UsageError) as error:
            raise HTTPException(*refusal(error)) from error

    return verified
