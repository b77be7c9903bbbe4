"use strict";
const PIXELS_PER_SECOND = 200;

for (const figure of document.querySelectorAll("figure.sound")) {
  const player = figure.querySelector("audio");
  const picture = figure.querySelector(".picture");
  const cursor = picture && picture.querySelector("i");
  const phones = [...figure.querySelectorAll(".phone")];
  const live = figure.querySelector(".live");
  const steps = [...figure.querySelectorAll("li")];
  const final = live && live.textContent;

  const show = () => {
    const now = player.currentTime;
    if (picture) {
      const x = now * PIXELS_PER_SECOND;
      cursor.style.left = `${x}px`;
      if (x < picture.scrollLeft || x > picture.scrollLeft + picture.clientWidth - 40) picture.scrollLeft = x - 40;
    }
    for (const phone of phones) phone.classList.toggle("now", phone.dataset.start <= now && now < phone.dataset.end);
    if (live) {
      const heard = steps.filter((step) => Number(step.dataset.time) <= now);
      steps.forEach((step) => step.classList.toggle("now", step === heard[heard.length - 1]));
      live.textContent = heard.length ? heard[heard.length - 1].lastChild.textContent : "…";
    }
    if (!player.paused) requestAnimationFrame(show);
  };
  player.addEventListener("play", () => {
    document.querySelectorAll("audio").forEach((other) => other !== player && other.pause());
    figure.classList.add("playing");
    show();
  });
  player.addEventListener("seeked", show);
  player.addEventListener("ended", () => {
    figure.classList.remove("playing");
    if (live) live.textContent = final;
  });
  if (picture) {
    picture.addEventListener("click", (event) => {
      player.currentTime = (event.clientX - picture.getBoundingClientRect().left + picture.scrollLeft) / PIXELS_PER_SECOND;
      player.play();
    });
  }
}
