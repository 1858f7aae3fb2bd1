"""`headrace chat`: a small client in the terminal, on the Python SDK.

command    who we are, where the server is, which conversation; then one of the two views
talk       the conversation as the views see it: names, history, what arrives, the /commands
lines      the view for pipes: a line in is a message, a message is a line out
screen     the view for people (prompt_toolkit)
"""

from cli.chat.command import command

__all__ = ["command"]
