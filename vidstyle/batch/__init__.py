"""Many videos in one run: what to do is found and decided here, done in worker processes, and written down.

    inputs      which videos there are, and what each becomes
    expand      what a pattern with wildcards matches
    journal     what was done before, and one line more for everything that happens
    decide      what to do with a video now: style it, skip it, refuse it
    names       which video becomes which file: no two may become one
    watch       videos that come while the batch runs
    crew        worker processes, seen from the batch
    worker      one of them, seen from inside
    devices     several GPUs for one batch: which worker has which
    messages    what the two say to each other
    totals      how much is done, and how long the rest takes
    stop        Ctrl-C, SIGTERM and a closed terminal
    reports     the report file
    dry         what would be done, without doing it
    run         all of it together

The batch's own process opens no media: a file that crashes FFmpeg costs a worker, never the batch.
"""
