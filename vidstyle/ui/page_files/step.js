// Two players in step.

const JUMP = 0.25, CLOSE = 0.015; // seconds: beyond the first it is set, within the second it is right

/** Let one player be where another is, `shift` seconds later: by its speed while they play, at once while they stand. */
export function keepStep(follower, leader, shift) {
  const wanted = leader.currentTime + shift;
  if (follower.readyState < 2 || follower.seeking) return null;
  const off = follower.currentTime - wanted;
  if (leader.paused) {
    follower.pause();
    if (Math.abs(off) > 0.005) follower.currentTime = wanted;
  } else {
    if (follower.paused) follower.play().catch(() => {});
    if (Math.abs(off) > JUMP) follower.currentTime = wanted;
    else follower.playbackRate = Math.abs(off) < CLOSE ? 1 : Math.max(0.5, Math.min(1.5, 1 - off));
  }
  return off;
}
