"""The look in a video call: the newest frame wins, and nothing is queued.

    camera ─▶ [newest frame] ─▶ look ─▶ [newest picture] ─▶ virtual camera | window | page | recording
    capture's thread            session's thread            a thread for each

A frame carries the time it was captured at from the camera to every output.
"""
