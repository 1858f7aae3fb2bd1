"""For operators and developers: the `headrace` command, one file per noun.

    main        the group: finds a subcommand's module only when it is called; failures to one line and an exit code
    failures    what a command says when it cannot go on, and with which exit code
    running     the environment of a running `headrace up`, so that other commands find its services
    embedded    the embedded services: where their programs are, and their exact command lines
    up/         `headrace up`: everything on one machine
    gateway     runs a gateway in this process' place
    consumers   runs stages in this process' place
    streams     what the partition streams hold, and what comes in
    groups      how far the stages are behind, and who works
    dead        what the stages gave up on
    replay      past intents through the stages once more
    migrate     indexes and layout
    doctor      what is wrong with a deployment, and how to mend it
    smoke       one message from end to end through a running gateway
    asking/     what these ask of Redis and MongoDB; imported when a command runs, not for its --help
    output      rows as a table or as JSON lines
    places      how an operator says where and when: `3/1795000000000-0`, `15m`
    config      the settings as this process would read them, secrets masked

Every noun's module has a click object named `command`. Data goes to stdout, talk to stderr.
"""
