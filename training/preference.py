"""A blind preference study in one HTML file, as the paper's section 4.4.3: two questions, answers as CSV.

Each person is asked 25 times, of pictures drawn at random, which result is the best stylised with the least distorted
artefacts (A), and as often which one preserves the photo's content best (B). Results are in a new order each time and
carry no names. The page needs no server: the answers are saved as a file from it, and
`python -m training.preference *.csv` counts those of several people.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
from pathlib import Path

import cv2
import numpy as np

from training.measures import table
from training.options import run_command
from vidstyle.errors import SourceError

QUESTIONS = {
    "A": "Which picture is the best stylised, with the least distorted artefacts?",
    "B": "Which picture best preserves the content of the photo?",
}
ASKED = 25

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Which picture?</title>
<style>
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
.row{display:flex;flex-wrap:wrap;gap:1rem;justify-content:center}
figure{margin:0;text-align:center}img{width:230px;max-width:100%;border-radius:6px;display:block}
button{font:inherit;padding:.3rem;border:2px solid transparent;border-radius:8px;background:none;cursor:pointer}
button:hover,button:focus-visible{border-color:#3b82f6}
#save{border:1px solid;padding:.5rem 1rem}progress{width:100%}h1{font-size:1.2rem;text-align:center}
</style>
<p><progress id="progress" value="0"></progress></p><h1 id="question" aria-live="polite"></h1>
<div id="all"><div class="row"><figure><img id="photo" alt="the photo"><figcaption>photo</figcaption></figure></div>
<div class="row" id="choices"></div><p style="text-align:center">Click a picture, or press its number.</p></div>
<p style="text-align:center"><button id="save" hidden>Save the answers (CSV)</button></p>
<script id="data" type="application/json">__DATA__</script>
<script>
"use strict";
const data=JSON.parse(document.getElementById("data").textContent),$=id=>document.getElementById(id);
function shuffled(list){const a=[...list];for(let i=a.length-1;i>0;i--){
const j=Math.floor(Math.random()*(i+1));[a[i],a[j]]=[a[j],a[i]]}return a}
const person=crypto.getRandomValues(new Uint32Array(1))[0].toString(16),answers=[];
const asked=Object.keys(data.questions).flatMap(study=>
shuffled(data.photos.keys()).slice(0,data.asked).map(picture=>({study,picture})));
let now=0,order=[];
function show(){
$("progress").max=asked.length;$("progress").value=now;
if(now===asked.length){$("all").hidden=true;$("question").textContent="Thank you. Save the answers and send them back.";
$("save").hidden=false;return}
const {study,picture}=asked[now];order=shuffled(data.methods.keys());
$("question").textContent=data.questions[study];$("photo").src=data.photos[picture];
$("choices").replaceChildren(...order.map((method,place)=>{const b=document.createElement("button"),
i=new Image(),t=document.createElement("span");i.src=data.results[method][picture];
i.alt="result "+(place+1);t.textContent=place+1;b.append(i,t);b.onclick=()=>choose(place);return b}))}
function choose(place){const {study,picture}=asked[now];
answers.push([person,study,data.names[picture],data.methods[order[place]],place+1,
order.map(m=>data.methods[m]).join(";")]);now++;show()}
addEventListener("keydown",e=>{const n=Number(e.key);if(now<asked.length&&n>=1&&n<=order.length)choose(n-1)});
$("save").onclick=()=>{const quote=x=>'"'+String(x).replaceAll('"','""')+'"';
const head=["person","study","picture","chosen","place","shown"];
const rows=[head,...answers].map(r=>r.map(quote).join(",")).join("\\r\\n");
const a=document.createElement("a");a.href=URL.createObjectURL(new Blob([rows+"\\r\\n"],{type:"text/csv"}));
a.download="preference-"+person+".csv";a.click()};
show();
</script></html>
"""


def write(path: Path, photos: np.ndarray, results: dict[str, np.ndarray], names: list[str] | None = None) -> None:
    """Write the page for uint8 [N, S, S, 3] photos and each method's results of them."""
    data = {
        "questions": QUESTIONS,
        "asked": ASKED,
        "names": names or [str(number) for number in range(len(photos))],
        "methods": list(results),
        "photos": [_inline(photo) for photo in photos],
        "results": [[_inline(picture) for picture in made] for made in results.values()],
    }
    # "</script>" in a name would end the element the data stand in.
    path.write_text(PAGE.replace("__DATA__", json.dumps(data).replace("<", "\\u003c")), encoding="utf-8")


def _inline(image: np.ndarray) -> str:
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(image)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def tally(paths: list[Path]) -> dict[str, dict[str, float]]:
    """Percent of the answers of each study that chose each method, over several people's files.

    Raises:
        SourceError: a file is not one that the page saved.
    """
    rows = [row for path in paths for row in _answers(path)]
    methods = dict.fromkeys(method for row in rows for method in row["shown"].split(";"))
    chosen = {study: [row["chosen"] for row in rows if row["study"] == study] for study in QUESTIONS}
    return {
        method: {
            f"Pref. {study}": round(100 * found.count(method) / len(found), 1)
            for study, found in chosen.items()
            if found
        }
        for method in methods
    }


def _answers(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except UnicodeDecodeError:
        rows = [{}]
    if any(row.get("study") not in QUESTIONS or not row.get("chosen") or not row.get("shown") for row in rows):
        raise SourceError(f"{path} is not answers of the preference page: expected the CSV file that its button saves")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.preference", description="Count what people preferred.")
    parser.add_argument("answers", type=Path, nargs="+", help="CSV files that the page saved")
    args = parser.parse_args()
    print(table(tally(args.answers)))


if __name__ == "__main__":
    run_command(main)
