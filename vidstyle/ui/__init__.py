"""``vidstyle ui``: one page in the browser on top of the same engines, pipeline and report.

    house       the server, from start to end; the only module that imports Gradio
    guard       who may ask for what
    routes      the page's addresses, and what belongs to one visitor
    shared      what all visitors share
    answers     how requests are read and answers worded
    sessions    what one visitor has: a file, a run, a folder of temporary files
    studio      warm engines that give single pictures a look
    media       what a dropped file is; pictures of it; a copy that browsers can play
    work        a run in a process of its own, seen from the page
    worker      the same, seen from inside
    words       the report in a person's words
    folder      the queue of files, which outlives the page
    entries     what is in it
    places      what a typed path may become
    neighbour   a vidstyle live on this machine
    loops       event loops that Gradio makes and forgets
    gallery     the looks: cards, import, removal
    school      a training that runs beside the page
    texts       every word on the page, in one place for translation

The page is Gradio in its server mode: Gradio listens, opens the browser and shares; page and answers are our own.
"""
