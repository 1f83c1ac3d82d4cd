"use strict";
// One player sounds at a time; within an example the next one goes on where the last one was.
const players = [...document.querySelectorAll("audio")];
let last = null;
for (const player of players) {
  const scene = player.parentElement.querySelector(".scene");
  const follow = () => {
    scene.style.setProperty("--at", 100 * player.currentTime / (player.duration || 1) + "%");
    if (!player.paused) requestAnimationFrame(follow);
  };
  player.addEventListener("play", () => {
    if (last && last !== player) {
      const goesOn = !last.paused && last.closest("article") === player.closest("article");
      last.pause();
      if (goesOn && last.currentTime < player.duration) player.currentTime = last.currentTime;
    }
    last = player;
    scene.classList.add("played");
    follow();
  });
  player.addEventListener("seeked", follow);
  scene.addEventListener("click", (event) => {
    const box = scene.getBoundingClientRect();
    if (player.duration) player.currentTime = player.duration * (event.clientX - box.left) / box.width;
    player.play();
  });
}
