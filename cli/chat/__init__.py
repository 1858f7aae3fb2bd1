"""`headrace chat`: a small client in the terminal, on the Python SDK.

command             who we are, where the server is, which conversation; then one of the two views
screen              the view for people (prompt_toolkit)
lines               the view for pipes: a line in is a message, a message is a line out

commands            what is typed: a message, or one of the table of /commands
on_messages         the commands about one message
on_files            those about files
on_conversations    those about conversations and the people in them
talk                the conversations as the views see them; what is sent, what is printed
underway            what of ours is not done yet
transfers           files on their way
hearing             what arrives
shown               what is on screen, in which version
telling             what a person reads of an event
names               what people are called
"""

from cli.chat.command import command

__all__ = ["command"]
