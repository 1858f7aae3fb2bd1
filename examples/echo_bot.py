"""A bot that answers whoever mentions it:  HEADRACE_BOT_TOKEN=hrb_… python examples/echo_bot.py http://127.0.0.1:8000."""  # noqa: INP001 a script

import asyncio
import os
import sys
import uuid

from headrace_client import AnyEvent, Api, Client, Event, Message


async def main(url: str, token: str) -> None:
    """Listen, and answer, until stopped."""
    api = Api(url)
    await api.bot(token)
    async with Client(url, token=api.token, store=os.environ.get("ECHO_BOT_STORE", "echo_bot.db")) as client:

        async def answer(event: AnyEvent) -> None:
            match event:
                case Event("message.created", data=Message() as message) if client.user_id in message.mentions:
                    # Made from the message's id: whatever comes twice is answered once.
                    key = str(uuid.uuid5(uuid.UUID(message.message_id), "echo"))
                    text = f"you said: {message.text}"
                    client.send(message.conversation_id, text, reply_to=message.message_id, client_msg_id=key)
                case _:
                    pass

        await client.handle(answer)


asyncio.run(main(sys.argv[1], os.environ["HEADRACE_BOT_TOKEN"]))
