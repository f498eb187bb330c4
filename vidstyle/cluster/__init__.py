"""Many machines: a batch's videos in segments, styled by workers on a Ray cluster, and put together as by one machine.

    messages    what the driver and the workers say to each other
    worker      a worker seen from inside: it plans, styles and assembles, and keeps its look loaded
    film        one video: what is to do, what is under way, what came out damaged
    schedule    which of it a free worker gets
    pool        the workers on the cluster: started, lost, replaced
    connect     joining a cluster, or starting one on this machine
    crew        all of it as the crew that `vidstyle.batch.run.Batch` works with
    store       files behind URLs: listed, fetched, put in place
    cache       sources that were fetched, on a worker's machine
    remote      a worker that fetches its videos and sends its results
    standins    files of the driver's machine that stand in for those behind URLs
    estimate    how long it takes on how many workers, and whether one machine is better

The unit of work is `vidstyle.unit.Unit`, the planner `vidstyle.planning`, the assembler `vidstyle.assembly`: those
that a single machine uses too. Only `pool` and `connect` know Ray.
"""
