"""The gateway: the process that clients talk to. It knows nothing that it could not forget.

__main__   settings, logging, exit codes
app        the composition root: start, serve, drain, stop, in this order
tokens     access tokens: who speaks
passwords  argon2id in threads of its own, common ones refused
http       uvicorn's protocol, with an end to the heads of requests
addresses  whose address a request comes from, and which names are ours
limiter    rate limits, counted in Redis for all gateways
buckets    those that this process counts alone: pure
load       whether the consumers keep up: when to refuse
intake     a checked request → an intent in its partition's stream
grants     who may watch and type where: Redis, else the store
socket/    frames in, intents out; doorbells in, frames out. No database.
rest/      the HTTP API
answers    REST calls that wait for what their intent made
listeners  who in REST listens to which channel
problems   errors over HTTP
health     live, ready, detailed, metrics; files_health and streams_health look for it
web_client the pages, styles and modules of web/, from memory
web/       the web client itself: no Python

client ──ws──▶ socket ──▶ intake ──▶ intents          doorbells ──▶ socket ──ws──▶ client
client ──http─▶ rest ───▶ intake                       doorbells ──▶ listeners ──▶ answers, long polls
                  └─────▶ store (reads, accounts)
"""
