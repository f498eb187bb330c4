"""Every word on the page, in one place: translate the values, keep keys and {names}."""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files
from typing import Any

LANGUAGE = "en"
TEXTS: dict[str, str] = {
    # the frame
    "title": "vidstyle",
    "nav": "Pages",
    "nav_video": "Video",
    "nav_camera": "Camera",
    "nav_folder": "Folder",
    "nav_looks": "Looks",
    "theme": "Light or dark",
    "lost": "The page lost its server. Start vidstyle ui again, then load this page anew.",
    "cancel": "Cancel",
    # the look
    "look": "Look",
    "mix_with": "Mix with",
    "mix_nothing": "nothing",
    "mix": "Mix",
    "mix_cost": "Two looks take twice the time",
    "strength": "Strength",
    "thumb_of": "{look}: {text}",
    # video and picture
    "drop": "Drop a video or a picture",
    "drop_or": "It stays on this machine.",
    "drop_or_open": "It is sent to the machine that runs this page, and removed at the end.",
    "choose": "Choose a file",
    "another": "Another file",
    "uploading": "Taking {name}: {percent} %",
    "reading": "Looking into {name}",
    "too_large": "{name} is {size}; the most that is taken here is {most}. The command vidstyle file takes any size.",
    "proxy": "This browser cannot play {name}. A copy that it can play is being made: {percent} %",
    "proxy_failed": "No copy that this browser can play could be made. Styling works all the same.",
    "before": "before",
    "after": "after",
    "wipe": "Compare: before on the left, after on the right",
    "play": "Play",
    "pause": "Pause",
    "sound": "Sound",
    "side": "Side by side",
    "timeline": "Time",
    "trim_start": "Begin here",
    "trim_end": "End here",
    "part": "{length} of {all}",
    "start": "Start",
    "start_part": "Style {length}",
    "start_picture": "Style the picture",
    "start_all": "Style the video",
    "starting": "Starting",
    "progress": "{frames} of {total} pictures",
    "progress_open": "{frames} pictures",
    "speed": "{fps} a second",
    "eta": "{left} left",
    "almost": "almost done",
    "finishing": "Checking the result",
    "paused": "Paused",
    "resume": "Go on",
    "done": "Done",
    "download": "Download",
    "again": "Change",
    "failed": "That did not work",
    "cancelled": "Cancelled. Nothing was left behind.",
    # the report
    "report": "What was kept",
    "report_exact": "All {all} pictures are there, each at its exact time.",
    "report_all": "All {all} pictures are there.",
    "report_missing": "{out} of {all} pictures are there.",
    "report_times_differ": "All {all} pictures are there, but some at another time.",
    "report_kept": "Kept: {what}.",
    "report_converted": "{what} converted: {why}",
    "report_dropped": "{what} not kept: {why}",
    "report_speed": "Made in {seconds} s, {fps} pictures a second.",
    "report_picture": "Styled at its own size, {width} by {height}.",
    "sound_exact": "The sound is the same, to the bit.",
    "sound_differs": "The sound differs from the source.",
    "sound_copied": "The sound was copied.",
    "sound_converted": "The sound was converted, since the file's kind cannot hold it as it was.",
    "sound_dropped": "The sound could not be kept.",
    "sound_none": "The source has no sound.",
    "kind_audio": "sound",
    "kind_subtitle": "subtitles",
    "kind_cover": "cover picture",
    "kind_chapters": "chapters",
    # the camera
    "camera_start": "Start the camera",
    "camera_stop": "Stop the camera",
    "camera_intro": "See yourself in a look",
    "camera_private": "The picture goes to vidstyle on this machine and nowhere else.",
    "camera_waiting": "Allow the camera in the browser",
    "camera_refused": "The browser was not allowed to use the camera. Allow it beside the page's address, "
    "then try again.",
    "camera_none": "There is no camera, or another program uses it.",
    "camera_insecure": "Browsers give the camera only to pages of this machine, or to encrypted ones: open this page "
    "as http://localhost on the machine itself.",
    "camera_lost": "The camera went away.",
    "mirror": "Mirror",
    "numbers_fps": "{fps} a second",
    "numbers_latency": "{p50} ms, mostly below {p95}",
    "live_here": "vidstyle live runs on this machine.",
    "live_open": "Open its controls",
    "live_none": "For video calls: vidstyle live is a camera that other programs see.",
    # the folder
    "queue_empty": "Nothing waits",
    "queue_intro": "Add videos or folders of this machine. The list stays when the page is closed.",
    "queue_add": "Add",
    "queue_path": "A video or a folder on this machine",
    "queue_path_hint": "/home/me/videos",
    "queue_output": "Results go to",
    "queue_start": "Style all",
    "queue_stop": "Stop",
    "queue_stopping": "Stopping at the next picture",
    "queue_list": "Queue",
    "queue_up": "Move up",
    "queue_down": "Move down",
    "queue_remove": "Remove",
    "queue_again": "Try again",
    "queue_clear": "Remove what is done",
    "queue_locked": "The queue is open in another vidstyle ui on this machine.",
    "queue_closed": "The queue reads files of the machine it runs on: it is closed while others can come in.",
    "queue_count": "{done} of {all} done",
    "queue_failed": "{failed} failed",
    "status_waiting": "waiting",
    "status_running": "under way",
    "status_done": "done",
    "status_skipped": "done before",
    "status_failed": "failed",
    # the looks
    "looks_title": "Looks",
    "looks_import": "Import a look",
    "looks_import_hint": "A style file (.safetensors) or a published network (.pb, .tflite). "
    "Nothing in it is executed.",
    "looks_added": "{name} was added.",
    "looks_remove": "Remove",
    "looks_remove_sure": "Remove {name} for good?",
    "looks_licence": "Licence",
    "looks_from": "Origin",
    "looks_cost": "Cost",
    "looks_cost_value": "{kflop} kflop a pixel, {parameters} parameters",
    "looks_package": "comes with vidstyle",
    "looks_own": "your own",
    "looks_plugin": "from {origin}",
    "train_title": "Train your own",
    "train_none": "This vidstyle cannot train looks: it lacks the command vidstyle train.",
    "train_intro": "Photos of people, and pictures in the look you want. It takes hours; you may close the page.",
    "train_photos": "Photos of people",
    "train_exemplars": "Pictures in the look",
    "train_count": "{count} there",
    "train_drop": "Drop or choose pictures",
    "train_clear": "Remove all",
    "train_name": "Name of the look",
    "train_quick": "Quick: a rough look, for trying",
    "train_start": "Train",
    "train_stop": "Stop the training",
    "train_running": "Training {name}",
    "train_done": "{name} is trained, and among the looks.",
    "train_ended": "The training ended with code {code}.",
    "train_log": "What it says",
}
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def page(known: dict[str, Any]) -> str:
    """The page's HTML, with the texts in place and for its scripts.

    Args:
        known: what the scripts should know of the server.
    """
    text = (files("vidstyle.ui") / "page_files" / "index.html").read_text("utf-8")
    data = json.dumps({"texts": TEXTS, **known}).replace("<", "\\u003c")
    values = {key: html.escape(value) for key, value in TEXTS.items()} | {"data": data, "language": LANGUAGE}
    return _PLACE.sub(lambda match: values[match[1]], text)
