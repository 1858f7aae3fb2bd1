"""The outside services of `headrace up`: given by a setting, found on this machine, or embedded; in this order.

outside     one of them: where it is, where it came from, how to run it; programs and ports that a folder remembers
redis       Redis or Valkey
mongodb     MongoDB, or its stand-in
seaweedfs   S3 for attachments; without it there are none
clamd       the virus scanner; without it uploads are refused
choice      all four, and whether those that were given answer
"""
